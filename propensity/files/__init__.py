"""Files: scoring files of applications of any size, or a Spark DataFrame, without a server.

It imports contract, formats and model, and no web framework. Only the evaluation imports it, for progress.
"""
