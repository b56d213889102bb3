"""What stage evaluate writes beside the measures: the record's digests, and the likelihood of held-out data."""
