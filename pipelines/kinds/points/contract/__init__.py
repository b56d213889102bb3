"""The contract of points: its thresholds, and its suite of expectations."""
