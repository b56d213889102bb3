"""Models of other libraries: their weights and configurations to a bundle, and a bundle to theirs."""
