"""The reference of series: what baselines score, and the controls of the gate."""
