"""The HTTP service over a bundle: requests, queue, outputs; no torch, no tracker, no orchestration at run time."""
