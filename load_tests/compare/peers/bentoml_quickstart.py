"""BentoML around the pickle, as its quickstart writes it, with adaptive batching."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import bentoml
import pandas as pd


@bentoml.service(name="quickstart", workers=int(os.environ["WORKERS"]))
class Quickstart:
    """Predicts rows."""

    def __init__(self) -> None:
        self.pipeline = pickle.loads(Path(os.environ["PICKLE"]).read_bytes())

    @bentoml.api(batchable=True, max_batch_size=100_000)
    def predict(self, rows: list[dict[str, Any]]) -> list[float]:
        """The propensity of each row."""
        propensities: list[float] = self.pipeline.predict_proba(pd.DataFrame(rows))[:, 1].tolist()
        return propensities
