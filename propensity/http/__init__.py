"""HTTP: what every request passes through: connection, drain, access log, request metrics, host check.

It knows problems but no rows. It imports contract and settings; access and serving may import it.
"""
