"""What a source of series becomes: a file a series, its windows, and what the manifest says of each."""
