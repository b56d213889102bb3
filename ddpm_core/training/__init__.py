"""Training: steps, state, averages and checkpoints of any network under any objective."""
