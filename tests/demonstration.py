"""The demonstration model: its contract, its example, and readers of its rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from propensity.contract.contract import Contract
from propensity.contract.row import Row
from propensity.formats.batch import Batch
from propensity.formats.json import RowReader
from propensity.formats.media_types import formats_of
from propensity.model.pipeline import PipelineForm

ROOT = Path(__file__).parents[1]
ARTIFACTS = ROOT / "artifacts"

CONTRACT = Contract.model_validate(json.loads((ARTIFACTS / "propensity.json").read_bytes())["contract"])
EXAMPLE = CONTRACT.example
FEATURES = tuple(CONTRACT.by_name)
COLUMNS = CONTRACT.columns.names
NUMBERS = COLUMNS[: CONTRACT.columns.numbers]
CATEGORIES = CONTRACT.columns.categories
NULLABLE = CONTRACT.columns.nullable
BOUNDS = {name: (int(CONTRACT.by_name[name].lowest), int(CONTRACT.by_name[name].highest)) for name in NUMBERS}

READER = RowReader(CONTRACT)
SINGLE, BATCH = (formats_of(CONTRACT)[operation] for operation in ("predict", "predict_batch"))


def named(row: Row) -> dict[str, Any]:
    """A valid row as its fields by name."""
    assert isinstance(row, tuple)
    return dict(zip(COLUMNS, row, strict=True))


def batch_of(*rows: object) -> Batch:
    """The batch of decoded rows."""
    return Batch.of((CONTRACT.read_row(row, place) for place, row in enumerate(rows)), CONTRACT.columns)


def pipeline_form(pipeline: Any) -> PipelineForm:
    """The notebook's pipeline as a form."""
    return PipelineForm(pipeline, CONTRACT, "frame", "True")
