"""The hold-out file: rows as callers send them, with their outcomes, one line a row."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from propensity.contract.contract import Contract
from propensity.contract.features import Features
from propensity.contract.problem import Problem
from propensity.importing.figures import Truth
from propensity.model.gate import GateError
from propensity.model.manifest import Manifest


def text_of(contract: Contract, target: str, features: Features, truth: Truth) -> str:
    """Return the text of a hold-out file.

    Args:
        contract: of its rows.
        target: name of the outcome.
        features: of the rows, shape (n, columns).
        truth: whether each belongs to the positive class, shape (n,).
    """
    lines = [
        json.dumps({contract.row: row, target: outcome}, ensure_ascii=False)
        for row, outcome in zip(contract.decode(features), truth.tolist(), strict=True)
    ]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def read(path: Path, manifest: Manifest) -> tuple[Features, Truth]:
    """Return the features of the hold-out set, shape (n, columns), and which rows are positive, shape (n,).

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
        raise GateError(f"{path}: its SHA-256 is not the one in the manifest; write both again, together")
    try:
        return parse(content, manifest.contract, manifest.target.name)
    except GateError as error:
        raise GateError(f"{path}: {error}") from error


def parse(content: bytes, contract: Contract, target: str) -> tuple[Features, Truth]:
    """Return features and outcomes of a hold-out file's content, as `read` does.

    Raises:
        GateError: it is not a list of rows with outcomes; the message names the row.
    """
    try:
        rows = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise GateError(f"not JSON ({error}); write it again, as the manifest's author did") from error
    shape = f'{{"{contract.row}": {{...}}, "{target}": true}}'
    if not isinstance(rows, list) or not rows:
        raise GateError(f"must be a list of objects such as {shape}")
    values = []
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or row.keys() != {contract.row, target}:
            raise GateError(f"row {number}: must be an object such as {shape}")
        if not isinstance(row[target], bool):
            raise GateError(f"row {number}: {target} must be true or false: whether it is positive")
        read_row = contract.read_row(row[contract.row])
        if isinstance(read_row, Problem):
            where = ": ".join(filter(None, first_error(read_row)))
            raise GateError(f"row {number}: {where}; the contract must admit every row")
        values.append(read_row)
    truth = np.array([row[target] for row in rows], dtype=np.bool_)
    return contract.columns.of_tuples(values), truth


def first_error(problem: Problem) -> tuple[str, str]:
    """Return the field of a row's first error, empty if it is none of one field, and what is wrong."""
    errors = problem.errors or []
    return (errors[0].field or "", errors[0].detail) if errors else ("", problem.detail)
