"""BentoML as its quickstart writes it, with adaptive batching."""

from __future__ import annotations

import os
from typing import Any

import bentoml

from load_tests.compare.peers.rows_model import load


@bentoml.service(name="quickstart", workers=int(os.environ["WORKERS"]))
class Quickstart:
    """Predicts rows."""

    def __init__(self) -> None:
        self.propensities_of = load()

    @bentoml.api(batchable=True, max_batch_size=100_000)
    def predict(self, rows: list[dict[str, Any]]) -> list[float]:
        """The propensity of each row."""
        return self.propensities_of(rows)
