"""Monitoring: what is recorded of predictions: metrics, log, drift, and what a challenger would say.

No response waits for it. It imports contract, formats and model; serving may import it.
"""
