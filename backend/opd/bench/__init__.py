"""Measurements that the project holds itself to: speed against TRL, methods against one another."""
