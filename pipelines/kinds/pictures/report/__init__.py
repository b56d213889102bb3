"""What the report shows of pictures alone."""
