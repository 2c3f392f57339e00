"""The model: how it is gated, signed, kept in the store, loaded, and asked for propensities and reasons.

It knows rows of features and no request. It imports the contract alone; whatever predicts may import it.
"""
