"""The contract: what an application is, how it is answered, and what a problem says.

It knows nothing of HTTP, files or models. Every package may import it; it imports nothing of the product.
"""
