"""Kinds of data: one folder a kind. What is true of one kind alone lies there and nowhere else."""
