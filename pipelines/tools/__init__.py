"""Adapters: one file a foreign tool, its only importer."""
