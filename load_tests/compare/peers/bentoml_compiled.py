"""BentoML around the compiled form, otherwise as its quickstart writes it, with adaptive batching."""

from __future__ import annotations

import os
from typing import Any

import bentoml

from load_tests.compare.peers import compiled_model


@bentoml.service(name="compiled", workers=int(os.environ["WORKERS"]))
class Compiled:
    """Predicts rows."""

    @bentoml.api(batchable=True, max_batch_size=100_000)
    def predict(self, rows: list[dict[str, Any]]) -> list[float]:
        """The propensity of each row."""
        return compiled_model.of_rows(rows)
