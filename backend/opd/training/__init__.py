"""Training: rollouts, scoring, the optimizer window, checkpoints. The only room that imports TRL."""
