"""The import: what happens once, before a model is stored: it is compiled, and its figures are reproduced.

A Bento leaves this package out. It imports contract and model; `import_model.py` and the evaluation use it.
"""
