"""Looks at a table of series before there is a project: which parameters fit."""
