"""The contract: what an application is, what is answered to it, and what a problem says.

Nothing here knows of HTTP, files or a model. Everything may import it; it imports nothing of the product.
"""
