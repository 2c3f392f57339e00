"""Access: who calls, what they may do, and how often: tokens of a file, JWTs of an issuer, rate limits.

It knows callers but no rows. It imports http and contract; serving and the application may import it.
"""
