"""Points as rows: what a source becomes, points.csv, and what the manifest says of each."""
