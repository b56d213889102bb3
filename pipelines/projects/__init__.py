"""Projects: folders with params.yaml, dvc.yaml, data, outputs and state of their own, on the code that is installed."""
