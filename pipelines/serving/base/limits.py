"""How much a request may ask for."""

MOST_SAMPLES = 256
