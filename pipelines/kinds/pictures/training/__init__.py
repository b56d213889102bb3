"""What training does to a picture before the network sees it."""
