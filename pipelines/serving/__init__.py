"""Sampling and serving a bundle with numpy and onnxruntime: no torch, no tracker, no orchestration at run time."""
