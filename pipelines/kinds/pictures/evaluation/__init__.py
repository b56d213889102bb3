"""What is measured of pictures, and the files that the report shows."""
