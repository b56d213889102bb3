"""The stages of the pipeline: one `run(params, paths, tracker)` a file."""
