"""FastAPI around the compiled form: this bundle's contract and model, none of its serving."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from propensity.contract.prediction import schemas
from propensity.model import forms
from propensity.model.manifest import ServedManifest

manifest = ServedManifest.model_validate_json(Path(os.environ["MANIFEST"]).read_bytes())
form = forms.load(manifest.served.form, Path(os.environ["COMPILED"]).read_bytes())
contract, threshold = manifest.contract, manifest.threshold.value
Row, Rows = contract.schema_of_row.model, contract.schema_of_row.batch
Prediction, _ = schemas(contract)
app = FastAPI()


def _predictions(rows: list[Row]) -> list[Prediction]:
    features = contract.columns.of_tuples([contract.schema_of_row.values(row) for row in rows])
    return [
        Prediction(
            propensity=propensity,
            decision=contract.decision_names[propensity >= threshold],
            threshold=threshold,
            model=manifest.name,
        )
        for propensity in form.propensities(features).tolist()
    ]


@app.post("/predict")
async def predict(row: Row) -> Prediction:
    """Predict one row."""
    return _predictions([row])[0]


@app.post("/predict_batch")
async def predict_batch(body: Rows) -> dict[str, Any]:
    """Predict a batch."""
    return {"predictions": _predictions(body.rows)}
