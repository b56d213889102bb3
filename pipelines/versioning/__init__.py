"""DVC and git: stale stages, dvc.lock, and repair after a kill."""
