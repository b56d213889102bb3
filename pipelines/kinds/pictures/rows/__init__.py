"""Pictures as rows: how files are read, the rules by which they become equal, and what the manifest says."""
