"""Looks at data before there is a project: what they are, which parameters fit and why, and what a run costs here."""
