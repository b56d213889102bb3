"""What a training is made of before its first step, and what its identity depends on."""
