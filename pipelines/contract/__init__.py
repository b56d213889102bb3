"""The data contract: its thresholds, the suite of expectations, and Great Expectations, which judges them."""
