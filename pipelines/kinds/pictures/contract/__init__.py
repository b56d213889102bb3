"""The contract of pictures: their thresholds, and their suite of expectations."""
