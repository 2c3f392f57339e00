"""The import: compiles a model and reproduces its figures, once, before it is stored.

A Bento leaves this package out. It imports contract and model; `import_model.py` and the evaluation use it.
"""
