"""The model that the load tests serve and call: the notebook's, as it is handed over in `artifacts/`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from propensity.model import gate
from propensity.model.manifest import read_manifest
from propensity.model.pipeline import PipelineForm

ROOT = Path(__file__).parents[1]
FILE = ROOT / "artifacts/propensity.json"
MANIFEST = read_manifest(FILE)
CONTRACT = MANIFEST.contract
PICKLE = FILE.parent / MANIFEST.pickle.file
HOLDOUT = FILE.parent / MANIFEST.holdout.file


def rows(path: Path = HOLDOUT) -> list[dict[str, Any]]:
    """The rows of its hold-out set, or of a larger set that was made of it."""
    return [each[CONTRACT.row] for each in json.loads(path.read_bytes())]


def pipeline_form() -> PipelineForm:
    """Its pipeline form."""
    pipeline = gate.load_pipeline(gate.checked_pickle(PICKLE, MANIFEST.pickle.sha256))
    return PipelineForm(pipeline, CONTRACT, MANIFEST.takes, MANIFEST.target.positive)
