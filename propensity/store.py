"""The BentoML model store: how a gated model is kept there, found again, and turned into a scorer."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import bentoml
from bentoml.exceptions import BentoMLException, NotFound
from bentoml.models import BentoModel
from pydantic import ValidationError

from propensity.gate import GateError, check_libraries, checked_bytes, load_pipeline
from propensity.manifest import Manifest
from propensity.scorer import Scorer

NAME = "propensity"
PICKLE = "propensity.pkl"


class StoreError(BentoMLException):
    """The model store holds no model to serve, or one that may not be loaded."""


class ImportedModel(BentoModel):
    """The model that `import_model.py` has imported; says how to get one when there is none."""

    def to_info(self, alias: str | None = None) -> Any:
        """What a Bento records of it."""
        self._require()
        return super().to_info(alias)

    def resolve(self, *args: Any, **kwargs: Any) -> bentoml.Model:
        """The model in the store.

        Raises:
            StoreError: there is none.
        """
        self._require()
        model: bentoml.Model = super().resolve(*args, **kwargs)
        return model

    def pin(self, tag: bentoml.Tag) -> None:
        """Mean this model from now on, whatever the store calls the latest."""
        object.__setattr__(self, "tag", tag)  # BentoML froze it

    def _require(self) -> None:
        if self.stored is None:
            raise StoreError(
                f"no model {self.tag} in the BentoML model store; import one with"
                " `python import_model.py artifacts/propensity.pkl`, or run `make serve`, which does it all"
            )


LATEST = ImportedModel(f"{NAME}:latest")


def save(content: bytes, manifest: Manifest) -> bentoml.Model:
    """Keep a gated pickle in the model store and make it the latest.

    The version is made of what decides: pickle and threshold. So the same model is kept once, however
    often it is imported, and no tag ever changes its meaning.

    Args:
        content: the pickle's bytes, as the gate checked them.
        manifest: becomes the model's metadata.
    """
    identity = f"{manifest.pickle.sha256} {manifest.threshold.value!r}"
    tag = f"{NAME}:{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    kept = _get(tag)
    if kept is not None:
        latest = _get(f"{NAME}:latest")
        if latest is not None and latest.tag == kept.tag:
            return kept
        # An older import: made anew, since a store has no other way to call it the latest again.
        bentoml.models.delete(tag)
    with bentoml.models.create(
        tag,
        labels={"algorithm": manifest.algorithm.replace(" ", "-"), "framework": "scikit-learn"},
        metadata=json.loads(manifest.model_dump_json(exclude_none=True)),
    ) as model:
        Path(model.path_of(PICKLE)).write_bytes(content)
    return bentoml.models.get(tag)


def manifest_of(model: bentoml.Model) -> Manifest:
    """The manifest that a model was imported with.

    Raises:
        StoreError: it was not imported by `import_model.py`.
    """
    try:
        return Manifest.model_validate(model.info.metadata)
    except ValidationError as error:
        raise StoreError(
            f"model {model.tag} was not imported by import_model.py: it has no manifest"
        ) from error


def check(model: bentoml.Model) -> bytes:
    """Pass a stored model through the gate once more, up to its loading: the store may have been changed.

    Returns:
        The bytes of its pickle.

    Raises:
        StoreError: it may not be loaded; the message names model and file.
    """
    manifest = manifest_of(model)
    try:
        content = checked_bytes(Path(model.path_of(PICKLE)), manifest.pickle.sha256)
        check_libraries(manifest.libraries)
    except GateError as error:
        raise StoreError(f"model {model.tag}: {error}") from error
    return content


def load_scorer(model: bentoml.Model) -> Scorer:
    """Load a stored model for serving.

    Raises:
        StoreError: it may not be loaded; the message names model and file.
    """
    return Scorer(load_pipeline(check(model)), manifest_of(model).threshold.value, str(model.tag))


def _get(tag: str) -> bentoml.Model | None:
    try:
        return bentoml.models.get(tag)
    except NotFound:
        return None
