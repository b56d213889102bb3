"""The forward process, denoisers with bound conditions, and sampling, in torch."""
