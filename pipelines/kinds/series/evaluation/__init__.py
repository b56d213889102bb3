"""What stage evaluate finds out about samples that are windows of series."""
