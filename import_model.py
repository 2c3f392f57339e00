"""Imports the notebook's pickle, through the gate, into the BentoML model store, and compiles it.

python import_model.py artifacts/propensity.pkl

The manifest (`propensity.json`) must be beside the pickle. The command prints the model tag. A pickle that
does not pass is refused with one line on stderr and exit code 1: nothing is stored, and nothing of the pickle
is executed before it has passed the gate.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

from pydantic import ValidationError

from propensity import settings
from propensity.contract.application import Application
from propensity.contract.features import encode
from propensity.importing import figures
from propensity.importing.compiler import NotCompilableError, check_parity, compile_pipeline
from propensity.model import gate, signature, store
from propensity.model.gate import DigestError, GateError
from propensity.model.manifest import (
    CompiledModel,
    Manifest,
    ManifestError,
    PipelineModel,
    ServedManifest,
    read_manifest,
)
from propensity.model.pipeline import PipelineForm
from propensity.model.reference import reference
from propensity.model.signature import SignatureError
from propensity.model.store import StoreError
from propensity.settings import SettingError


def import_model(pickle_path: Path) -> str:
    """Import a pickle into the model store, and return its tag.

    Raises:
        ManifestError: the manifest is missing or can't be read.
        GateError: the pickle is refused.
        SignatureError: the private key can't be read.
        StoreError: the store has the model with another manifest.
    """
    if not pickle_path.is_file():
        raise GateError(f"{pickle_path}: no such file; the notebook writes it (here: `make notebook`)")
    manifest_path = pickle_path.with_suffix(".json")
    manifest = read_manifest(manifest_path)
    try:
        content = gate.checked_pickle(pickle_path, manifest.pickle.sha256)
    except DigestError as error:
        raise GateError(
            f"{error}: they are not of one run; fetch both again, or run the notebook that wrote them again"
        ) from error
    gate.check_libraries(manifest.libraries)
    pipeline = gate.load_pipeline(content)
    gate.check_contract(pipeline, manifest)
    applications, defaults = read_holdout(manifest_path.parent / manifest.holdout.file, manifest)
    features = encode(applications)
    propensities = PipelineForm(pipeline).propensities(features)
    figures.check(manifest, applications, defaults, propensities)
    kept = store.find(manifest)
    if kept is not None:
        return str(kept.tag)
    served: CompiledModel | PipelineModel
    try:
        compiled = compile_pipeline(pipeline)
        parity = check_parity(pipeline, compiled, manifest.threshold.value, applications)
        content = compiled.to_bytes()
        served = CompiledModel(sha256=hashlib.sha256(content).hexdigest(), parity=parity)
    except NotCompilableError as error:
        print(f"import_model.py: kept as a pipeline, which is slower: {error}", file=sys.stderr)
        served = PipelineModel(reason=str(error))
    served_manifest = ServedManifest(
        **manifest.model_dump(), reference=reference(features, propensities), served=served
    )
    return str(store.save(content, served_manifest).tag)


def read_holdout(path: Path, manifest: Manifest) -> tuple[list[Application], list[bool]]:
    """Return the applications of the hold-out set, and whether each ended in default.

    Raises:
        GateError: the file can't be read, is not the one in the manifest, or breaks the contract.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise GateError(
            f"{path}: {error.strerror}; the manifest names it as its hold-out set, relative to itself"
        ) from error
    if hashlib.sha256(content).hexdigest() != manifest.holdout.sha256:
        raise GateError(
            f"{path}: its SHA-256 is not the one in the manifest; run the notebook that wrote both again"
        )
    rows = json.loads(content)
    applications = []
    for number, row in enumerate(rows):
        try:
            applications.append(Application.model_validate(row["application"]))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise GateError(
                f"{path}: row {number}: {where}: {first['msg']}; the contract must admit every row"
            ) from error
    return applications, [row["default"] for row in rows]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="import_model.py",
        description="Imports the notebook's pickle into the BentoML model store and prints its tag.",
    )
    parser.add_argument("pickle", type=Path, metavar="PATH", help="such as artifacts/propensity.pkl")
    path = parser.parse_args().pickle
    try:
        settings.check_names()
        tag = import_model(path)
    except (GateError, ManifestError, SettingError, SignatureError, StoreError) as error:
        sys.exit(f"import_model.py: {' '.join(str(error).split())}")
    print(tag)
    if not os.environ.get(signature.PRIVATE_VARIABLE):
        print(
            f"import_model.py: not signed, since {signature.PRIVATE_VARIABLE} is not set; a service with"
            f" {signature.PUBLIC_VARIABLE} refuses it",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
