"""The figures of an evaluation, `evaluation.json`: what programs, and the model card, read of it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ValidationError

from propensity.evaluation.errors import EvaluationError
from propensity.evaluation.evaluation import Evaluation
from propensity.model.manifest import Served


class Figures(BaseModel):
    """The figures of an evaluation.

    Attributes:
        model: model tag.
        pickle: digest of its pickle.
        served: the form in which it is served.
        of: what the rows are, in words.
        rows: how many there are.
        positives: how many of them belong to the positive class.
        metrics: by name.
        intervals: range of each metric in 95 of 100 samples.
        notebook: the metrics that the manifest states.
        confusion: number of rows by class and decision.
        calibration: mean propensity and share of positives by quantile.
        max_difference: largest difference of a propensity from that of the notebook's pickle, if compared.
        faults: what is not as promised, in words.
    """

    model: str
    pickle: str
    served: Served
    of: str
    rows: int
    positives: int
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    notebook: dict[str, float]
    confusion: dict[str, int]
    calibration: dict[str, list[float]]
    max_difference: float | None
    faults: list[str]

    @classmethod
    def of_evaluation(cls, evaluation: Evaluation) -> Figures:
        """Return the figures of an evaluation."""
        deployed, stated = evaluation.deployed, evaluation.stated.metrics
        return cls(
            model=deployed.card.tag,
            pickle=deployed.card.pickle.sha256,
            served=deployed.card.served,
            of=deployed.of,
            rows=len(deployed.truth),
            positives=int(deployed.truth.sum()),
            metrics=evaluation.metrics,
            intervals=evaluation.intervals,
            notebook={name: stated[name] for name in evaluation.metrics if name in stated},
            confusion=evaluation.confusion,
            calibration=evaluation.calibration,
            max_difference=evaluation.max_difference,
            faults=evaluation.faults,
        )

    @classmethod
    def read(cls, path: Path) -> Figures:
        """Read the figures of an evaluation.

        Raises:
            EvaluationError: the file can't be read, or another version wrote it.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise EvaluationError(
                f"{path}: {error.strerror}; `evaluate` writes it into its report"
            ) from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise EvaluationError(f"{path}: {where}: {first['msg']}; evaluate again") from error
