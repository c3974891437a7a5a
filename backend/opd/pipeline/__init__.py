"""A run from its folder to its verdict: the composition root. `run.py` reads like the path of the data."""
