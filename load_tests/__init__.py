"""Load on the prediction API: what measures it, each a command that keeps its figures in `measurements/`.

`report/` makes the report of them, `compare/` runs other servers beside this one, `data/` holds the hold-out
set of the demonstration model. The product imports nothing from here; tests and decks read the figures.
"""
