"""Objectives: pure functions, tensors in, per-token loss out. They know nothing of runs, events or trainers."""
