"""What the model import and the prediction service share."""

__version__ = "0.1.0"
