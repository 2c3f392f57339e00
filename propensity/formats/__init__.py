"""The formats: how applications are read from bytes, and how predictions and problems are written.

JSON, NDJSON and Arrow, for requests and for files alike. It imports the contract alone; whatever reads or
writes rows may import it.
"""
