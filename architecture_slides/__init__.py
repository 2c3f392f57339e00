"""The decks: LimpiApp's data architecture, kept as data and held to rules, and this bundle's implementation.

Each is made of a YAML file and a folder of its name; `typesetting/` draws both. They read the committed
measurements and import nothing of the service.
"""
