"""The model: its gate, signature, store, forms, and explanations.

It knows features and no requests. It imports only contract and settings; whatever predicts may import it.
"""
