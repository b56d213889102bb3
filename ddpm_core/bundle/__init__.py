"""A bundle: its format, written, read and verified; export to ONNX, and weights out of a graph."""
