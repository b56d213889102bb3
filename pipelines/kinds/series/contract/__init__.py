"""The contract of series: its thresholds, and its suite of expectations."""
