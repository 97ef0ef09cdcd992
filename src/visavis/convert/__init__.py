"""Checkpoints to networks, and networks to files that others run."""
