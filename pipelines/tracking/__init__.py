"""Tracking: the tracker, its local journal, and MLflow's store, registry and model."""
