"""WebDataset shards: the archive, its index, the order of a shuffled stream, and the stream."""
