"""The BentoML model store: how a gated model is kept there, found again, and turned into a predictor."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import bentoml
import yaml
from bentoml.exceptions import BentoMLException, NotFound
from bentoml.models import BentoModel
from pydantic import ValidationError

from propensity.model import gate, signature
from propensity.model.gate import DigestError, GateError
from propensity.model.manifest import CompiledModel, Manifest, ServedManifest
from propensity.model.predictor import Form, Predictor
from propensity.model.signature import SignatureError
from propensity.settings import CHALLENGER_MODEL, MODEL

NAME = "propensity"


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
        """Mean this model from now on, if it was the latest that was meant, whatever the store calls so."""
        if f"{NAME}:latest" == MODEL:
            object.__setattr__(self, "tag", tag)  # BentoML froze it

    def _require(self) -> None:
        try:
            stored = self.stored
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise StoreError(
                f"model {self.tag}: model.yaml can't be read: {reason}; delete its folder and import it again"
            ) from error
        if stored is None:
            raise StoreError(
                f"no model {self.tag} in the BentoML model store; import one with"
                " `python import_model.py artifacts/propensity.pkl`, or run `make serve`, which does it all"
            )


SERVED = ImportedModel(MODEL)
CHALLENGER = ImportedModel(CHALLENGER_MODEL) if CHALLENGER_MODEL else None


def find(manifest: Manifest) -> bentoml.Model | None:
    """The model that was imported with this manifest, if it is the latest in the store and is signed.

    Raises:
        SignatureError: the key to sign with can't be read.
        StoreError: it was imported with another manifest.
    """
    model = _get(_tag(manifest))
    # Not by SERVED.tag: BentoML writes the version that it resolves to into it.
    latest = _get(f"{NAME}:latest")
    if model is None:
        return None
    try:
        kept = manifest_of(model)
    except StoreError:
        # Of an older version of this product.
        return None
    _require_same(model, kept, manifest)
    if latest is None or latest.tag != model.tag:
        return None
    return model if signature.is_signed(str(model.tag), kept, _signature(model)) else None


def _require_same(model: bentoml.Model, kept: ServedManifest, manifest: Manifest) -> None:
    """A tag never changes its meaning, so what it is said to be stays too.

    When the notebook ran and for how long may differ: the same pickle came out.
    """
    ran = {"trained_at", "training_seconds"}
    there = kept.model_dump(mode="json", exclude_none=True, exclude=ran | {"reference", "served"})
    here = manifest.model_dump(mode="json", exclude_none=True, exclude=ran)
    differing = sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))
    if differing:
        raise StoreError(
            f"the store has this pickle and threshold as {model.tag}, with another manifest:"
            f" {', '.join(differing)} differ{'s' * (len(differing) == 1)}; nothing was stored. If this is"
            f" the right one, `bentoml models delete {model.tag}` and import again"
        )


def save(content: bytes, manifest: ServedManifest) -> bentoml.Model:
    """Keep a model in the model store, signed if there is a key for it, and make it the latest.

    Args:
        content: what is served, tables or pickle, as `manifest.served` says.
        manifest: becomes the model's metadata.

    Raises:
        SignatureError: the key to sign with can't be read.
    """
    tag = _tag(manifest)
    signed = signature.sign(tag, manifest)
    if _get(tag) is not None:
        # Made anew, since a store has no other way to call it the latest again.
        bentoml.models.delete(tag)
    framework = "tables" if isinstance(manifest.served, CompiledModel) else "scikit-learn"
    with bentoml.models.create(
        tag,
        labels={"algorithm": manifest.algorithm.replace(" ", "-"), "framework": framework},
        metadata=json.loads(manifest.model_dump_json(exclude_none=True)),
    ) as model:
        _file(model, manifest).write_bytes(content)
        if signed is not None:
            Path(model.path_of(signature.FILE)).write_bytes(signed)
    return bentoml.models.get(tag)


def manifest_of(model: bentoml.Model) -> ServedManifest:
    """The manifest that a model was imported with.

    Raises:
        StoreError: it was not imported by `import_model.py` of this version.
    """
    try:
        return ServedManifest.model_validate(model.info.metadata)
    except ValidationError as error:
        raise StoreError(
            f"model {model.tag} was not imported by this version's import_model.py; import its pickle again"
        ) from error


def check(model: bentoml.Model) -> bytes:
    """Pass a stored model through the gate once more, up to its loading: the store may have been changed.

    Returns:
        What is to be loaded, tables or pickle.

    Raises:
        StoreError: it may not be loaded; the message names model and file.
    """
    manifest = manifest_of(model)
    try:
        signature.verify(str(model.tag), manifest, _signature(model))
        if isinstance(manifest.served, CompiledModel):
            return gate.checked_bytes(_file(model, manifest), manifest.served.sha256)
        content = gate.checked_pickle(_file(model, manifest), manifest.pickle.sha256)
        gate.check_libraries(manifest.libraries)
    except DigestError as error:
        raise StoreError(
            f"model {model.tag}: {error}: the store was changed; delete the model and import it again"
        ) from error
    except (GateError, SignatureError) as error:
        raise StoreError(f"model {model.tag}: {error}") from error
    return content


def load_predictor(model: bentoml.Model) -> Predictor:
    """Load a stored model for serving.

    Raises:
        StoreError: it may not be loaded; the message names model and file.
    """
    content = check(model)
    try:
        return predictor_of(content, manifest_of(model), str(model.tag))
    except GateError as error:
        raise StoreError(f"model {model.tag}: {error}") from error


def predictor_of(content: bytes, manifest: ServedManifest, tag: str) -> Predictor:
    """The predictor of a model that has been checked.

    Args:
        content: what `check` gave.
        manifest: of the model.
        tag: model tag.

    Raises:
        GateError: it is a pickle that may not be loaded.
    """
    form: Form
    # Either form needs libraries that the other does without.
    if isinstance(manifest.served, CompiledModel):
        from propensity.model.compiled import CompiledForm, Tables  # noqa: PLC0415

        form = CompiledForm(Tables.from_bytes(content))
    else:
        from propensity.model.pipeline import PipelineForm  # noqa: PLC0415

        form = PipelineForm(gate.load_pipeline(content))
    return Predictor(form, manifest.threshold.value, tag)


def _tag(manifest: Manifest) -> str:
    # Made of what decides, pickle and threshold: the same model is kept once, however often it is
    # imported, and no tag ever changes its meaning.
    identity = f"{manifest.pickle.sha256} {manifest.threshold.value!r}"
    return f"{NAME}:{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def _file(model: bentoml.Model, manifest: ServedManifest) -> Path:
    compiled = isinstance(manifest.served, CompiledModel)
    return Path(model.path_of("propensity.npz" if compiled else "propensity.pkl"))


def _signature(model: bentoml.Model) -> bytes | None:
    path = Path(model.path_of(signature.FILE))
    return path.read_bytes() if path.is_file() else None


def _get(tag: str) -> bentoml.Model | None:
    try:
        return bentoml.models.get(tag)
    except NotFound:
        return None
