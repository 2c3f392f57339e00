"""Artifacts: whatever file a notebook wrote its model into, read as one pickle that has passed the gate.

A model comes as a pickle, as a file of joblib, compressed or not, as a file of skops, or as the folder of an
MLflow model. The content decides, not the name. Only a plain pickle leaves this module, and nothing else is
ever stored or served.
"""

from __future__ import annotations

import hashlib
import pickle  # nosec B403
from dataclasses import dataclass
from pathlib import Path

from propensity.importing import mlflow_folder, skops_file
from propensity.importing.compression import MAX_BYTES, is_compressed, opened
from propensity.importing.joblib_stream import JoblibLoader, JoblibRehearsal
from propensity.model import gate
from propensity.model.gate import GateError

_FOREIGN = {
    b"ZF": "of a joblib before 0.10",
    b"\x93NUMPY": "an array of numpy, not a model",
    b"CBM1": "a model in CatBoost's own format",
    b"binf": "a model in XGBoost's own format",
    b"tree\n": "a model in LightGBM's own format",
    b"{": "a model in a library's own format, such as XGBoost's",
}
"""First bytes: what the file is."""


@dataclass(frozen=True)
class Artifact:
    """A model as a plain pickle.

    Attributes:
        content: the pickle; it has been rehearsed, and `gate.load_pipeline` takes it.
        sha256: digest of the file as it is on disk; of an MLflow folder, of its model's file.
        file: name of that file.
        signature: name and type of each input column, if MLflow states them.
        scikit_learn: the version of scikit-learn that the model says it was written with.
    """

    content: bytes
    sha256: str
    file: str
    signature: list[tuple[str, str]] | None
    scikit_learn: str | None


def read(path: Path) -> Artifact:
    """Read a model. Nothing that it names is executed before it has passed the gate.

    Args:
        path: a file, or the folder of an MLflow model.

    Raises:
        GateError: it can't be read, or must not be loaded; the message names the file.
    """
    signature = None
    if path.is_dir():
        folder = mlflow_folder.read(path)
        path, signature = folder.model, folder.signature
    try:
        size = path.stat().st_size
        if not path.is_file() or size > MAX_BYTES:
            raise GateError(f"{path}: {'larger than a model is' if path.is_file() else 'not a file'}")
        stored = path.read_bytes()
    except OSError as error:
        raise GateError(f"{path}: {error.strerror}") from error
    try:
        content = _to_pickle(stored)
        version = gate.rehearse(content)
    except GateError as error:
        raise GateError(f"{path}: {error}") from error
    digest = hashlib.sha256(stored).hexdigest()
    return Artifact(content, digest, path.name, signature, version)


def _to_pickle(stored: bytes) -> bytes:
    for start, what in _FOREIGN.items():
        if stored.startswith(start):
            raise GateError(
                f"{what}; write the fitted estimator, such as XGBClassifier, with `pickle.dump(pipeline,"
                " file)` or `mlflow.sklearn.log_model`"
            )
    if skops_file.is_zip(stored):
        return skops_file.to_pickle(stored)
    rehearsal = JoblibRehearsal(opened(stored), gate.allowed())
    gate.conduct(rehearsal)
    if rehearsal.has_arrays:
        if rehearsal.version is not None:
            gate.check_libraries({"scikit-learn": rehearsal.version})
        loader = JoblibLoader(opened(stored), gate.allowed())
        return bytes(gate.loaded(lambda: pickle.dumps(loader.load(), protocol=5)))
    return opened(stored).read() if is_compressed(stored) else stored
