"""What any command needs of the machine: environment, processes, signals, threads, progress, disk."""
