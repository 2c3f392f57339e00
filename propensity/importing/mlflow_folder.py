"""The folder of an MLflow model: which file is the model, and what its signature says of the columns."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from propensity.model.gate import GateError

_DESCRIPTION = "MLmodel"
_MAX_BYTES = 2**20
_FILE_OF = {"sklearn": "pickled_model", "xgboost": "data", "lightgbm": "data", "catboost": "data"}
"""Flavor: the member that names its file."""


@dataclass(frozen=True)
class MlflowFolder:
    """What is read of the folder.

    Attributes:
        model: the file of the model.
        signature: name and type of each input column, if the model was logged with them.
    """

    model: Path
    signature: list[tuple[str, str]] | None


def read(folder: Path) -> MlflowFolder:
    """Read the description of an MLflow model.

    Raises:
        GateError: it is missing, can't be read, or names a file that is not in the folder.
    """
    path = _within(folder, _DESCRIPTION, "a folder without one is no MLflow model")
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise GateError(f"{path}: larger than such a file is")
        description = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise GateError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise GateError(f"{path}: not the YAML of an MLflow model") from error
    flavors = _member(description, "flavors")
    for flavor, member in _FILE_OF.items():
        name = _member(_member(flavors, flavor), member)
        if isinstance(name, str):
            model = _within(folder, name, f"{_DESCRIPTION} names it as the model of flavor {flavor}")
            return MlflowFolder(model, _signature(path, description))
    raise GateError(
        f"{path}: none of the flavors {', '.join(_FILE_OF)}; log the pipeline with `mlflow.sklearn.log_model`"
    )


def _within(folder: Path, name: str, why: str) -> Path:
    """Return a file of a folder.

    Raises:
        GateError: it is missing, or its path or a link leads out of the folder.
    """
    spelled = PurePosixPath(name)
    path = folder / spelled
    try:
        is_within = path.resolve(strict=True).is_relative_to(folder.resolve(strict=True))
    except OSError as error:
        raise GateError(f"{path}: {error.strerror}; {why}") from error
    except ValueError as error:  # a null byte
        raise GateError(f"{folder}: {_DESCRIPTION} names {name!a:.80}, which is no path") from error
    if spelled.is_absolute() or ".." in spelled.parts or not is_within:
        raise GateError(f"{folder}: {_DESCRIPTION} leads to {name!a:.80}, which is outside the folder")
    if not path.is_file():
        raise GateError(f"{path}: not a file; {why}")
    return path


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _signature(path: Path, description: Any) -> list[tuple[str, str]] | None:
    inputs = _member(_member(description, "signature"), "inputs")
    if inputs is None:
        return None
    try:
        columns = json.loads(inputs)
    except (TypeError, ValueError, RecursionError) as error:
        raise GateError(f"{path}: signature.inputs is not JSON; log the model again") from error
    found = []
    for column in columns if isinstance(columns, list) else ():
        match column:
            case {"name": str(name), "type": str(kind)} if kind != "tensor":
                found.append((name, kind))
            case _:
                return None
    return found or None
