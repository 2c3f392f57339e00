"""The decks: LimpiApp's data architecture, kept as data and checked by rules."""
