"""The figures of a manifest, made anew of the hold-out set when a model is imported.

A figure that is stated must come out again. What can't be made of pipeline and hold-out set, such as the
importance of features or what cross-validation gave, is kept as it is and vouched for by nobody.
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
"""Which applications ended in default, shape (n,)."""

TOLERANCE = 1e-9
"""By which a figure may differ."""


def check(
    manifest: Manifest,
    applications: Sequence[Application],
    defaults: Sequence[bool],
    propensities: Propensities,
) -> None:
    """Compare the figures of a manifest with what the hold-out set gives.

    Args:
        manifest: states them.
        applications: of the hold-out set.
        defaults: whether each ended in default.
        propensities: of each, by the pipeline.

    Raises:
        GateError: one differs; the message names it and both values.
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
    """What a manifest should say, part by part: the arguments are those of `check`."""
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
    """How good propensities are, whatever the threshold: the first three rank, the others calibrate.

    Args:
        truth: whether each ended in default; some of each.
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
    """How many of each outcome are approved and declined."""
    return {
        "good_approved": int((~truth & ~declined).sum()),
        "good_declined": int((~truth & declined).sum()),
        "default_approved": int((truth & ~declined).sum()),
        "default_declined": int((truth & declined).sum()),
    }


def _compare(name: str, stated: Any, found: Any) -> None:
    if isinstance(found, dict) and isinstance(stated, dict):
        for each in [each for each in found if each in stated]:
            _compare(f"{name}.{each}" if name else each, stated[each], found[each])
    elif isinstance(found, list) and isinstance(stated, list) and len(found) == len(stated):
        for number, (one, other) in enumerate(zip(stated, found, strict=True)):
            _compare(f"{name}.{number}", one, other)
    elif not _is_same(stated, found):
        raise GateError(
            f"{name} is {stated!r} in the manifest, and {found!r} of this pickle on its hold-out set, by the"
            " manifest's threshold: they are not of one run, or this environment predicts otherwise; run the"
            " notebook that wrote them again"
        )


def _is_same(stated: Any, found: Any) -> bool:
    if found is None:
        return stated is None or (isinstance(stated, float) and math.isnan(stated))
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in (stated, found)):
        return stated is found
    return bool(abs(stated - found) <= (TOLERANCE if isinstance(found, float) else 0))


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
    """By the costs that the manifest states with its threshold, if it does."""
    approved_default = threshold.get("cost_default_approved")
    declined_good = threshold.get("cost_good_declined")
    if not isinstance(approved_default, int | float) or not isinstance(declined_good, int | float):
        return {}
    costs = approved_default * (truth & ~declined).sum() + declined_good * (~truth & declined).sum()
    return {"cost_per_application": float(costs / len(truth))}


def _calibration(stated: Any, truth: Defaults, propensities: Propensities) -> dict[str, Any]:
    """In as many quantiles as are stated."""
    bins = len(_mapping(stated).get("mean_propensity") or _mapping(stated).get("default_rate") or ())
    if not bins:
        return {}
    observed, predicted = calibration_curve(truth, propensities, n_bins=bins, strategy="quantile")
    return {"calibration": {"mean_propensity": predicted.tolist(), "default_rate": observed.tolist()}}


def _members(
    feature: str, groups: Any, applications: Sequence[Application]
) -> dict[str, np.ndarray[Any, Any]]:
    """Who belongs to each group that is stated: a category, or numbers such as `26-35` and `56+`."""
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
