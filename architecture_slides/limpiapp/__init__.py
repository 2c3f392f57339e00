"""LimpiApp's data architecture: limpiapp.yaml, held to rules, and shown as a deck and a page."""
