"""Supplements a model that came without a manifest, from rows with known outcomes."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from propensity.contract.field import Kind
from propensity.handover import data_file
from propensity.handover.draft import Draft, draft
from propensity.handover.writing import (
    Handover,
    algorithm_of,
    libraries_of,
    manifest_of,
    text_of,
    threshold_of,
)
from propensity.importing.anatomy import Anatomy, check_classifier, is_missing
from propensity.importing.artifact import Artifact
from propensity.model.gate import GateError
from propensity.model.manifest import Manifest

MAX_ROWS = 10_000
"""Rows of the hold-out set: an evaluation sends them one by one."""

SEED = 20_26

KINDS: dict[str, Kind] = {
    "boolean": "boolean",
    "integer": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
    "string": "category",
}
"""Kinds of fields by the types of MLflow's signatures."""


@dataclass(frozen=True)
class Known:
    """What somebody knows of a model that came without a manifest.

    Attributes:
        data: file of rows with known outcomes.
        target: column of the outcome in it.
        positive: the class whose probability is the propensity, as text.
        threshold: propensity from which on the decision is positive.
        name: of the model.
    """

    data: Path
    target: str
    positive: str | None = None
    threshold: float | None = None
    name: str | None = None


@dataclass(frozen=True)
class Supplement:
    """The manifest of a model, and the hold-out set, which are to be written beside it.

    Attributes:
        manifest: as it was inferred.
        draft: what it was inferred from.
        manifest_path: where it belongs.
        holdout_path: where the hold-out file belongs.
    """

    manifest: Manifest
    draft: Draft
    manifest_path: Path
    holdout_path: Path

    def write(self) -> Handover:
        """Write manifest and hold-out file; never over anything."""
        for path, text in (
            (self.holdout_path, self.draft.text),
            (self.manifest_path, text_of(self.manifest)),
        ):
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        return Handover(self.manifest, (self.manifest_path, self.holdout_path), tuple(self.draft.notes))


def supplement(pipeline: Any, read: Artifact, known: Known, manifest_path: Path) -> Supplement:
    """Infer the manifest of a pipeline.

    Args:
        pipeline: as it was loaded.
        read: what it was loaded from.
        known: what a person knows of it.
        manifest_path: where the manifest belongs, beside the model.

    Raises:
        GateError: the data don't fit the pipeline, or a file would be overwritten; the message says which.
    """
    holdout_path = manifest_path.with_suffix(".holdout.json")
    if holdout_path.exists():
        raise GateError(f"{holdout_path}: is there already, and is not overwritten; move it away")
    check_classifier(pipeline)
    rows = data_file.read(known.data, Anatomy.of(pipeline).encoders)
    if known.target not in rows.columns:
        raise GateError(
            f"{known.data}: has no column {known.target}; it has {_listed(rows)}: name the one of the outcome"
            " as --target"
        )
    try:
        return _inferred(pipeline, read, rows, known, manifest_path)
    except GateError as error:
        raise GateError(f"{known.data}: {error}") from error


def _inferred(
    pipeline: Any, read: Artifact, rows: pd.DataFrame, known: Known, manifest_path: Path
) -> Supplement:
    outcomes = rows[known.target].astype(object).tolist()
    unknown = [row for row, outcome in enumerate(outcomes) if is_missing(outcome)]
    if unknown:
        raise GateError(
            f"row {unknown[0]} has no {known.target}; leave out the rows whose outcome is unknown"
        )
    columns, notes = _columns(pipeline, rows.drop(columns=known.target), read.signature)
    taken = _as_trained(pipeline, columns)
    places = _sample(outcomes)
    sample = taken.iloc[places]
    rest = taken.drop(index=sample.index)
    drafted = draft(
        pipeline,
        sample,
        [outcomes[place] for place in places],
        target=known.target,
        positive=known.positive,
        others=[] if rest.empty else [rest],
        kinds={name: KINDS[kind] for name, kind in read.signature or () if kind in KINDS},
    )
    drafted.notes.extend([
        *notes,
        f"whether the model was trained on rows of {known.data.name} is not known; if it was, its figures are"
        " too good",
    ])  # fmt: skip
    manifest = manifest_of(
        drafted,
        name=known.name or _name_of(manifest_path),
        target=known.target,
        file=read.file,
        sha256=read.sha256,
        libraries=libraries_of(pipeline),
        holdout=manifest_path.with_suffix(".holdout.json").name,
        threshold=threshold_of(known.threshold),
        stated={
            "algorithm": algorithm_of(pipeline),
            "data": {"source": known.data.name, "rows": len(rows), "in_training": "unknown"},
            "seed": SEED,
        },
    )
    return Supplement(manifest, drafted, manifest_path, manifest_path.with_suffix(".holdout.json"))


def _columns(
    pipeline: Any, rows: pd.DataFrame, signature: Sequence[tuple[str, str]] | None
) -> tuple[pd.DataFrame, list[str]]:
    """Return the columns that a pipeline takes, in its order, and what is to be said of it."""
    names = Anatomy.of(pipeline, [*rows.columns]).taken or tuple(name for name, _ in signature or ())
    if not names:
        count = getattr(pipeline, "n_features_in_", len(rows.columns))
        if count != len(rows.columns):
            raise GateError(
                f"the pipeline takes {count} columns and names none of them; beside the outcome there are"
                f" {len(rows.columns)} ({_listed(rows)}): leave those it was trained with, in that order"
            )
        return rows, [
            f"the pipeline names no columns: these are taken in the order of the file, {_listed(rows)}"
        ]
    absent = [name for name in names if name not in rows.columns]
    if absent:
        raise GateError(f"the pipeline takes {', '.join(absent)}; there is no such column")
    others = rows.drop(columns=[*names])
    notes = [f"{_listed(others)}: not taken by the pipeline, and left out"] if len(others.columns) else []
    return rows[[*names]], notes


def _name_of(manifest_path: Path) -> str:
    """Return a name for a model, made of that of its file."""
    return re.sub(r"[^a-z0-9_-]+", "_", manifest_path.stem.lower()).lstrip("_-0123456789") or "propensity"


def _listed(rows: pd.DataFrame) -> str:
    return ", ".join(rows.columns)


def _as_trained(pipeline: Any, rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows in the types of the training, as far as the pipeline tells: files don't have them all."""
    encoders = Anatomy.of(pipeline, [*rows.columns]).encoders
    holding_none = [
        name
        for name in rows.columns
        if name in encoders and any(each is None for each in encoders[name].categories)
    ]
    rows = rows.assign(**{
        name: rows[name].astype(object).where(rows[name].notna(), None) for name in holding_none
    })  # fmt: skip
    texts = [name for name in rows.columns if pd.api.types.is_string_dtype(rows[name].dtype)]
    if not texts or _predicts(pipeline, rows):
        return rows
    dtypes = {}
    for name in texts:
        learned = encoders[name].texts if name in encoders else []
        dtypes[name] = pd.CategoricalDtype(
            [*dict.fromkeys([*learned, *sorted(rows[name].dropna().unique())])]
        )
    categorical = rows.astype(dtypes)
    return categorical if _predicts(pipeline, categorical) else rows


def _predicts(pipeline: Any, rows: pd.DataFrame) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pipeline.predict_proba(rows.head(MAX_ROWS))
        except Exception:  # its own code may raise anything
            return False
    return True


def _sample(outcomes: Sequence[Any]) -> list[int]:
    """Return places of rows for the hold-out set: all, or a random choice with the same share of outcomes."""
    if len(outcomes) <= MAX_ROWS:
        return [*range(len(outcomes))]
    generator = np.random.default_rng(SEED)
    of: dict[Any, list[int]] = {}
    for place, outcome in enumerate(outcomes):
        of.setdefault(outcome, []).append(place)
    chosen = [
        generator.choice(places, max(1, len(places) * MAX_ROWS // len(outcomes)), replace=False)
        for places in of.values()
    ]
    return sorted(int(place) for place in np.concatenate(chosen))
