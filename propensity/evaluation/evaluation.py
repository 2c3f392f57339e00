"""Evaluation: does the deployed model predict as well as the notebook said?

Computes the notebook's metrics from the predictions of the deployed model and compares them with the model's
manifest; compares each propensity with that of the notebook's pickle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.calibration import calibration_curve

from propensity.contract.application import Application
from propensity.contract.features import Features, Propensities, encode
from propensity.evaluation.client import Api
from propensity.evaluation.errors import EvaluationError
from propensity.files.progress import progress
from propensity.importing.figures import Defaults, confusion, quality
from propensity.model import gate
from propensity.model.gate import GateError
from propensity.model.manifest import ModelCard
from propensity.model.pipeline import PipelineForm

TOLERANCE = 1e-9
"""Largest difference of a propensity or a metric from the notebook's; the API returns all digits."""

RESAMPLES = 1_000
"""Number of bootstrap samples."""


@dataclass(frozen=True)
class KnownOutcomes:
    """Applications with known outcomes.

    Attributes:
        applications: as JSON objects.
        defaults: which of them ended in default, shape (n,).
        sha256: digest of the file.
    """

    applications: list[dict[str, Any]]
    defaults: Defaults
    sha256: str

    @classmethod
    def read(cls, path: Path) -> KnownOutcomes:
        """Read a file like the notebook's hold-out set: `[{"application": {...}, "default": true}, ...]`.

        Raises:
            EvaluationError: the file can't be read, or is not like that.
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
class DeployedPredictions:
    """Predictions of the deployed model for applications with known outcomes.

    Attributes:
        card: the card of the model.
        defaults: which applications ended in default, shape (n,).
        propensities: shape (n,).
        features: the applications, shape (n, columns); None if some fields are unknown.
        of: what the applications are, in words.
        is_holdout: whether they are the notebook's hold-out set; then metrics must be the same.
        faults: what is wrong with the predictions by themselves, in words.
    """

    card: ModelCard
    defaults: Defaults
    propensities: Propensities
    features: Features | None
    of: str
    is_holdout: bool
    faults: list[str]


def ask_service(api: Api, card: ModelCard, known: KnownOutcomes) -> DeployedPredictions:
    """Return the predictions of the running service, after comparing both endpoints.

    Args:
        api: the service.
        card: the card of the model that it serves.
        known: the applications to send, one by one and as a batch.

    Raises:
        EvaluationError: the service does not answer, or answers with a problem.
    """
    singles = []
    with progress("predicting", len(known.applications)) as advance:
        for prediction in api.one_by_one(known.applications):
            singles.append(prediction)
            advance(1)
    is_holdout = known.sha256 == card.holdout.sha256
    return DeployedPredictions(
        card,
        known.defaults,
        np.array([prediction["propensity"] for prediction in singles]),
        encode([Application.model_validate(application) for application in known.applications]),
        "the notebook's hold-out set" if is_holdout else "not the notebook's hold-out set",
        is_holdout,
        faults=[*_endpoint_faults(singles, api.batch(known.applications), card)],
    )


def _endpoint_faults(
    singles: list[dict[str, Any]], batch: list[dict[str, Any]], card: ModelCard
) -> Iterator[str]:
    """Both endpoints must answer the same, by the model and the threshold of the card."""
    differing = [place for place, pair in enumerate(zip(singles, batch, strict=True)) if pair[0] != pair[1]]
    if differing:
        yield f"{len(differing):,} predictions differ between /v1/predict and the batch, first {differing[0]}"
    threshold = card.threshold.value
    for place, prediction in enumerate(singles):
        decision = "decline" if prediction["propensity"] >= threshold else "approve"
        found = (prediction["decision"], prediction["threshold"], prediction["model"])
        if found != (decision, threshold, card.tag):
            yield (
                f"application {place} is answered {prediction}, by model {card.tag} and threshold {threshold}"
            )
            return


def metrics(defaults: Defaults, propensities: Propensities, threshold: float) -> dict[str, float]:
    """Return the notebook's metrics by name, of ranking, of calibration and of decisions."""
    declined = propensities >= threshold
    return {
        **quality(defaults, propensities),
        "calibration_in_the_large": float(propensities.mean() - defaults.mean()),
        "declined": float(declined.mean()),
        "defaults_declined": float(declined[defaults].mean()),
        "good_declined": float(declined[~defaults].mean()),
    }


def calibration(defaults: Defaults, propensities: Propensities) -> dict[str, list[float]]:
    """Return the mean propensity and the share of defaults in each tenth, by rising propensity."""
    observed, predicted = calibration_curve(defaults, propensities, n_bins=10, strategy="quantile")
    return {"mean_propensity": predicted.tolist(), "default_rate": observed.tolist()}


def intervals(
    defaults: Defaults, propensities: Propensities, threshold: float, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return the range of each metric in 95 of 100 samples of this size (percentile bootstrap)."""
    chance = np.random.default_rng(seed)
    resamples: list[dict[str, float]] = []
    # The original sample has been validated; validating each resample would take most of the time.
    with config_context(assume_finite=True, skip_parameter_validation=True):
        while len(resamples) < RESAMPLES:
            drawn = chance.integers(0, len(defaults), len(defaults))
            if 0 < defaults[drawn].sum() < len(defaults):
                resamples.append(metrics(defaults[drawn], propensities[drawn], threshold))
    return {
        name: tuple(np.percentile([resample[name] for resample in resamples], [2.5, 97.5]).tolist())
        for name in resamples[0]
    }


@dataclass(frozen=True)
class Evaluation:
    """The predictions of the deployed model beside what the notebook promised.

    Attributes:
        deployed: the predictions.
        promised: propensities of the notebook's pickle, shape (n,); None if it can't predict them.
        metrics: of the predictions, by name.
        intervals: range of each metric in 95 of 100 samples.
        stated: metrics that the manifest states.
        calibration: mean propensity and share of defaults by tenths.
        confusion: number of applications by outcome and decision.
        faults: what is not as promised, in words.
    """

    deployed: DeployedPredictions
    promised: Propensities | None
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    stated: dict[str, float]
    calibration: dict[str, list[float]]
    confusion: dict[str, int]
    faults: list[str]

    @property
    def max_difference(self) -> float | None:
        """Largest difference of a propensity from that of the notebook's pickle."""
        if self.promised is None:
            return None
        return float(np.abs(self.deployed.propensities - self.promised).max())


def load_notebook_pipeline(pickle: Path, card: ModelCard) -> PipelineForm:
    """Load the notebook's own pipeline.

    Raises:
        EvaluationError: the pickle is not the one that is deployed.
    """
    try:
        return PipelineForm(gate.load_pipeline(gate.checked_pickle(pickle, card.pickle.sha256)))
    except GateError as error:
        raise EvaluationError(f"{error}; leave the pickle out, or give the one that is deployed") from error


def evaluate(deployed: DeployedPredictions, notebook: PipelineForm | None) -> Evaluation:
    """Compare the predictions of the deployed model with what the notebook promised.

    Args:
        deployed: the predictions.
        notebook: the notebook's pipeline, to compare each propensity with; None to leave that out.
    """
    defaults, propensities = deployed.defaults, deployed.propensities
    threshold = deployed.card.threshold.value
    measured = metrics(defaults, propensities, threshold)
    ranges = intervals(defaults, propensities, threshold)
    tenths, decided = calibration(defaults, propensities), confusion(defaults, propensities >= threshold)
    manifest = deployed.card.metrics.model_dump()
    stated = {name: float(manifest[name]) for name in measured if isinstance(manifest.get(name), int | float)}
    promised = None
    if notebook is not None and deployed.features is not None:
        promised = notebook.propensities(deployed.features)
    faults = [*deployed.faults, *_pickle_faults(propensities, promised)]
    if deployed.is_holdout:
        faults += _metric_faults(measured, stated)
        for name, ours in (("confusion", decided), ("calibration", tenths)):
            theirs = manifest.get(name)
            if theirs is not None and not _is_close(ours, theirs):
                faults.append(f"{name} is {ours}; the notebook found {theirs} on the same applications")
    else:
        faults += _interval_faults(measured, ranges, stated)
    return Evaluation(deployed, promised, measured, ranges, stated, tenths, decided, faults)


def _pickle_faults(propensities: Propensities, promised: Propensities | None) -> Iterator[str]:
    if promised is None:
        return
    differences = np.abs(propensities - promised)
    (differing,) = np.nonzero(differences > TOLERANCE)
    if len(differing):
        yield (
            f"{len(differing):,} propensities differ from the notebook's pickle, by up to"
            f" {differences.max():.2g}; the first is application {differing[0]}"
        )


def _metric_faults(measured: dict[str, float], stated: dict[str, float]) -> Iterator[str]:
    for name, value in stated.items():
        if abs(measured[name] - value) > TOLERANCE:
            yield f"{name} is {measured[name]:.6f}; the notebook found {value:.6f} on the same applications"


def _interval_faults(
    measured: dict[str, float], ranges: dict[str, tuple[float, float]], stated: dict[str, float]
) -> Iterator[str]:
    for name, value in stated.items():
        low, high = ranges[name]
        if not low <= value <= high:
            yield f"{name} is {measured[name]:.4f} ({low:.4f} to {high:.4f}); the notebook found {value:.4f}"


def _is_close(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    return ours.keys() == theirs.keys() and all(
        np.shape(ours[name]) == np.shape(theirs[name]) and np.allclose(ours[name], theirs[name], 0, TOLERANCE)
        for name in ours
    )
