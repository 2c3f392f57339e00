"""The contract: what a row is, how it is answered, and what a problem says.

It is data, read from the manifest of the model that is served. It knows no HTTP, and imports nothing of the
other packages; all of them may import it.
"""
