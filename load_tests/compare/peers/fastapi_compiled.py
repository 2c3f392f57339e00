"""FastAPI around the compiled form: this bundle's contract and model, none of its serving."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from load_tests.compare.peers.compiled_model import contract, form, manifest
from propensity.contract.prediction import schemas

threshold = manifest.threshold.value
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
