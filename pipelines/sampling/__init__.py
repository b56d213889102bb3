"""A bundle sampled by numpy and onnxruntime, by one process or several: no HTTP, and torch where it is asked for."""
