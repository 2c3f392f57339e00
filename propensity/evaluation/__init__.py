"""The evaluation: is what answers as good as the notebook said, has its world moved, how did credits end?

A Bento leaves this package out: it asks a running service, or reads its prediction log. Nothing imports it.
"""
