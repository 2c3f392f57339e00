"""Evaluation: does the deployed model predict as well as the notebook said?

Computes the notebook's metrics from the predictions of the deployed model and compares them with the model's
manifest; compares each propensity with that of the notebook's pickle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn import config_context

from propensity.contract.features import Features, Propensities
from propensity.evaluation.errors import EvaluationError
from propensity.importing import artifact
from propensity.importing.figures import Truth, calibration, confusion, quality
from propensity.model import gate
from propensity.model.gate import GateError
from propensity.model.manifest import ModelCard
from propensity.model.pipeline import PipelineForm

TOLERANCE = 1e-9
"""Largest difference of a propensity or a metric from the notebook's; the API returns all digits."""

RESAMPLES = 1_000
"""Number of bootstrap samples."""

BINS = 10
"""Quantiles of the calibration curve, unless the manifest states another number of them."""


@dataclass(frozen=True)
class DeployedPredictions:
    """Predictions of the deployed model for rows with known outcomes.

    Attributes:
        card: the card of the model.
        truth: which rows belong to the positive class, shape (n,).
        propensities: shape (n,).
        features: of the rows, shape (n, columns); None if some fields are unknown.
        of: what the rows are, in words.
        is_holdout: whether they are the notebook's hold-out set; then metrics must be the same.
        faults: what is wrong with the predictions by themselves, in words.
    """

    card: ModelCard
    truth: Truth
    propensities: Propensities
    features: Features | None
    of: str
    is_holdout: bool
    faults: list[str]


def tolerance(card: ModelCard) -> float:
    """Return how much a propensity may differ from the pipeline's: as much as it did at the import."""
    parity = card.served.parity
    return TOLERANCE if parity is None else TOLERANCE + parity.max_difference


def metrics(truth: Truth, propensities: Propensities, threshold: float) -> dict[str, float]:
    """Return the notebook's metrics by name, of ranking, of calibration and of decisions."""
    selected = propensities >= threshold
    return {
        **quality(truth, propensities),
        "calibration_in_the_large": float(propensities.mean() - truth.mean()),
        "selected": float(selected.mean()),
        "recall": float(selected[truth].mean()),
        "false_positive_rate": float(selected[~truth].mean()),
    }


def intervals(
    truth: Truth, propensities: Propensities, threshold: float, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return the range of each metric in 95 of 100 samples of this size (percentile bootstrap)."""
    chance = np.random.default_rng(seed)
    resamples: list[dict[str, float]] = []
    # The original sample has been validated; validating each resample would take most of the time.
    with config_context(assume_finite=True, skip_parameter_validation=True):
        while len(resamples) < RESAMPLES:
            drawn = chance.integers(0, len(truth), len(truth))
            if 0 < truth[drawn].sum() < len(truth):
                resamples.append(metrics(truth[drawn], propensities[drawn], threshold))
    return {
        name: tuple(np.percentile([resample[name] for resample in resamples], [2.5, 97.5]).tolist())
        for name in resamples[0]
    }


@dataclass(frozen=True)
class Stated:
    """The figures that a manifest states, as far as they can be compared; others are left out."""

    metrics: dict[str, float]
    confusion: dict[str, float]
    calibration: dict[str, list[float]]

    @classmethod
    def of(cls, card: ModelCard) -> Stated:
        """Return the figures of a manifest."""
        stated = card.metrics.model_dump()
        curve = stated.get("calibration")
        lists = curve.items() if isinstance(curve, Mapping) else ()
        return cls(
            _numbers(stated),
            _numbers(stated.get("confusion")),
            {name: [*map(float, points)] for name, points in lists if isinstance(points, list)},
        )


def _numbers(stated: object) -> dict[str, float]:
    figures = stated.items() if isinstance(stated, Mapping) else ()
    return {name: float(figure) for name, figure in figures if isinstance(figure, int | float)}


@dataclass(frozen=True)
class Evaluation:
    """The predictions of the deployed model beside what the notebook promised.

    Attributes:
        deployed: the predictions.
        promised: propensities of the notebook's pickle, shape (n,); None if it can't predict them.
        metrics: of the predictions, by name.
        intervals: range of each metric in 95 of 100 samples.
        calibration: mean propensity and share of positives by quantile.
        confusion: number of rows by class and decision.
        stated: the same figures in the manifest.
        faults: what is not as promised, in words.
    """

    deployed: DeployedPredictions
    promised: Propensities | None
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    calibration: dict[str, list[float]]
    confusion: dict[str, int]
    stated: Stated
    faults: list[str]

    @property
    def max_difference(self) -> float | None:
        """Largest difference of a propensity from that of the notebook's pickle."""
        if self.promised is None:
            return None
        return float(np.abs(self.deployed.propensities - self.promised).max())


def load_notebook_pipeline(pickle: Path, card: ModelCard) -> PipelineForm:
    """Load the notebook's own pipeline.

    Args:
        pickle: the pickle, or whatever other file or folder the notebook wrote the model into.
        card: the card of the model that is deployed.

    Raises:
        EvaluationError: it is not the one that is deployed, or must not be loaded.
    """
    try:
        read = artifact.read(pickle)
        if read.sha256 == card.pickle.sha256:
            pipeline = gate.load_pipeline(read.content)
            return PipelineForm(pipeline, card.contract, card.takes, card.target.positive)
    except GateError as error:
        raise EvaluationError(f"{error}; leave it out, or give the model that is deployed") from error
    raise EvaluationError(f"{pickle}: its SHA-256 is not that of {card.tag}, which is deployed")


def evaluate(deployed: DeployedPredictions, notebook: PipelineForm | None) -> Evaluation:
    """Compare the predictions of the deployed model with what the notebook promised.

    Args:
        deployed: the predictions.
        notebook: the notebook's pipeline, to compare each propensity with; None to leave that out.
    """
    truth, propensities = deployed.truth, deployed.propensities
    threshold, stated = deployed.card.threshold.value, Stated.of(deployed.card)
    measured = metrics(truth, propensities, threshold)
    ranges = intervals(truth, propensities, threshold)
    curve = calibration(truth, propensities, max(map(len, stated.calibration.values()), default=BINS))
    promised = None
    if notebook is not None and deployed.features is not None:
        promised = notebook.propensities(deployed.features)
    faults = [*deployed.faults, *_pickle_faults(deployed, promised)]
    if deployed.is_holdout:
        faults += [*_figure_faults(deployed, stated), *_calibration_faults(deployed.card, curve, stated)]
    else:
        faults += _interval_faults(measured, ranges, stated.metrics)
    decided = confusion(truth, propensities >= threshold)
    return Evaluation(deployed, promised, measured, ranges, curve, decided, stated, faults)


def _pickle_faults(deployed: DeployedPredictions, promised: Propensities | None) -> Iterator[str]:
    if promised is None:
        return
    differences = np.abs(deployed.propensities - promised)
    (differing,) = np.nonzero(differences > tolerance(deployed.card))
    if len(differing):
        yield (
            f"{len(differing):,} propensities differ from the notebook's pickle, by up to"
            f" {differences.max():.2g}; the first is {deployed.card.contract.row} {differing[0]}"
        )


def _figure_faults(deployed: DeployedPredictions, stated: Stated) -> Iterator[str]:
    """On the same rows, a figure must be one that propensities within the tolerance can give."""
    truth, threshold, by = deployed.truth, deployed.card.threshold.value, tolerance(deployed.card)
    apart = np.where(truth, by, -by)
    # Each figure rises or falls steadily as all propensities rise, or those of the two classes part.
    possible = []
    for shift in (0, apart, -apart, by, -by):
        propensities = np.clip(deployed.propensities + shift, 0, 1)
        possible.append(metrics(truth, propensities, threshold) | confusion(truth, propensities >= threshold))
    for name, value in (stated.metrics | stated.confusion).items():
        figures = [each[name] for each in possible if name in each]
        if figures and not min(figures) - TOLERANCE <= value <= max(figures) + TOLERANCE:
            yield (
                f"{name} is {figures[0]:.6g}; the notebook found {value:.6g} on the same"
                f" {deployed.card.contract.rows}"
            )


def _calibration_faults(card: ModelCard, curve: dict[str, list[float]], stated: Stated) -> Iterator[str]:
    by = tolerance(card)
    if by > 2 * TOLERANCE:
        return  # A propensity that is off by more than rounding may fall into the next quantile.
    for name, points in curve.items():
        theirs = stated.calibration.get(name, points)
        if len(theirs) != len(points) or not np.allclose(points, theirs, rtol=0, atol=by):
            yield (
                f"calibration: {name} is {points}; the notebook found {theirs} on the same"
                f" {card.contract.rows}"
            )


def _interval_faults(
    measured: dict[str, float], ranges: dict[str, tuple[float, float]], stated: dict[str, float]
) -> Iterator[str]:
    for name in [name for name in measured if name in stated]:
        low, high = ranges[name]
        if not low <= stated[name] <= high:
            yield (
                f"{name} is {measured[name]:.4f} ({low:.4f} to {high:.4f}); the notebook found"
                f" {stated[name]:.4f}"
            )
