"""The BentoML model store: keeps gated models, finds them again, and loads them as predictors."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, TypeVar

import bentoml
import yaml
from bentoml.exceptions import BentoMLException, NotFound
from bentoml.models import BentoModel
from pydantic import ValidationError

from propensity.contract.contract import Contract
from propensity.model import forms, gate, signature
from propensity.model.forms import Form
from propensity.model.gate import DigestError, GateError
from propensity.model.manifest import Manifest, ServedManifest
from propensity.model.predictor import Predictor
from propensity.model.signature import SignatureError
from propensity.settings import CHALLENGER_MODEL, MODEL

_M = TypeVar("_M", bound=Manifest)


class StoreError(BentoMLException):
    """The model store has no model to serve, or one that must not be loaded."""


class ImportedModel(BentoModel):
    """A model that `import_model.py` imported; the error for a missing one says how to import it."""

    def to_info(self, alias: str | None = None) -> Any:
        """Return what a Bento records of the model."""
        self._require()
        return super().to_info(alias)

    def resolve(self, base_path: Any = None, **stores: Any) -> bentoml.Model:
        """Return the model in the store.

        Raises:
            StoreError: the store does not have it.
        """
        stored = self._require()
        if base_path is None:
            return stored  # BentoML would read it once more
        copied: bentoml.Model = super().resolve(base_path, **stores)
        return copied

    def pin(self, tag: bentoml.Tag) -> None:
        """Stay with this model, even when a newer one is imported, unless a setting names a version."""
        if self.tag.version == "latest":
            object.__setattr__(self, "tag", tag)  # BentoML froze it

    def _require(self) -> bentoml.Model:
        if self.tag.name == _ANY and len(names := imported_names()) == 1:
            object.__setattr__(self, "tag", bentoml.Tag(names[0], "latest"))  # BentoML froze it
        try:
            stored: bentoml.Model | None = self.stored
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise StoreError(
                f"model {self.tag}: model.yaml can't be read: {reason}; delete its folder and import it again"
            ) from error
        if stored is not None:
            return stored
        names = imported_names()
        if self.tag.name == _ANY and names:
            raise StoreError(
                f"the BentoML model store has {', '.join(names)}; say which one:"
                f" PROPENSITY_MODEL={names[0]}:latest"
            )
        what = "" if self.tag.name == _ANY else f" {self.tag}"
        has = f" (it has {', '.join(names)})" if names else ""
        raise StoreError(
            f"no model{what} in the BentoML model store{has}; import one with `python import_model.py PATH`,"
            " or run `make serve`, which does it all"
        )


_ANY = "any"
"""Name that stands for that of the only model in the store."""


def imported_names() -> list[str]:
    """Return the names of the imported models in the store."""
    return sorted({model.tag.name for model in bentoml.models.list() if _IMPORTED in model.info.labels})


_IMPORTED = "served-form"
"""Label of the models that `import_model.py` imported."""


def to_serve(tag: str) -> ImportedModel:
    """Return the model of a tag; of none, the latest of the only one in the store."""
    return ImportedModel(tag or f"{_ANY}:latest")


SERVED = to_serve(MODEL)
CHALLENGER = ImportedModel(CHALLENGER_MODEL) if CHALLENGER_MODEL else None


def find(manifest: Manifest) -> bentoml.Model | None:
    """Return the stored model of a manifest, if it is the latest and signed with the present key.

    Raises:
        SignatureError: the private key can't be read.
        StoreError: the model was imported with another manifest.
    """
    manifest = _storable(manifest)
    model = _get(_tag(manifest))
    if model is None:
        return None
    try:
        kept = manifest_of(model)
    except StoreError:
        return None  # It was imported by an older version.
    _check_same(model, kept, manifest)
    if kept.holdout_curves is None:
        return None  # So was this one: the import adds them now.
    # Not SERVED.tag, in which BentoML replaces `latest` with the version it resolved.
    latest = _get(f"{manifest.name}:latest")
    if latest is None or latest.tag != model.tag:
        return None
    return model if signature.is_signed(str(model.tag), kept, _signature(model)) else None


def _check_same(model: bentoml.Model, kept: ServedManifest, manifest: Manifest) -> None:
    """Check that a manifest is the stored one: a tag never changes its meaning.

    Only the time and duration of training may differ, if they gave the same pickle.
    """
    ran = {"trained_at", "training_seconds"}
    there = kept.model_dump(mode="json", exclude_none=True, exclude=ran | _OF_THE_IMPORT)
    here = manifest.model_dump(mode="json", exclude_none=True, exclude=ran)
    differing = sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))
    if differing:
        raise StoreError(
            f"the store has this pickle and contract as {model.tag}, with another manifest:"
            f" {', '.join(differing)} differ{'s' * (len(differing) == 1)}; nothing was stored. If this is"
            f" the right one, `bentoml models delete {model.tag}` and import again"
        )


_OF_THE_IMPORT = {"holdout_curves", "reference", "served"}
"""Members of a stored manifest that the import adds."""


def save(content: bytes, manifest: ServedManifest) -> bentoml.Model:
    """Save a model as the latest in the store, and sign it if a private key is set.

    Args:
        content: the compiled form or the pickle that is served, as `manifest.served` says.
        manifest: is kept as the model's metadata.

    Raises:
        SignatureError: the private key can't be read.
    """
    manifest = _storable(manifest)
    tag = _tag(manifest)
    signed = signature.sign(tag, manifest)
    if _get(tag) is not None:
        # Only a new model becomes the latest.
        bentoml.models.delete(tag)
    with bentoml.models.create(
        tag,
        labels={"algorithm": _LABEL.sub("-", manifest.algorithm), _IMPORTED: manifest.served.form},
        metadata=json.loads(manifest.model_dump_json(exclude_none=True)),
    ) as model:
        _file(model, manifest).write_bytes(content)
        if signed is not None:
            Path(model.path_of(signature.FILE)).write_bytes(signed)
    return bentoml.models.get(tag)


def _storable(manifest: _M) -> _M:
    """Return a manifest as BentoML can keep it: without what is null, in an example or a figure too."""
    members = json.loads(manifest.model_dump_json(exclude_none=True))
    return type(manifest).model_validate(_without_nulls(members))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(member) for name, member in value.items() if member is not None}
    return [_without_nulls(member) for member in value] if isinstance(value, list) else value


def manifest_of(model: bentoml.Model) -> ServedManifest:
    """Return the manifest of a stored model.

    Raises:
        StoreError: the model was not imported by this version of `import_model.py`.
    """
    try:
        return ServedManifest.model_validate(model.info.metadata)
    except ValidationError as error:
        raise StoreError(
            f"model {model.tag} was not imported by this version's import_model.py; import its pickle again"
        ) from error


def check(model: bentoml.Model) -> bytes:
    """Check a stored model without loading it, since the store may have been changed after the import.

    Returns:
        The compiled form or the pickle to load.

    Raises:
        StoreError: the model must not be loaded; the message names model and file.
    """
    manifest = manifest_of(model)
    try:
        signature.verify(str(model.tag), manifest, _signature(model))
        if manifest.served.form != "pipeline":
            return gate.checked_bytes(_file(model, manifest), manifest.served.sha256)
        content = gate.checked_pickle(_file(model, manifest), manifest.served.sha256)
        gate.check_libraries(manifest.libraries)
    except DigestError as error:
        raise StoreError(
            f"model {model.tag}: {error}: the store was changed; delete the model and import it again"
        ) from error
    except (GateError, SignatureError) as error:
        raise StoreError(f"model {model.tag}: {error}") from error
    return content


def check_served() -> Contract:
    """Check the model to serve and its challenger without loading them.

    Returns:
        The contract of both.

    Raises:
        StoreError: one of them must not be loaded, or their contracts differ.
    """
    model = SERVED.resolve()
    check(model)
    contract = manifest_of(model).contract
    if CHALLENGER is not None:
        challenger = CHALLENGER.resolve()
        check(challenger)
        theirs = manifest_of(challenger).contract
        differing = [
            name
            for name in dict.fromkeys((*contract.by_name, *theirs.by_name))
            if _accepted(contract, name) != _accepted(theirs, name)
        ]
        if differing or [*contract.by_name] != [*theirs.by_name]:
            what = ", ".join(differing) or "the order of the fields"
            raise StoreError(
                f"model {model.tag} and its challenger {challenger.tag} have different contracts: {what}; a"
                " challenger must take the same rows: import it with the same fields, bounds and categories"
            )
    return contract


def _accepted(contract: Contract, name: str) -> object:
    """Return what a contract accepts in a field."""
    field = contract.by_name.get(name)
    return field and (field.kind, field.nullable, field.lowest, field.highest, field.categories)


def load_predictor(model: bentoml.Model) -> Predictor:
    """Check and load a stored model.

    Raises:
        StoreError: the model must not be loaded; the message names model and file.
    """
    content = check(model)
    try:
        return predictor_of(content, manifest_of(model), str(model.tag))
    except GateError as error:
        raise StoreError(f"model {model.tag}: {error}") from error


def predictor_of(content: bytes, manifest: ServedManifest, tag: str) -> Predictor:
    """Return the predictor of a checked model.

    Args:
        content: the bytes that `check` returned.
        manifest: manifest of the model.
        tag: model tag.

    Raises:
        GateError: the model is a pickle that must not be loaded.
    """
    form: Form
    if manifest.served.form != "pipeline":
        form = forms.load(manifest.served.form, content)
    else:
        # Imported here: compiled forms do without pandas and scikit-learn.
        from propensity.model.pipeline import PipelineForm  # noqa: PLC0415

        pipeline = gate.load_pipeline(content)
        form = PipelineForm(pipeline, manifest.contract, manifest.takes, manifest.target.positive)
    return Predictor(form, manifest.contract, manifest.threshold.value, tag)


def _tag(manifest: Manifest) -> str:
    # These determine every answer: a model has one tag however often it is imported, and a tag never changes
    # its meaning.
    identity = {
        "pickle": manifest.pickle.sha256,
        "threshold": manifest.threshold.value,
        "target": manifest.target.positive,
        "contract": manifest.contract.model_dump(mode="json", exclude_none=True),
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return f"{manifest.name}:{digest[:12]}"


_LABEL = re.compile(r"[^A-Za-z0-9._-]+")
"""What the value of a label must not hold."""


def _file(model: bentoml.Model, manifest: ServedManifest) -> Path:
    return Path(model.path_of("model.pkl" if manifest.served.form == "pipeline" else "model.npz"))


def _signature(model: bentoml.Model) -> bytes | None:
    path = Path(model.path_of(signature.FILE))
    return path.read_bytes() if path.is_file() else None


def _get(tag: str) -> bentoml.Model | None:
    try:
        return bentoml.models.get(tag)
    except NotFound:
        return None
