"""A file of rows with known outcomes, as data scientists keep them: CSV, Parquet, JSON or NDJSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from propensity.importing.anatomy import Encoder
from propensity.model.gate import GateError

Rows = pd.DataFrame

MISSING = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "null", "NULL", "None")
"""What stands for a missing value in a CSV file, unless the pipeline has learned it as a category."""

SEPARATORS = ",;\t|"


def read(path: Path, encoders: Mapping[str, Encoder]) -> Rows:
    """Return the rows of a file.

    Args:
        path: its name ends in .csv, .parquet, .json (a list of objects), .ndjson or .jsonl.
        encoders: what the pipeline has learned of columns: in a CSV file, only it tells `01` from 1.

    Raises:
        GateError: the file can't be read; the message names it.
    """
    kind = path.suffix.lower()
    if kind not in _READERS:
        raise GateError(f"{path}: must be one of {', '.join(_READERS)}, by the end of its name")
    try:
        rows = _READERS[kind](path, encoders)
    except GateError as error:
        raise GateError(f"{path}: {error}") from error
    except OSError as error:
        raise GateError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # pandas and pyarrow raise many kinds
        raise GateError(f"{path}: can't be read as {kind}: {error}") from error
    if rows.empty:
        raise GateError(f"{path}: holds no rows")
    return rows.rename(columns=str).reset_index(drop=True)


def _csv(path: Path, encoders: Mapping[str, Encoder]) -> Rows:
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline()
    separator = max(SEPARATORS, key=header.count)
    names = pd.read_csv(path, sep=separator, nrows=0, encoding="utf-8-sig").columns
    learned = {name: encoders[name].texts if name in encoders else [] for name in names}
    return pd.read_csv(
        path,
        sep=separator,
        encoding="utf-8-sig",
        keep_default_na=False,
        na_values={name: [text for text in MISSING if text not in texts] for name, texts in learned.items()},
        dtype={name: "str" for name in names if name in encoders and encoders[name].takes_texts},
        low_memory=False,  # else the type of a column may change within it
    )


def _parquet(path: Path, _encoders: Mapping[str, Encoder]) -> Rows:
    return pd.read_parquet(path)


def _json(path: Path, _encoders: Mapping[str, Encoder]) -> Rows:
    rows = json.loads(path.read_bytes())
    if not isinstance(rows, list):
        raise GateError("must be a list of objects, one for each row")
    return _frame(rows)


def _ndjson(path: Path, _encoders: Mapping[str, Encoder]) -> Rows:
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines()):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise GateError(f"line {number + 1} is not JSON: {error}") from error
    return _frame(rows)


def _frame(rows: list[Any]) -> Rows:
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise GateError(f"row {number} is no object")
    return pd.DataFrame(rows)


_READERS = {".csv": _csv, ".parquet": _parquet, ".json": _json, ".ndjson": _ndjson, ".jsonl": _ndjson}
