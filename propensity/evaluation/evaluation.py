"""Evaluation: is the model that answers the API as good as the notebook said?

Computes the notebook's metrics from what the model answered, and compares them with the manifest that it
carries; each propensity also with what the notebook's pickle predicts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import config_context

from propensity.contract.application import Application
from propensity.contract.features import Features, Propensities, encode
from propensity.evaluation.client import Api, EvaluationError
from propensity.files.progress import progress
from propensity.importing.figures import Defaults, confusion, quality
from propensity.model import gate
from propensity.model.gate import GateError
from propensity.model.manifest import ModelCard
from propensity.model.pipeline import PipelineForm

TOLERANCE = 1e-9
"""By which a propensity or a metric may differ from the notebook's: the API answers all its digits."""

RESAMPLES = 1_000
"""Of the bootstrap."""


@dataclass(frozen=True)
class Known:
    """Applications with known outcomes."""

    applications: list[dict[str, Any]]
    defaults: Defaults
    sha256: str

    @classmethod
    def read(cls, path: Path) -> Known:
        """From a file like the notebook's hold-out set: `[{"application": {...}, "default": true}, ...]`.

        Raises:
            EvaluationError: it can't be read so.
        """
        try:
            content = path.read_bytes()
            rows = json.loads(content)
            applications = [row["application"] for row in rows]
            outcomes = [row["default"] for row in rows]
        except OSError as error:
            raise EvaluationError(f"{path}: {error.strerror}") from error
        except (ValueError, TypeError, KeyError) as error:
            raise EvaluationError(
                f'{path}: not a list of {{"application": ..., "default": true or false}}: {error!r}'
            ) from error
        if {*map(repr, outcomes)} != {"True", "False"}:
            raise EvaluationError(f"{path}: outcomes must be true and false, and some of each")
        return cls(applications, np.array(outcomes), hashlib.sha256(content).hexdigest())


@dataclass(frozen=True)
class Deployed:
    """What the deployed model answered.

    Attributes:
        card: of the model.
        defaults: how the applications ended.
        propensities: that it answered to them.
        features: of the applications; None where they are not all known.
        of: what they are, in words.
        is_holdout: whether they are the notebook's own hold-out set, so that metrics must be the same.
        faults: what is wrong with the answers by themselves, in words.
    """

    card: ModelCard
    defaults: Defaults
    propensities: Propensities
    features: Features | None
    of: str
    is_holdout: bool
    faults: list[str]


def asked(api: Api, card: ModelCard, known: Known) -> Deployed:
    """What the running service answers, one by one and as a batch.

    Args:
        api: of the service.
        card: of the model that it says it serves.
        known: what it is asked.

    Raises:
        EvaluationError: it does not answer, or answers with a problem.
    """
    singles = []
    with progress("predicting", len(known.applications)) as advance:
        for prediction in api.one_by_one(known.applications):
            singles.append(prediction)
            advance(1)
    faults = [*_differences(singles, api.batch(known.applications), card)]
    is_holdout = known.sha256 == card.holdout.sha256
    return Deployed(
        card,
        known.defaults,
        np.array([each["propensity"] for each in singles]),
        encode([Application.model_validate(each) for each in known.applications]),
        "the notebook's hold-out set" if is_holdout else "not the notebook's hold-out set",
        is_holdout,
        faults,
    )


def _differences(
    singles: list[dict[str, Any]], batch: list[dict[str, Any]], card: ModelCard
) -> Iterator[str]:
    """Whether both endpoints answer the same, by the model and the threshold of the card."""
    differing = [place for place, pair in enumerate(zip(singles, batch, strict=True)) if pair[0] != pair[1]]
    if differing:
        yield f"{len(differing):,} predictions differ between /v1/predict and the batch, first {differing[0]}"
    threshold = card.threshold.value
    for place, each in enumerate(singles):
        expected = "decline" if each["propensity"] >= threshold else "approve"
        if (each["decision"], each["threshold"], each["model"]) != (expected, threshold, card.tag):
            yield f"application {place} is answered {each}, by model {card.tag} and threshold {threshold}"
            return


def metrics(defaults: Defaults, propensities: Propensities, threshold: float) -> dict[str, float]:
    """The notebook's metrics: the first three rank, the next three calibrate, the last three decide."""
    declined = propensities >= threshold
    return {
        **quality(defaults, propensities),
        "calibration_in_the_large": float(propensities.mean() - defaults.mean()),
        "declined": float(declined.mean()),
        "defaults_declined": float(declined[defaults].mean()),
        "good_declined": float(declined[~defaults].mean()),
    }


def calibration(defaults: Defaults, propensities: Propensities) -> dict[str, list[float]]:
    """Mean propensity and share of defaults in each tenth of the applications, by rising propensity."""
    bounds = np.quantile(propensities, np.linspace(0, 1, 11)[1:-1])
    tenths = np.digitize(propensities, bounds, right=True)
    filled = np.unique(tenths)
    return {
        "mean_propensity": [float(propensities[tenths == tenth].mean()) for tenth in filled],
        "default_rate": [float(defaults[tenths == tenth].mean()) for tenth in filled],
    }


def intervals(
    defaults: Defaults, propensities: Propensities, threshold: float, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Of each metric, where 95 of 100 samples of this size would have it (percentile bootstrap)."""
    chance = np.random.default_rng(seed)
    found: list[dict[str, float]] = []
    # What is drawn has been checked: checking it again would take most of the time.
    with config_context(assume_finite=True, skip_parameter_validation=True):
        while len(found) < RESAMPLES:
            drawn = chance.integers(0, len(defaults), len(defaults))
            if 0 < defaults[drawn].sum() < len(defaults):
                found.append(metrics(defaults[drawn], propensities[drawn], threshold))
    return {
        name: tuple(np.percentile([each[name] for each in found], [2.5, 97.5]).tolist()) for name in found[0]
    }


@dataclass(frozen=True)
class Evaluation:
    """What the deployed model did, beside what the notebook promised.

    Attributes:
        deployed: what it answered.
        promised: that the notebook's pickle predicts; None where it is not at hand.
        stated: the metrics that the manifest has.
        faults: what is not as promised, in words.
    """

    deployed: Deployed
    promised: Propensities | None
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    stated: dict[str, float]
    calibration: dict[str, list[float]]
    confusion: dict[str, int]
    faults: list[str]


def notebooks(pickle: Path, card: ModelCard) -> PipelineForm:
    """The notebook's own pipeline.

    Raises:
        EvaluationError: the pickle is not the one that is deployed.
    """
    try:
        return PipelineForm(gate.load_pipeline(gate.checked_pickle(pickle, card.pickle.sha256)))
    except GateError as error:
        raise EvaluationError(f"{error}; leave the pickle out, or give the one that is deployed") from error


def evaluate(deployed: Deployed, notebook: PipelineForm | None) -> Evaluation:
    """Hold what the deployed model answered against what the notebook promised.

    Args:
        deployed: what it answered.
        notebook: the notebook's pipeline, to compare each row with; without it that is left out.
    """
    threshold = deployed.card.threshold.value
    of = (deployed.defaults, deployed.propensities)
    found, spread = metrics(*of, threshold), intervals(*of, threshold)
    manifest = deployed.card.metrics.model_dump()
    stated = {name: float(manifest[name]) for name in found if isinstance(manifest.get(name), int | float)}
    tenths, decided = calibration(*of), confusion(deployed.defaults, deployed.propensities >= threshold)
    promised = None
    if notebook is not None and deployed.features is not None:
        promised = notebook.propensities(deployed.features)
    faults = [*deployed.faults, *_parity(deployed.propensities, promised)]
    if deployed.is_holdout:
        faults += _not_the_same(found, stated)
        compared: dict[str, dict[str, Any]] = {"confusion": {**decided}, "calibration": {**tenths}}
        for name, ours in compared.items():
            theirs = manifest.get(name)
            if theirs is not None and not _is_close(ours, theirs):
                faults.append(f"{name} is {ours}; the notebook found {theirs} on the same applications")
    else:
        faults += _unlikely(found, spread, stated)
    return Evaluation(deployed, promised, found, spread, stated, tenths, decided, faults)


def _parity(propensities: Propensities, promised: Propensities | None) -> Iterator[str]:
    if promised is None:
        return
    differences = np.abs(propensities - promised)
    (differing,) = np.nonzero(differences > TOLERANCE)
    if len(differing):
        yield (
            f"{len(differing):,} propensities differ from the notebook's pickle, by up to"
            f" {differences.max():.2g}; the first is application {differing[0]}"
        )


def _not_the_same(found: dict[str, float], stated: dict[str, float]) -> Iterator[str]:
    for name, value in stated.items():
        if abs(found[name] - value) > TOLERANCE:
            yield f"{name} is {found[name]:.6f}; the notebook found {value:.6f} on the same applications"


def _unlikely(
    found: dict[str, float], spread: dict[str, tuple[float, float]], stated: dict[str, float]
) -> Iterator[str]:
    for name, value in stated.items():
        low, high = spread[name]
        if not low <= value <= high:
            yield f"{name} is {found[name]:.4f} ({low:.4f} to {high:.4f}); the notebook found {value:.4f}"


def _is_close(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return ours.keys() == theirs.keys() and all(
        np.shape(ours[name]) == np.shape(theirs[name]) and np.allclose(ours[name], theirs[name], 0, TOLERANCE)
        for name in ours
    )
