"""Known outcomes: rows that the running service predicts now, though what came of them is known."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from propensity.contract.features import Features, Propensities
from propensity.evaluation.client import Api
from propensity.evaluation.errors import EvaluationError
from propensity.evaluation.evaluation import DeployedPredictions, tolerance
from propensity.files.progress import progress
from propensity.importing import holdout
from propensity.importing.figures import Truth
from propensity.model.gate import GateError
from propensity.model.manifest import Manifest, ModelCard


@dataclass(frozen=True)
class KnownOutcomes:
    """Rows with known outcomes.

    Attributes:
        features: of the rows, shape (n, columns).
        truth: which of them belong to the positive class, shape (n,).
        sha256: digest of the file.
    """

    features: Features
    truth: Truth
    sha256: str

    @classmethod
    def read(cls, path: Path, manifest: Manifest) -> KnownOutcomes:
        """Read a file like the notebook's hold-out set, in the words of the model's manifest.

        Raises:
            EvaluationError: the file can't be read, or is not like that.
        """
        try:
            content = path.read_bytes()
            features, truth = holdout.parse(content, manifest.contract, manifest.target.name)
        except OSError as error:
            raise EvaluationError(f"{path}: {error.strerror}") from error
        except GateError as error:
            raise EvaluationError(f"{path}: {error}") from error
        if truth.all() or not truth.any():
            raise EvaluationError(
                f"{path}: {manifest.target.name} must be true for some {manifest.contract.rows}, and false"
                " for others"
            )
        return cls(features, truth, hashlib.sha256(content).hexdigest())


def ask_service(api: Api, card: ModelCard, known: KnownOutcomes) -> DeployedPredictions:
    """Return the predictions of the running service, after comparing both endpoints.

    Args:
        api: the service.
        card: the card of the model that it serves.
        known: the rows to send, one by one and as a batch.

    Raises:
        EvaluationError: the service does not answer, or answers with a problem.
    """
    rows = card.contract.decode(known.features)
    singles = []
    with progress("predicting", len(rows)) as advance:
        for prediction in api.one_by_one(rows):
            singles.append(prediction)
            advance(1)
    batch = api.batch(rows, card.contract)
    is_holdout = known.sha256 == card.holdout.sha256
    return DeployedPredictions(
        card,
        known.truth,
        _propensities(singles),
        known.features,
        "the notebook's hold-out set" if is_holdout else "not the notebook's hold-out set",
        is_holdout,
        faults=[
            *_differences(_propensities(singles), _propensities(batch), card),
            *_inconsistencies("/v1/predict", singles, card),
            *_inconsistencies("/v1/predict_batch", batch, card),
        ],
    )


def _propensities(predictions: list[dict[str, Any]]) -> Propensities:
    return np.array([prediction["propensity"] for prediction in predictions])


def _differences(singles: Propensities, batch: Propensities, card: ModelCard) -> Iterator[str]:
    """Both endpoints must answer the same, though a model may add up differently in a batch."""
    differences = np.abs(singles - batch)
    (differing,) = np.nonzero(differences > tolerance(card))
    if len(differing):
        yield (
            f"{len(differing):,} propensities differ between /v1/predict and /v1/predict_batch, by up to"
            f" {differences.max():.2g}; the first is {card.contract.row} {differing[0]}"
        )


def _inconsistencies(path: str, predictions: list[dict[str, Any]], card: ModelCard) -> Iterator[str]:
    """A decision must follow from its own propensity, by the model and the threshold of the card."""
    threshold = card.threshold.value
    for place, prediction in enumerate(predictions):
        decision = card.contract.decision_names[prediction["propensity"] >= threshold]
        found = (prediction["decision"], prediction["threshold"], prediction["model"])
        if found != (decision, threshold, card.tag):
            yield (
                f"{path} answers {card.contract.row} {place} with {prediction}; the model is {card.tag}, with"
                f" the threshold {threshold}"
            )
            return
