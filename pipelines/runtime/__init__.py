"""The machine that a command runs on: environment, processes, signals, threads, progress, disk."""
