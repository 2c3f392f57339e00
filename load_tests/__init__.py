"""Load on the prediction API."""
