"""What the report shows of points alone."""
