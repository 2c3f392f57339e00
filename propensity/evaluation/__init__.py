"""The evaluation: does production predict what the notebook promised, has drift set in, how did credits end?

Asks a running service, or reads its prediction log. A Bento leaves this package out, and nothing imports it.
"""
