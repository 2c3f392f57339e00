"""The manifest: a JSON file in which the notebook describes the pickle that it wrote beside it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Part(BaseModel):
    """A part of the manifest. Members that are not checked here are kept as they are."""

    model_config = ConfigDict(extra="allow", frozen=True)


class PickleFile(Part):
    """The pickle that the manifest describes."""

    file: str = Field(description="Name of a file beside the manifest.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Feature(Part):
    """A column that the pipeline takes."""

    name: str
    dtype: Literal["number", "category"]
    nullable: bool
    categories: list[str] | None = None
    minimum: float | None = Field(default=None, description="In the training set.")
    maximum: float | None = Field(default=None, description="In the training set.")


class Threshold(Part):
    """The threshold: at or above `value` the decision is `decline`."""

    value: float = Field(gt=0, lt=1)


class Metrics(Part):
    """Metrics on the hold-out set."""

    auc: float = Field(ge=0, le=1)
    gini: float = Field(ge=-1, le=1)
    ks: float = Field(ge=0, le=1)
    brier: float = Field(ge=0, le=1)
    declined: float | None = Field(default=None, ge=0, le=1, description="Share that is declined.")


class Holdout(Part):
    """The hold-out set: applications that took no part in any choice, as API payloads with their outcomes."""

    file: str = Field(description="Path, relative to the manifest.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    rows: int = Field(gt=0)


class Manifest(Part):
    """The notebook's description of its model."""

    name: str = Field(pattern="^[a-z][a-z0-9_-]*$")
    pickle: PickleFile
    libraries: dict[str, str] = Field(description="Versions of Python and libraries that pickled it.")
    algorithm: str
    features: list[Feature]
    threshold: Threshold
    metrics: Metrics
    holdout: Holdout
    data: dict[str, object] = Field(description="Source, licence and size of the data.")
    seed: int
    trained_at: datetime
    training_seconds: float = Field(ge=0)


class Parity(Part):
    """The comparison of a compiled form with its pipeline."""

    rows: int = Field(gt=0, description="Applications that both predicted.")
    max_difference: float = Field(ge=0, description="Largest difference of two propensities.")
    decisions_changed: int = Field(ge=0)


class CompiledModel(Part):
    """A model in compiled form: tables, proven equal to the pipeline."""

    form: Literal["compiled"] = "compiled"
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    parity: Parity


class PipelineModel(Part):
    """A model in pipeline form."""

    form: Literal["pipeline"] = "pipeline"
    reason: str = Field(description="Why it is not compiled.")


class Distribution(Part):
    """The distribution of a field, or of the propensity, in the hold-out set."""

    bounds: list[float] | None = Field(
        default=None, description="For numbers, the highest value of each bin but the last."
    )
    ratios: list[float] = Field(description="Share of each bin; for a nullable field, the last is missing.")


class ServedManifest(Manifest):
    """The manifest of a model in the store, with the form that is served and the reference for drift."""

    reference: dict[str, Distribution] = Field(description="Of each field, and of the propensity.")
    served: Annotated[CompiledModel | PipelineModel, Field(discriminator="form")]


class ModelCard(ServedManifest):
    """The response of `/v1/model`: the manifest of the loaded model, and its tag."""

    tag: str = Field(description="Model tag, as in every prediction.")


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
            f"{path}: {where}: {first['msg']}; correct the notebook that wrote it, and run it again"
        ) from error
