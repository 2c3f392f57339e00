"""Scoring of files of any size, or of a Spark DataFrame, without a server.

Imports contract, formats and model, and no web framework. Only the evaluation imports this package, to report
progress.
"""
