"""Likelihoods: the terms of the bound, the bound itself, the probability-flow ODE, and tables of both over data."""
