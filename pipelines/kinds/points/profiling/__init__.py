"""Looks at a table of points before there is a project: which parameters fit."""
