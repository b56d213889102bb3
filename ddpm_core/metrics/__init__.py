"""How good samples are, in numpy alone: distances of distributions, copies of training data, coverage."""
