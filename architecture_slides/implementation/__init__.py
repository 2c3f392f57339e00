"""The deck on this bundle: implementation.yaml, with figures of the committed measurements."""
