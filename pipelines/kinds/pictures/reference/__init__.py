"""What pictures are compared in: feature extractors, their weights, and what they made of the real pictures."""
