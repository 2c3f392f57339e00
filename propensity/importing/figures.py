"""The figures of a manifest, reproduced from the hold-out set when a model is imported.

A stated figure must be reproduced. Those that can't be computed from pipeline and hold-out set, such as
feature importances or cross-validation scores, are kept unchecked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    auc,
    average_precision_score,
    brier_score_loss,
    log_loss,
    roc_auc_score,
    roc_curve,
)

from propensity.contract.application import CATEGORIES, FEATURES, Application
from propensity.contract.features import Propensities
from propensity.model.gate import GateError
from propensity.model.manifest import Manifest

Defaults = npt.NDArray[np.bool_]
"""Whether each application ended in default, shape (n,)."""

TOLERANCE = 1e-9
"""Largest difference between a stated and a reproduced figure."""


def check(
    manifest: Manifest,
    applications: Sequence[Application],
    defaults: Sequence[bool],
    propensities: Propensities,
) -> None:
    """Compare the figures of a manifest with those that the hold-out set gives.

    Args:
        manifest: the manifest that states them.
        applications: the hold-out set, n applications.
        defaults: whether each ended in default, n of them.
        propensities: predicted by the pipeline, shape (n,).

    Raises:
        GateError: a figure differs; the message names it and both values.
    """
    parts = {"threshold", "holdout", "metrics"}
    stated = manifest.model_dump(include=parts, exclude_none=True)
    _compare("", stated, reproduced(manifest, applications, defaults, propensities))


def reproduced(
    manifest: Manifest,
    applications: Sequence[Application],
    defaults: Sequence[bool],
    propensities: Propensities,
) -> dict[str, Any]:
    """Return the figures that a manifest should state, in its structure; arguments as in `check`."""
    truth = np.asarray(defaults, dtype=bool)
    stated = manifest.model_dump(exclude_none=True)
    threshold = stated["threshold"]
    metrics = stated["metrics"]
    declined = propensities >= manifest.threshold.value
    return {
        "threshold": {"decline_at_or_above": True},
        "holdout": {"rows": len(truth), "defaults": int(truth.sum())},
        "metrics": {
            **quality(truth, propensities),
            "average_precision": float(average_precision_score(truth, propensities)),
            **_decisions(truth, declined),
            **_cost(threshold, truth, declined),
            **_calibration(metrics.get("calibration"), truth, propensities),
            "confusion": confusion(truth, declined),
            "groups": {
                feature: {
                    group: {
                        "rows": int(members.sum()),
                        "default_rate": _mean(truth[members]),
                        "mean_propensity": _mean(propensities[members]),
                        "auc": _auc(truth[members], propensities[members]),
                        **_decisions(truth[members], declined[members]),
                    }
                    for group, members in _members(feature, groups, applications).items()
                }
                for feature, groups in _mapping(metrics.get("groups")).items()
                if feature in FEATURES
            },
        },
    }


def quality(truth: Defaults, propensities: Propensities) -> dict[str, float]:
    """Return metrics that do not depend on the threshold: the first three of ranking, then of calibration.

    Args:
        truth: whether each application ended in default; both outcomes must occur.
        propensities: of the same applications.
    """
    good_declined, defaults_declined, _ = roc_curve(truth, propensities)
    area = float(auc(good_declined, defaults_declined))
    return {
        "auc": area,
        "gini": 2 * area - 1,
        "ks": float(np.max(defaults_declined - good_declined)),
        "brier": float(brier_score_loss(truth, propensities)),
        "log_loss": float(log_loss(truth, propensities)),
    }


def confusion(truth: Defaults, declined: npt.NDArray[np.bool_]) -> dict[str, int]:
    """Return how many applications of each outcome are approved and declined."""
    return {
        "good_approved": int((~truth & ~declined).sum()),
        "good_declined": int((~truth & declined).sum()),
        "default_approved": int((truth & ~declined).sum()),
        "default_declined": int((truth & declined).sum()),
    }


def _compare(name: str, stated: Any, actual: Any) -> None:
    if isinstance(actual, dict) and isinstance(stated, dict):
        for key in [key for key in actual if key in stated]:
            _compare(f"{name}.{key}" if name else key, stated[key], actual[key])
    elif isinstance(actual, list) and isinstance(stated, list) and len(actual) == len(stated):
        for number, pair in enumerate(zip(stated, actual, strict=True)):
            _compare(f"{name}.{number}", *pair)
    elif not _is_same(stated, actual):
        raise GateError(
            f"{name} is {stated!r} in the manifest, but {actual!r} for this pickle, at the manifest's"
            " threshold on its hold-out set: they are not of one run, or this environment predicts otherwise;"
            " run the notebook that wrote them again"
        )


def _is_same(stated: Any, actual: Any) -> bool:
    if actual is None:
        return stated is None or (isinstance(stated, float) and math.isnan(stated))
    if any(isinstance(figure, bool) or not isinstance(figure, int | float) for figure in (stated, actual)):
        return stated is actual
    return bool(abs(stated - actual) <= (TOLERANCE if isinstance(actual, float) else 0))


def _mapping(stated: Any) -> Mapping[str, Any]:
    return stated if isinstance(stated, Mapping) else {}


def _mean(values: np.ndarray[Any, Any]) -> float | None:
    return float(values.mean()) if len(values) else None


def _auc(truth: Defaults, propensities: Propensities) -> float | None:
    return float(roc_auc_score(truth, propensities)) if 0 < truth.sum() < len(truth) else None


def _decisions(truth: Defaults, declined: npt.NDArray[np.bool_]) -> dict[str, float | None]:
    return {
        "declined": _mean(declined),
        "defaults_declined": _mean(declined[truth]),
        "good_declined": _mean(declined[~truth]),
    }


def _cost(threshold: Mapping[str, Any], truth: Defaults, declined: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Return the cost per application, if the manifest states costs with its threshold."""
    approved_default = threshold.get("cost_default_approved")
    declined_good = threshold.get("cost_good_declined")
    if not isinstance(approved_default, int | float) or not isinstance(declined_good, int | float):
        return {}
    costs = approved_default * (truth & ~declined).sum() + declined_good * (~truth & declined).sum()
    return {"cost_per_application": float(costs / len(truth))}


def _calibration(stated: Any, truth: Defaults, propensities: Propensities) -> dict[str, Any]:
    """Return the calibration curve, in as many quantiles as are stated."""
    bins = len(_mapping(stated).get("mean_propensity") or _mapping(stated).get("default_rate") or ())
    if not bins:
        return {}
    observed, predicted = calibration_curve(truth, propensities, n_bins=bins, strategy="quantile")
    return {"calibration": {"mean_propensity": predicted.tolist(), "default_rate": observed.tolist()}}


def _members(
    feature: str, groups: Any, applications: Sequence[Application]
) -> dict[str, np.ndarray[Any, Any]]:
    """Return the members of each stated group, shape (n,): a category, or a band such as `26-35` or `56+`."""
    values = [getattr(application, feature) for application in applications]
    members: dict[str, np.ndarray[Any, Any]] = {}
    for group in _mapping(groups):
        if feature in CATEGORIES:
            if group in CATEGORIES[feature]:
                members[group] = np.array([value == group for value in values])
        elif band := _BAND.fullmatch(group):
            low, high = int(band[1]), int(band[2]) if band[2] else math.inf
            members[group] = np.array([value is not None and low <= value <= high for value in values])
    return members


_BAND = re.compile(r"(\d+)(?:-(\d+)|\+)")
