"""HTTP: what every request passes through: connection, drain, access log, request metrics, host check.

It knows problems but no applications. It imports contract and settings; access and serving may import it.
"""
