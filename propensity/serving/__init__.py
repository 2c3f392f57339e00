"""Serving: a prediction from the request body to the response, and the documents that describe it.

Formats, model and monitoring come together here. Only the HTTP application and the service may import it.
"""
