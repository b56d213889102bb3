"""What an operator needs around the service: settings, keys, metrics, logs, limits of connections, security headers."""
