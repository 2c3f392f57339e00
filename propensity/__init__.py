"""The prediction service, the model import, and the commands around them."""

__version__ = "0.1.0"
