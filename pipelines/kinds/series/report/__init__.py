"""What the report shows of series alone."""
