"""The gate: what a pickle must pass before any of it is executed.

1. Its SHA-256 is the one in its manifest.
2. A rehearsal: the unpickler that will load it runs with inert stand-ins for all classes. A pickle that names
   anything outside `ALLOWED`, or is incomplete, is refused here, before anything it names is imported or
   called.
3. The libraries have the versions that it was pickled with.
4. Only then is it loaded, by an unpickler that finds the allowed classes and nothing else.

The file is read once; later steps take the bytes that were checked.
"""

from __future__ import annotations

import hashlib
import io
import pickle  # nosec B403
import platform
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from propensity.model.manifest import Manifest

ALLOWED = frozenset(
    {
        ("builtins", "slice"),
        ("numpy", "dtype"),
        ("numpy", "float64"),
        ("numpy", "ndarray"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
        ("numpy.random._mt19937", "MT19937"),
        ("numpy.random._pickle", "__bit_generator_ctor"),
        ("numpy.random._pickle", "__randomstate_ctor"),
        ("sklearn._loss._loss", "CyHalfBinomialLoss"),
        ("sklearn._loss.link", "Interval"),
        ("sklearn._loss.link", "LogitLink"),
        ("sklearn._loss.loss", "HalfBinomialLoss"),
        ("sklearn.compose._column_transformer", "ColumnTransformer"),
        ("sklearn.dummy", "DummyClassifier"),
        ("sklearn.ensemble._forest", "RandomForestClassifier"),
        ("sklearn.ensemble._gb", "GradientBoostingClassifier"),
        ("sklearn.impute._base", "SimpleImputer"),
        ("sklearn.linear_model._logistic", "LogisticRegression"),
        ("sklearn.pipeline", "Pipeline"),
        ("sklearn.preprocessing._data", "StandardScaler"),
        ("sklearn.preprocessing._encoders", "OneHotEncoder"),
        ("sklearn.tree._classes", "DecisionTreeClassifier"),
        ("sklearn.tree._classes", "DecisionTreeRegressor"),
        ("sklearn.tree._tree", "Tree"),
    }
)
"""The classes and functions that the notebook's candidate models need; review any that you add."""


_COMPRESSED = tuple(
    map(bytes.fromhex, ("7801", "785e", "789c", "78da", "1f8b", "425a68", "fd377a58", "5d0000", "04224d18"))
)
"""First bytes of the files that joblib compresses: zlib, gzip, bz2, xz, lzma, lz4."""

_OF_JOBLIB = {
    ("joblib.numpy_pickle", "NumpyArrayWrapper"),
    ("joblib.numpy_pickle", "NDArrayWrapper"),
    ("joblib.numpy_pickle", "ZNDArrayWrapper"),
}

_PICKLE_DUMP = "write it with `pickle.dump(pipeline, file)`, and its SHA-256 into the manifest"


class GateError(Exception):
    """A pickle is refused; the message says why and what to do."""


class DigestError(GateError):
    """A file is not the one that its manifest describes."""


class _Inert:
    """Stand-in for a class or function in the rehearsal: accepts any call and state, and does nothing."""

    def __new__(cls, *_args: object, **_kwargs: object) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass


class _Rehearsal(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[_Inert]:
        if (module, name) in _OF_JOBLIB:
            raise GateError(
                f"written by joblib.dump (it names {module}.{name}), which puts arrays beside the pickle;"
                f" {_PICKLE_DUMP}"
            )
        if (module, name) not in ALLOWED:
            raise GateError(
                f"the pickle names {module}.{name}, which is not on the allow-list; if it belongs to your"
                " pipeline, review it and add it to ALLOWED in propensity/model/gate.py"
            )
        return _Inert


class _AllowListUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise GateError(f"the pickle names {module}.{name}, which is not on the allow-list")
        return super().find_class(module, name)


def checked_bytes(path: Path, sha256: str) -> bytes:
    """Return the bytes of a file whose digest is right (step 1).

    Raises:
        GateError: the file can't be read.
        DigestError: the digest differs. Callers add what to do, which importing and serving differ in.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise GateError(f"{path}: {error.strerror}") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise DigestError(f"{path}: its SHA-256 is {digest[:12]}…, its manifest says {sha256[:12]}…")
    return content


def checked_pickle(path: Path, sha256: str) -> bytes:
    """Return the bytes of a pickle that has passed digest and rehearsal (steps 1 and 2).

    Raises:
        GateError: the file can't be read, or the pickle must not be loaded.
        DigestError: the digest differs.
    """
    content = checked_bytes(path, sha256)
    if content.startswith(_COMPRESSED):
        raise GateError(f"{path}: compressed, as joblib.dump writes it with compress=...; {_PICKLE_DUMP}")
    try:
        _Rehearsal(io.BytesIO(content)).load()
    except GateError as error:
        raise GateError(f"{path}: {error}") from None
    except Exception as error:  # a broken pickle can raise anything
        raise GateError(f"{path}: not a complete pickle ({error}); {_PICKLE_DUMP}") from None
    return content


def check_libraries(libraries: dict[str, str]) -> None:
    """Compare Python and library versions with those of the pickle (step 3).

    Raises:
        GateError: a version differs, or the manifest does not state scikit-learn's.
    """
    if "scikit-learn" not in libraries:
        raise GateError(
            "the manifest does not state the version of scikit-learn that wrote the pickle, under `libraries`"
        )
    differing = [
        f"{name} {stated} (here {here})"
        for name, stated in libraries.items()
        if stated != (here := _version_here(name))
    ]
    if differing:
        raise GateError(
            f"the pickle was made with {', '.join(differing)}; install these, or run the notebook that wrote"
            " it in this environment"
        )


def _version_here(name: str) -> str:
    if name == "python":
        return ".".join(platform.python_version_tuple()[:2])
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def load_pipeline(content: bytes) -> Any:
    """Load a pickle that has passed `checked_pickle` (step 4).

    Raises:
        GateError: it can't be loaded, or warns, as scikit-learn does if another version wrote it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return _AllowListUnpickler(io.BytesIO(content)).load()
    except GateError:
        raise
    except Exception as error:  # a class's __setstate__ can raise anything
        raise GateError(
            f"the pickle can't be loaded: {error}; run the notebook that wrote it again"
        ) from error
