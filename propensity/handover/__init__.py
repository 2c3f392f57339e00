"""The handover: what a notebook writes so that its model can be imported, and how that is inferred.

`write` is all that a notebook needs:

    from propensity import handover

    handover.write("artifacts", pipeline, X_holdout, y_holdout, name="churn", training=X_train)
"""

from propensity.handover.writing import Handover, write

__all__ = ["Handover", "write"]
