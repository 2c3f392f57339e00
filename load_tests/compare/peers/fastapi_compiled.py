"""FastAPI around the compiled form: this bundle's contract and tables, none of its serving."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from propensity.contract.application import Application
from propensity.contract.features import encode
from propensity.contract.prediction import Prediction
from propensity.model.compiled import CompiledForm, Tables

form = CompiledForm(Tables.from_bytes(Path(os.environ["TABLES"]).read_bytes()))
THRESHOLD = float(os.environ["THRESHOLD"])
app = FastAPI()


def _predictions(applications: list[Application]) -> list[Prediction]:
    return [
        Prediction(
            propensity=propensity,
            decision="decline" if propensity >= THRESHOLD else "approve",
            threshold=THRESHOLD,
            model="propensity",
        )
        for propensity in form.propensities(encode(applications)).tolist()
    ]


@app.post("/predict")
async def predict(application: Application) -> Prediction:
    """Predict one application."""
    return _predictions([application])[0]


@app.post("/predict_batch")
async def predict_batch(body: dict[str, list[Application]]) -> dict[str, Any]:
    """Predict a batch."""
    return {"predictions": _predictions(body["applications"])}
