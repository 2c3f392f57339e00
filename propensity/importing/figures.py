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

from propensity.contract.contract import Contract
from propensity.contract.features import Features, Propensities
from propensity.model.gate import GateError
from propensity.model.manifest import Calibration, HoldoutCurves, Manifest, Roc

Truth = npt.NDArray[np.bool_]
"""Whether each row belongs to the positive class, shape (n,)."""

TOLERANCE = 1e-9
"""Largest difference between a stated and a reproduced figure."""

ROC_POINTS = 101
"""Points of a ROC curve at most: as many as a plot can show."""

QUANTILES = 10
"""Quantiles of a calibration curve that the manifest does not state."""


def check(manifest: Manifest, features: Features, truth: Truth, propensities: Propensities) -> None:
    """Compare the figures of a manifest with those that the hold-out set gives.

    Args:
        manifest: the manifest that states them.
        features: of the hold-out set, shape (n, columns).
        truth: whether each of its rows belongs to the positive class, shape (n,).
        propensities: predicted by the pipeline, shape (n,).

    Raises:
        GateError: a figure can't be computed, or differs; the message names it and both values.
    """
    check_computable(truth, propensities)
    stated = manifest.model_dump(include={"threshold", "holdout", "metrics"}, exclude_none=True)
    _compare("", stated, reproduced(manifest, features, truth, propensities))


def check_computable(truth: Truth, propensities: Propensities) -> None:
    """Check that figures can be computed of outcomes and propensities, each of shape (n,).

    Raises:
        GateError: a class does not occur, or the pipeline predicted no probability for a row.
    """
    for is_positive in (True, False):
        if not np.any(truth == is_positive):
            raise GateError(
                f"no row of the hold-out set is {'positive' if is_positive else 'negative'}, and without both"
                " classes no figure can be computed; take a larger set, stratified by outcome"
            )
    broken = ~((propensities >= 0) & (propensities <= 1))
    if broken.any():
        row = int(broken.argmax())
        raise GateError(
            f"the pipeline predicts {propensities[row]} for row {row} of the hold-out set, which is no"
            " probability; look at the values of that row"
        )


def reproduced(
    manifest: Manifest, features: Features, truth: Truth, propensities: Propensities
) -> dict[str, Any]:
    """Return the figures that a manifest should state, in its structure; arguments as in `check`."""
    stated = manifest.model_dump(exclude_none=True)
    metrics = stated["metrics"]
    calibration = _mapping(metrics.get("calibration"))
    return {
        "threshold": {"positive_at_or_above": True},
        "holdout": {"rows": len(truth), "positives": int(truth.sum())},
        "metrics": metrics_of(
            truth,
            propensities,
            stated["threshold"],
            bins=len(calibration.get("mean_propensity") or calibration.get("positive_rate") or ()),
            groups=members(manifest.contract, features, _mapping(metrics.get("groups"))),
        ),
    }


def metrics_of(
    truth: Truth,
    propensities: Propensities,
    threshold: Mapping[str, Any],
    *,
    bins: int,
    groups: Mapping[str, Mapping[str, Truth]],
) -> dict[str, Any]:
    """Return all metrics, in the structure of a manifest's.

    Args:
        truth: whether each row belongs to the positive class, shape (n,); both classes must occur.
        propensities: of the same rows.
        threshold: `value`, and perhaps `cost_false_negative` and `cost_false_positive`.
        bins: quantiles of the calibration curve; 0 for none.
        groups: the rows of each group, shape (n,), by field and group.
    """
    selected = propensities >= threshold["value"]
    return {
        **quality(truth, propensities),
        "average_precision": float(average_precision_score(truth, propensities)),
        **_cost(threshold, truth, selected),
        "confusion": confusion(truth, selected),
        **decisions(truth, selected),
        **({"calibration": calibration(truth, propensities, bins)} if bins else {}),
        "groups": {
            field: {
                group: {
                    "rows": int(rows.sum()),
                    "positive_rate": _mean(truth[rows]),
                    "mean_propensity": _mean(propensities[rows]),
                    "auc": _auc(truth[rows], propensities[rows]),
                    **decisions(truth[rows], selected[rows]),
                }
                for group, rows in of_field.items()
            }
            for field, of_field in groups.items()
        },
    }


def quality(truth: Truth, propensities: Propensities) -> dict[str, float]:
    """Return metrics that do not depend on the threshold: the first three of ranking, then of calibration.

    Args:
        truth: whether each row belongs to the positive class; both classes must occur.
        propensities: of the same rows.
    """
    false_positive_rate, recall, _ = roc_curve(truth, propensities)
    area = float(auc(false_positive_rate, recall))
    return {
        "auc": area,
        "gini": 2 * area - 1,
        "ks": float(np.max(recall - false_positive_rate)),
        "brier": float(brier_score_loss(truth, propensities)),
        "log_loss": float(log_loss(truth, propensities)),
    }


def calibration(truth: Truth, propensities: Propensities, bins: int) -> dict[str, list[float]]:
    """Return the mean propensity and the share of positives in each quantile, by rising propensity.

    Equal propensities share a quantile: there may be fewer than `bins`. With that number as `bins`, the curve
    is the same.
    """
    observed, predicted = calibration_curve(truth, propensities, n_bins=bins, strategy="quantile")
    if len(observed) < bins:
        return calibration(truth, propensities, len(observed))
    return {"mean_propensity": predicted.tolist(), "positive_rate": observed.tolist()}


def curves(manifest: Manifest, truth: Truth, propensities: Propensities) -> HoldoutCurves:
    """Return the curves that a plot of the hold-out set needs and its manifest does not state.

    Args:
        manifest: may state the calibration curve.
        truth: whether each row belongs to the positive class, shape (n,); both classes must occur.
        propensities: of the same rows.
    """
    curve = None
    if not _mapping(manifest.metrics.model_extra).get("calibration"):
        curve = Calibration.model_validate(calibration(truth, propensities, QUANTILES))
    return HoldoutCurves(roc=_roc(truth, propensities), calibration=curve)


def _roc(truth: Truth, propensities: Propensities) -> Roc:
    false_positive_rate, recall, _ = roc_curve(truth, propensities)
    # Evenly along the curve: both rates rise from 0 to 1.
    walked = np.linspace(0, 2, ROC_POINTS)
    places = np.unique(np.searchsorted(false_positive_rate + recall, walked).clip(max=len(recall) - 1))
    return Roc(false_positive_rate=false_positive_rate[places].tolist(), recall=recall[places].tolist())


def confusion(truth: Truth, selected: npt.NDArray[np.bool_]) -> dict[str, int]:
    """Return how many rows of each class are below the threshold, and how many reach it."""
    return {
        "true_negatives": int((~truth & ~selected).sum()),
        "false_positives": int((~truth & selected).sum()),
        "false_negatives": int((truth & ~selected).sum()),
        "true_positives": int((truth & selected).sum()),
    }


def decisions(truth: Truth, selected: npt.NDArray[np.bool_]) -> dict[str, float | None]:
    """Return the share of all rows, of positive and of negative ones that reaches the threshold."""
    return {
        "selected": _mean(selected),
        "recall": _mean(selected[truth]),
        "false_positive_rate": _mean(selected[~truth]),
    }


def members(
    contract: Contract, features: Features, groups: Mapping[str, Sequence[str] | Mapping[str, Any]]
) -> dict[str, dict[str, Truth]]:
    """Return which rows belong to each group, shape (n,), by field and group.

    Args:
        contract: of the rows.
        features: of the rows, shape (n, columns).
        groups: the groups of each field: a category, `true` or `false`, or a band such as `26-35` or `56+`.
            Those that the contract does not know are left out.
    """
    columns = dict(zip(contract.columns.names, features.T, strict=True))
    found: dict[str, dict[str, Truth]] = {}
    for name in [name for name in groups if name in columns]:
        field, values = contract.by_name[name], columns[name]
        found[name] = {}
        for group in _names(groups[name]):
            if field.kind == "boolean" and group in {"false", "true"}:
                found[name][group] = values == (group == "true")
            elif field.categories is not None and group in field.categories:
                found[name][group] = values == field.categories.index(group)
            elif field.categories is None and (band := _BAND.fullmatch(group)):
                low, high = int(band[1]), int(band[2]) if band[2] else math.inf
                found[name][group] = (low <= values) & (values <= high)
    return found


_BAND = re.compile(r"(\d+)(?:-(\d+)|\+)")


def _names(groups: object) -> list[str]:
    return list(groups) if isinstance(groups, Mapping | Sequence) and not isinstance(groups, str) else []


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
            " write pickle, manifest and hold-out set again, together"
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


def _auc(truth: Truth, propensities: Propensities) -> float | None:
    return float(roc_auc_score(truth, propensities)) if 0 < truth.sum() < len(truth) else None


def _cost(threshold: Mapping[str, Any], truth: Truth, selected: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Return the cost per row, if costs are stated with the threshold."""
    false_negative = threshold.get("cost_false_negative")
    false_positive = threshold.get("cost_false_positive")
    if not isinstance(false_negative, int | float) or not isinstance(false_positive, int | float):
        return {}
    costs = false_negative * (truth & ~selected).sum() + false_positive * (~truth & selected).sum()
    return {"cost_per_row": float(costs / len(truth))}
