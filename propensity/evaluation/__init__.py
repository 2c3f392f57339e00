"""The evaluation: does production predict what the notebook promised, has drift set in, what came of it?

Asks a running service, or reads its prediction log. A Bento leaves this package out, and nothing imports it.
"""
