"""DVC and git: what is stale, what the lock says, what a kill left half written."""
