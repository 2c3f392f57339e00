"""The demonstration model: its manifest, contract and example."""

from __future__ import annotations

import json
from pathlib import Path

from propensity.contract.contract import Contract

ROOT = Path(__file__).parents[1]
ARTIFACTS = ROOT / "artifacts"

CONTRACT = Contract.model_validate(json.loads((ARTIFACTS / "propensity.json").read_bytes())["contract"])
EXAMPLE = CONTRACT.example
COLUMNS = CONTRACT.columns.names
CATEGORIES = CONTRACT.columns.categories
FEATURES = tuple(CONTRACT.by_name)
NULLABLE = CONTRACT.columns.nullable
