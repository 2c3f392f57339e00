"""Monitoring: what is noted of predictions after they were answered: metrics, log, drift, challenger.

No answer waits for it. It imports contract, formats and model; serving may import it.
"""
