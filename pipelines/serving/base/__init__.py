"""What each kind of data builds on to be served: a request, classes by name, and what its samples become."""
