"""Imports a model, through the gate, into the BentoML model store, and compiles it: `propensity import`.

python import_model.py artifacts/churn.pkl
python import_model.py churn.joblib --data customers.csv --target churned

The first form takes all that is to be known from the manifest beside the model (`churn.json`; beside a folder
of MLflow, `FOLDER.json`), which `handover.write` of this project writes in a notebook. The second one infers
the manifest from rows with known outcomes, and writes it there for review.

The command prints the model tag. A model that does not pass is refused with one line on stderr and exit code
1: nothing is stored or written, and nothing of the model is executed before it has passed the gate.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from propensity import settings
from propensity.__main__ import main as propensity
from propensity.contract.features import Features, Propensities
from propensity.handover.supplement import Known, Supplement, supplement
from propensity.importing import artifact, contract_check, figures, holdout, ladder
from propensity.importing.artifact import Artifact
from propensity.importing.figures import Truth
from propensity.importing.ladder import InconsistentPipelineError
from propensity.model import gate, signature, store
from propensity.model.gate import GateError
from propensity.model.manifest import Manifest, ManifestError, Served, ServedManifest, read_manifest
from propensity.model.pipeline import PipelineForm
from propensity.model.reference import reference
from propensity.model.signature import SignatureError
from propensity.model.store import StoreError
from propensity.settings import SettingError

LINE_SECONDS = 10.0
"""Seconds of work after which a log gets a line for each further step; a terminal gets one for each."""


@dataclass(frozen=True)
class _Candidate:
    """A model that has passed the gate, with the hold-out set, of n rows.

    Attributes:
        content: its plain pickle.
        form: the pipeline, as it was loaded.
        manifest: as it was read or inferred.
        features: of the hold-out set, shape (n, columns).
        truth: which of its rows are positive, shape (n,).
        supplement: what is to be written beside the model, if it came without a manifest.
    """

    content: bytes
    form: PipelineForm
    manifest: Manifest
    features: Features
    truth: Truth
    supplement: Supplement | None = None


def import_model(path: Path, known: Known | None = None) -> str:
    """Import a model into the model store, and return its tag.

    Args:
        path: the file of the model, or the folder of an MLflow model.
        known: what a manifest would say, if there is none beside the model.

    Raises:
        ManifestError: the manifest can't be read.
        GateError: the model is refused.
        InconsistentPipelineError: its rows influence each other.
        SignatureError: the private key can't be read.
        StoreError: the store has the model with another manifest.
        OSError: a file can't be read or written.
    """
    step = _Steps()
    manifest_path = path.with_name(f"{path.name}.json") if path.is_dir() else path.with_suffix(".json")
    _check_paths(path, manifest_path, known)
    step("reading the model")
    candidate = (
        _handed_over(path, manifest_path) if known is None else _supplemented(path, manifest_path, known)
    )
    form, manifest, features = candidate.form, candidate.manifest, candidate.features
    step("checking it on the hold-out set")
    propensities = _predicted(form, features)
    figures.check(manifest, features, candidate.truth, propensities)
    kept = store.find(manifest)
    if kept is not None:
        _write(candidate.supplement)
        return str(kept.tag)
    ladder.check_consistency(form, features)
    step("compiling it, and comparing both forms")
    climbed = ladder.climb(form, manifest.threshold.value, features)
    content = climbed.content
    if climbed.name == "pipeline":
        content = candidate.content
        reasons = "; ".join(f"{passed.form}: {passed.reason}" for passed in climbed.passed_over)
        _say(f"kept as a pipeline, which is slower ({reasons})")
    served_manifest = ServedManifest(
        **manifest.model_dump(),
        reference=reference(features, propensities, manifest.contract),
        holdout_curves=figures.curves(manifest, candidate.truth, propensities),
        served=Served.model_validate({
            "form": climbed.name,
            "sha256": hashlib.sha256(content).hexdigest(),
            "parity": climbed.parity,
            "passed_over": climbed.passed_over,
        }),
    )  # fmt: skip
    _write(candidate.supplement)
    return str(store.save(content, served_manifest).tag)


def _check_paths(path: Path, manifest_path: Path, known: Known | None) -> None:
    if not path.exists():
        raise GateError(f"{path}: no such file")
    if manifest_path.exists() and known is not None:
        raise GateError(
            f"{manifest_path}: says already what the flags would say, and wins; leave the flags out and"
            " change it there, or move it away to have it inferred again"
        )
    if not manifest_path.exists() and known is None:
        raise GateError(
            f"{path}: has no manifest beside it ({manifest_path.name}); write both with handover.write where"
            f" it was trained, or give rows with known outcomes: {_command(path)}"
        )


def _command(path: Path) -> str:
    return f"propensity import {shlex.quote(str(path))} --data FILE --target COLUMN"


def _handed_over(path: Path, manifest_path: Path) -> _Candidate:
    manifest = read_manifest(manifest_path)
    content = _read(path, manifest).content
    gate.check_libraries(manifest.libraries)
    form = contract_check.check(gate.load_pipeline(content), manifest)
    features, truth = holdout.read(manifest_path.parent / manifest.holdout.file, manifest)
    return _Candidate(content, form, manifest, features, truth)


def _supplemented(path: Path, manifest_path: Path, known: Known) -> _Candidate:
    read = artifact.read(path)
    if read.scikit_learn is not None:
        gate.check_libraries({"scikit-learn": read.scikit_learn})
    pipeline = gate.load_pipeline(read.content)
    made = supplement(pipeline, read, known, manifest_path)
    form = contract_check.check(pipeline, made.manifest)
    return _Candidate(read.content, form, made.manifest, made.draft.features, made.draft.truth, made)


def _read(path: Path, manifest: Manifest) -> Artifact:
    """Read a model; one that is not the manifest's is called that, whatever else is wrong with it."""
    try:
        read = artifact.read(path)
    except GateError:
        if path.is_file():
            _check_digest(path, hashlib.sha256(path.read_bytes()).hexdigest(), manifest)
        raise
    _check_digest(path, read.sha256, manifest)
    return read


def _check_digest(path: Path, digest: str, manifest: Manifest) -> None:
    if digest != manifest.pickle.sha256:
        raise GateError(
            f"{path}: its SHA-256 is {digest[:12]}…, its manifest says {manifest.pickle.sha256[:12]}…: they"
            " are not of one run; fetch both again, or write both again, together"
        )


def _write(made: Supplement | None) -> None:
    if made is not None:
        print(made.write(), file=sys.stderr)


def _predicted(form: PipelineForm, features: Features) -> Propensities:
    try:
        return form.propensities(features)
    except Exception as error:  # the pipeline's own code may raise anything
        reason = " ".join(str(error).split())
        raise GateError(
            f"the pipeline fails on the hold-out set ({type(error).__name__}: {reason}); look at types and"
            " missing values of the fields in the contract"
        ) from error


class _Steps:
    """Says what is being done, where somebody looks on or once it takes long."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, what: str) -> None:
        if sys.stderr.isatty() or time.monotonic() - self._start > LINE_SECONDS:
            _say(what)


def _say(what: str) -> None:
    print(f"propensity import: {' '.join(what.split())}", file=sys.stderr, flush=True)


def run(model: Path, **options: Any) -> None:
    """Run the command `import`."""
    given = {name: value for name, value in options.items() if value is not None}
    try:
        settings.check_names()
        tag = import_model(model, _known(model, given))
    except OSError as error:
        sys.exit(f"propensity import: {error.filename}: {error.strerror}")
    except _REFUSALS as error:
        sys.exit(f"propensity import: {' '.join(str(error).split())}")
    print(tag)
    if not os.environ.get(signature.PRIVATE_VARIABLE):
        _say(
            f"not signed, since {signature.PRIVATE_VARIABLE} is not set; a service with"
            f" {signature.PUBLIC_VARIABLE} refuses it"
        )


_REFUSALS = (
    GateError, InconsistentPipelineError, ManifestError, SettingError, SignatureError, StoreError
)  # fmt: skip


def _known(model: Path, given: dict[str, Any]) -> Known | None:
    if not given:
        return None
    if not {"data", "target"} <= given.keys():
        raise GateError(
            f"{', '.join(f'--{name}' for name in given)} alone can't tell what the model takes; give rows"
            f" with known outcomes: {_command(model)}"
        )
    return Known(**given)


def main() -> None:
    """Run `propensity import` by its first name."""
    sys.argv.insert(1, "import")
    propensity()


if __name__ == "__main__":
    main()
