"""The stages of a run whose teacher only answers: more prompts, answers, marks, a guide, and training on them.

Each stage asks once, keeps what came in the run's folder, and says in words what was done. A resumed run asks nobody
again: what it has is in the folder, and what was paid is in the answer cache.
"""
