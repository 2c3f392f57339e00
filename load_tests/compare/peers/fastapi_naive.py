"""FastAPI around the pickle, as it is usually written: a DataFrame a request."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pandas as pd
from fastapi import FastAPI

pipeline = pickle.loads(Path(os.environ["PICKLE"]).read_bytes())
app = FastAPI()


@app.post("/predict")
def predict(rows: list[dict[str, Any]]) -> list[float]:
    """The propensity of each row."""
    propensities: list[float] = pipeline.predict_proba(pd.DataFrame(rows))[:, 1].tolist()
    return propensities
