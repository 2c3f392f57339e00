"""The manifest: a JSON file in which the notebook describes the pickle that it wrote beside it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from propensity.contract.contract import Contract


class Part(BaseModel):
    """A part of the manifest. Members that are not checked here are kept as they are."""

    model_config = ConfigDict(extra="allow", frozen=True)


class PickleFile(Part):
    """The pickle that the manifest describes."""

    file: str = Field(description="Name of a file beside the manifest.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Target(Part):
    """What the pipeline predicts: the probability of one of its two classes."""

    name: str = Field(min_length=1, description="Column of the outcome in the data.")
    positive: str = Field(description="The class whose probability is the propensity, as text.")
    negative: str = Field(description="The other class, as text.")


class Threshold(Part):
    """The threshold: at or above `value` the decision is the positive one."""

    value: float = Field(gt=0, lt=1)


class Metrics(Part):
    """Metrics on the hold-out set."""

    auc: float = Field(ge=0, le=1)
    gini: float = Field(ge=-1, le=1)
    ks: float = Field(ge=0, le=1)
    brier: float = Field(ge=0, le=1)
    selected: float | None = Field(
        default=None, ge=0, le=1, description="Share whose propensity reaches the threshold."
    )


class Holdout(Part):
    """The hold-out set: rows that took no part in any choice, as callers send them, with their outcomes.

    The file is a JSON list of objects with two members: a row, called as the contract calls it, and under the
    name of the target whether the row belongs to the positive class.
    """

    file: str = Field(description="Path, relative to the manifest.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    rows: int = Field(gt=0)
    positives: int = Field(gt=0, description="Rows of the positive class.")


class Manifest(Part):
    """The notebook's description of its model."""

    name: str = Field(pattern="^[a-z][a-z0-9_-]*$")
    pickle: PickleFile
    libraries: dict[str, str] = Field(description="Versions of Python and libraries that pickled it.")
    algorithm: str
    takes: Literal["frame", "array"] = Field(
        default="frame", description="Whether the pipeline takes named columns, or an array of them."
    )
    target: Target
    contract: Contract
    threshold: Threshold
    metrics: Metrics
    holdout: Holdout
    data: dict[str, object] = Field(default_factory=dict, description="Source, licence and size of the data.")
    seed: int | None = None
    trained_at: datetime | None = Field(default=None, description="When, if whoever wrote the manifest knew.")
    training_seconds: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.target.name == self.contract.row:
            raise ValueError(
                "target.name and contract.row are the same word, in a hold-out set they can't be"
            )
        if self.target.positive == self.target.negative:
            raise ValueError("target.positive and target.negative are the same class")
        return self


class Parity(Part):
    """The comparison of a compiled form with its pipeline."""

    rows: int = Field(gt=0, description="Rows that both predicted.")
    max_difference: float = Field(ge=0, description="Largest difference of two propensities.")
    decisions_changed: int = Field(ge=0)


class PassedOver(Part):
    """A form that the model is not served in."""

    form: FormName
    reason: str


FormName = Literal["grids", "tables", "additive", "mixture", "forest", "pipeline"]


class Served(Part):
    """The form in which a model is served."""

    form: FormName = Field(
        description="Grids or tables of trees, a sum of functions of one field each, a mean of compiled"
        " forms, a compiled forest, or the pipeline."
    )
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="Digest of the stored form.")
    parity: Parity | None = Field(default=None, description="How it was proven; not for the pipeline itself.")
    passed_over: list[PassedOver] = Field(
        default_factory=list, description="The faster forms, and why it is none of them."
    )


class Distribution(Part):
    """The distribution of a field, or of the propensity, in the hold-out set."""

    bounds: list[float] | None = Field(
        default=None, description="For numbers, the highest value of each bin but the last."
    )
    ratios: list[float] = Field(description="Share of each bin; for a nullable field, the last is missing.")


class Roc(Part):
    """Points of the ROC curve, from the highest threshold to the lowest."""

    false_positive_rate: list[float]
    recall: list[float]


class Calibration(Part):
    """The calibration curve, a point for each quantile of the propensities."""

    mean_propensity: list[float]
    positive_rate: list[float]


class HoldoutCurves(Part):
    """The curves of the hold-out set."""

    roc: Roc
    calibration: Calibration | None = Field(
        default=None, description="Where `metrics` does not state the curve."
    )


class ServedManifest(Manifest):
    """The manifest of a model in the store, with the form that is served and the reference for drift."""

    reference: dict[str, Distribution] = Field(description="Of each field, and of the propensity.")
    holdout_curves: HoldoutCurves | None = Field(
        default=None, description="Not of a model that an older version imported."
    )
    served: Served


class ModelCard(ServedManifest):
    """The response of `/v1/model`: the manifest of the loaded model, and its tag."""

    tag: str = Field(description="Model tag, as in every prediction.")
    signature_verified: bool = Field(
        default=False, description="Whether the service has verified the signature of the model."
    )


class ManifestError(Exception):
    """A manifest can't be read; the message says where."""


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        ManifestError: the file is missing, is not JSON, or is not a valid manifest.
    """
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ManifestError(
            f"{path}: {error.strerror}; a pickle has its manifest beside it, written by the same notebook"
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ManifestError(
            f"{path}: {where}: {first['msg']}; correct it there, or run again whatever wrote it"
        ) from error
