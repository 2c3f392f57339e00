"""HTTP: what every request passes, whatever it asks for: connection, drain, access log, request metrics.

It knows problems and no application. It imports contract and settings; access and serving may import it.
"""
