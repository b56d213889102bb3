"""Series served: forecasts, imputations, and the registered model."""
