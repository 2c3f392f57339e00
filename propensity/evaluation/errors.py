"""The error of the evaluation and of the drift report."""

from __future__ import annotations


class EvaluationError(Exception):
    """What is deployed can't be evaluated; the message says what is missing."""
