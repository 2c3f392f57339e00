"""Evaluation: is the model that answers the API as good as the notebook said?

    python -m propensity.evaluate --url http://127.0.0.1:3000 --token TOKEN
    make evaluate

Sends applications with known outcomes through the running API, one by one and as a batch, computes the
notebook's metrics from what it answers, and compares them with the manifest that the deployed model carries;
each propensity also with what the notebook's pickle predicts. Writes a report with pictures, ends with a
verdict, and with exit code 1 where production is not what was promised.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
from rich.progress import track
from sklearn.metrics import brier_score_loss, confusion_matrix, log_loss, roc_auc_score, roc_curve

from propensity import gate
from propensity.contract import Application
from propensity.features import Propensities, encode
from propensity.gate import GateError
from propensity.manifest import ModelCard
from propensity.pipeline import PipelineForm

TOLERANCE = 1e-9
"""By which a propensity or a metric may differ from the notebook's: the API answers all its digits."""

RESAMPLES = 1_000
"""Of the bootstrap."""

HOLDOUT = Path("load_tests/data/applications.json")
"""The notebook's hold-out set."""

BATCH = 1_000
"""Applications a request, when they are sent as batches."""

Outcomes = npt.NDArray[np.bool_]
"""Which applications ended in default, shape (n,)."""


class EvaluationError(Exception):
    """An evaluation that can't be made; the message says what is missing."""


@dataclass(frozen=True)
class Known:
    """Applications with known outcomes."""

    applications: list[dict[str, Any]]
    outcomes: Outcomes
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


class Api:
    """The running service, through one connection."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise EvaluationError(f"{url!r} is not the URL of a service, such as http://127.0.0.1:3000")
        connections = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        self._connection = connections[parts.scheme](parts.hostname, parts.port, timeout=60)
        self._base = parts.path.rstrip("/")
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def model_card(self) -> ModelCard:
        """Of the model that answers."""
        return ModelCard.model_validate(self._ask("GET", "/v1/model"))

    def one_by_one(self, applications: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The prediction of each application, in a request of its own."""
        for application in applications:
            yield self._ask("POST", "/v1/predict", application)

    def batch(self, applications: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The predictions of all, in requests of `BATCH`.

        Raises:
            EvaluationError: there is a problem in the place of one.
        """
        found: list[dict[str, Any]] = []
        for start in range(0, len(applications), BATCH):
            body = {"applications": applications[start : start + BATCH]}
            found += self._ask("POST", "/v1/predict_batch", body)["predictions"]
        for place, row in enumerate(found):
            if "propensity" not in row:
                raise EvaluationError(f"application {place}: {row['detail']}")
        return found

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        content = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, self._base + path, content, self._headers)
            answer = self._connection.getresponse()
            found = json.loads(answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise EvaluationError(f"{self._url} does not answer ({error}); `make serve` starts it") from error
        except ValueError as error:
            raise EvaluationError(f"{self._url}{path} does not answer JSON: is it this service?") from error
        if answer.status != http.client.OK:
            raise EvaluationError(f"{self._url}{path} answers {answer.status}: {found.get('detail')}")
        return found


def metrics(outcomes: Outcomes, propensities: Propensities, threshold: float) -> dict[str, float]:
    """The notebook's metrics: the first three rank, the next two calibrate, the last three decide."""
    auc = float(roc_auc_score(outcomes, propensities))
    good_declined, defaults_declined, _ = roc_curve(outcomes, propensities)
    declined = propensities >= threshold
    return {
        "auc": auc,
        "gini": 2 * auc - 1,
        "ks": float(np.max(defaults_declined - good_declined)),
        "brier": float(brier_score_loss(outcomes, propensities)),
        "log_loss": float(log_loss(outcomes, propensities)),
        "declined": float(declined.mean()),
        "defaults_declined": float(declined[outcomes].mean()),
        "good_declined": float(declined[~outcomes].mean()),
    }


def intervals(
    outcomes: Outcomes, propensities: Propensities, threshold: float, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Of each metric, where 95 of 100 samples of this size would have it (percentile bootstrap)."""
    chance = np.random.default_rng(seed)
    found: list[dict[str, float]] = []
    while len(found) < RESAMPLES:
        drawn = chance.integers(0, len(outcomes), len(outcomes))
        if 0 < outcomes[drawn].sum() < len(outcomes):
            found.append(metrics(outcomes[drawn], propensities[drawn], threshold))
    return {
        name: tuple(np.percentile([each[name] for each in found], [2.5, 97.5]).tolist()) for name in found[0]
    }


@dataclass(frozen=True)
class Evaluation:
    """What the deployed model did, beside what the notebook promised.

    Attributes:
        card: of the deployed model.
        known: what it was evaluated on.
        propensities: that the API answered, one by one.
        promised: that the notebook's pickle predicts; None where it is not at hand.
        faults: what is not as promised, in words.
        is_holdout: whether `known` is the notebook's own hold-out set, so that metrics must be the same.
    """

    card: ModelCard
    known: Known
    propensities: Propensities
    promised: Propensities | None
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    confusion: dict[str, int]
    is_holdout: bool
    faults: list[str]

    def stated(self, metric: str) -> float | None:
        """What the manifest says."""
        value = getattr(self.card.metrics, metric, None)
        return float(value) if isinstance(value, int | float) else None


def evaluate(api: Api, known: Known, pickle: Path | None) -> Evaluation:
    """Evaluate the deployed model.

    Args:
        api: the running service.
        known: applications with their outcomes.
        pickle: the notebook's, to compare each row with; without one that is left out.

    Raises:
        EvaluationError: it does not answer, or the pickle is not the one that is deployed.
    """
    card = api.model_card()
    singles = list(
        track(api.one_by_one(known.applications), "predicting", total=len(known.applications), transient=True)
    )
    batch = api.batch(known.applications)
    propensities = np.array([each["propensity"] for each in singles])
    threshold = card.threshold.value
    faults = [*_parity(singles, batch, card)]
    promised = None if pickle is None else _promised(pickle, card, known)
    if promised is not None:
        differences = np.abs(propensities - promised)
        if differences.max() > TOLERANCE:
            faults.append(
                f"{int((differences > TOLERANCE).sum()):,} propensities differ from the notebook's pickle, by"
                f" up to {differences.max():.2g}; the first is application {int(differences.argmax())}"
            )
    found = metrics(known.outcomes, propensities, threshold)
    spread = intervals(known.outcomes, propensities, threshold)
    is_holdout = known.sha256 == card.holdout.sha256
    (good_approved, good_declined), (default_approved, default_declined) = confusion_matrix(
        known.outcomes, propensities >= threshold
    ).tolist()
    result = Evaluation(
        card, known, propensities, promised, found, spread,
        {"good_approved": good_approved, "good_declined": good_declined,
         "default_approved": default_approved, "default_declined": default_declined},
        is_holdout, faults,
    )  # fmt: skip
    for name, value in found.items():
        stated = result.stated(name)
        low, high = spread[name]
        if stated is None:
            continue
        if is_holdout and abs(value - stated) > TOLERANCE:
            faults.append(f"{name} is {value:.6f}; the notebook found {stated:.6f} on the same applications")
        elif not is_holdout and not low <= stated <= high:
            faults.append(f"{name} is {value:.4f} ({low:.4f} to {high:.4f}); the notebook found {stated:.4f}")
    return result


def _parity(singles: list[dict[str, Any]], batch: list[dict[str, Any]], card: ModelCard) -> Iterator[str]:
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


def _promised(pickle: Path, card: ModelCard, known: Known) -> Propensities:
    try:
        pipeline = gate.load_pipeline(gate.checked_pickle(pickle, card.pickle.sha256))
    except GateError as error:
        raise EvaluationError(f"{error}; leave the pickle out, or give the one that is deployed") from error
    applications = [Application.model_validate(each) for each in known.applications]
    return PipelineForm(pipeline).propensities(encode(applications))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m propensity.evaluate", description="Is the deployed model what the notebook promised?"
    )
    parser.add_argument("--url", default="http://127.0.0.1:3000", help="of the running service")
    parser.add_argument("--token", default=os.environ.get("TOKEN"), help="of the scope predict ($TOKEN)")
    parser.add_argument("--known", type=Path, default=HOLDOUT, help=f"applications with outcomes ({HOLDOUT})")
    parser.add_argument("--pickle", type=Path, help="the notebook's, to compare each propensity with")
    parser.add_argument("--report", type=Path, default=Path(".local/evaluation"), help="folder to write to")
    given = parser.parse_args()
    if not given.token:
        sys.exit("evaluate: no token; give one with --token, or in TOKEN (`make -s token` prints one)")
    try:
        known = Known.read(given.known)
        with Api(given.url, given.token) as api:
            evaluation = evaluate(api, known, given.pickle)
    except EvaluationError as error:
        sys.exit(f"evaluate: {error}")
    # Only now: pictures need a library that predictions do not.
    from propensity.evaluation_report import lines, write  # noqa: PLC0415

    print("\n".join(lines(evaluation)))
    print(f"\nevaluate: wrote {write(evaluation, given.report)}")
    if evaluation.faults:
        sys.exit("evaluate: NOT as promised:\n" + "\n".join(f"  {fault}" for fault in evaluation.faults))
    print("evaluate: as promised")


if __name__ == "__main__":
    main()
