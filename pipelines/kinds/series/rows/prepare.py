"""From a source to a file a series and a manifest of windows."""
