"""The formats: read rows from bytes, and write predictions and problems.

JSON, NDJSON and Arrow, for requests and files alike. Imports only the contract; whatever reads or writes rows
may import it.
"""
