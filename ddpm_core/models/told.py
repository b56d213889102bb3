"""The names of what a network of windows is told beside x_t, and what it is told of each value."""

OBSERVED, TOLD, CALENDAR, STATIC = "observed", "told", "calendar", "static"
"""The conditions: the values that are known [K, W], which they are [K, W], features of the time steps [F, W], and
features of the whole series [S]."""

GIVEN, ASKED, UNKNOWN = 1.0, 0.0, -1.0
"""What `told` says of a value: it is given, it is asked for, or neither: a gap in training data, of which there is no
x_t either."""
