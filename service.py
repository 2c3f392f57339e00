"""The prediction API: serves whatever model was imported last, by the contract that came with it.

    make serve          # sets everything up and serves on port 3000
    bentoml serve       # in an environment that has the model and PROPENSITY_TOKENS_FILE

POST /v1/predict and /v1/predict_batch. Concurrent requests to either are merged into one model call.
"""

from __future__ import annotations

import sys
from pathlib import Path

import bentoml

# To look up a tag, BentoML imports a module of its name, and so the `propensity` of the working directory.
# A Bento is served with its own.
found = sys.modules.get("propensity")
if found is not None and Path(found.__path__[0]).resolve().parent != Path(__file__).resolve().parent:
    for module in [name for name in sys.modules if name.partition(".")[0] == "propensity"]:
        del sys.modules[module]

from propensity.access.configuration import allowance, authorities
from propensity.app import PredictionService
from propensity.contract.features import Features, Propensities
from propensity.contract.limits import MAX_TABLE_ROWS
from propensity.model import store
from propensity.model.libraries import LibrariesImage
from propensity.monitoring.prediction_log import PredictionLog
from propensity.serving import supervision
from propensity.settings import MAX_LATENCY_MS, MAX_MERGED_ROWS, WORKERS, tracing

supervision.prepare()


@bentoml.service(
    name="propensity",
    service_class=PredictionService,
    image=LibrariesImage(),
    workers=WORKERS,
    tracing=tracing(),
)
class Propensity:
    """Predicts propensities: the probability that a row belongs to the positive class."""

    model = store.SERVED
    challenger = store.CHALLENGER

    @bentoml.on_deployment
    def check() -> None:
        """Refuse to start without tokens, or with a setting or a model that can't be used."""
        supervision.supervise()
        authorities()
        allowance()
        PredictionLog.from_environment(store.check_served())

    def __init__(self) -> None:
        self.predictor = store.load_predictor(self.model)
        self.challenging = store.load_predictor(self.challenger) if self.challenger else None

    @bentoml.api(
        route="/v1/predict",
        batchable=True,
        max_batch_size=MAX_MERGED_ROWS,
        max_latency_ms=MAX_LATENCY_MS,
    )
    def predict(self, rows: Features) -> Propensities:
        """Predict one row: the body is the row itself."""
        return self.predictor.predict(rows)

    @bentoml.api(
        route="/v1/predict_batch",
        batchable=True,
        max_batch_size=MAX_TABLE_ROWS,
        max_latency_ms=MAX_LATENCY_MS,
    )
    def predict_batch(self, rows: Features) -> Propensities:
        """Predict a batch: one prediction or problem for each row, in order."""
        return self.predictor.predict(rows)
