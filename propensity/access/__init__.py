"""Access: who calls, whether they may, and how often: tokens of a file, JWTs of an issuer, rate limits.

It knows callers and no application. It imports http and contract; only the HTTP application may import it.
"""
