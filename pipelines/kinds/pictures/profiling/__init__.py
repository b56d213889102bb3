"""Looks at pictures before there is a project: what they are, which parameters fit, what measuring costs."""
