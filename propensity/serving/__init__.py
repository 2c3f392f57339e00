"""Serving: a prediction from the body of a request to its answer, and the documents that describe it.

Here formats, model and monitoring come together. Only the HTTP application and the service may import it.
"""
