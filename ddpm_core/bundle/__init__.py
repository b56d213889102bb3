"""Bundles: their format, how they are written, read and verified, export to ONNX, and weights from a graph."""
