"""The metrics that the service exposes, for tests."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from conftest import AUTHORIZED, METRICS_AUTHORIZED, written
from demonstration import CONTRACT, EXAMPLE, batch_of
from models import Half
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from propensity.formats.batch import Answers
from propensity.model.predictor import Predictor
from propensity.monitoring.answered_request import AnsweredRequest
from propensity.monitoring.challenger import Challenger
from propensity.monitoring.follow_up import FollowUp


def families(client: TestClient) -> Iterable[Metric]:
    """All exposed metrics, once recorded requests have been counted."""
    written(client)
    return text_string_to_metric_families(client.get("/metrics", headers=METRICS_AUTHORIZED).text)


def exposed(client: TestClient) -> dict[str, tuple[str, set[str]]]:
    """Type and labels of each exposed metric, by its name."""
    # Call each operation once, and a challenger: metrics appear only once they are used.
    client.post("/v1/predict", json=EXAMPLE, headers=AUTHORIZED)
    batch = batch_of(EXAMPLE)
    answers = Answers.of(batch, np.array([0.1]), 0.26, "propensity:m", CONTRACT)
    following = FollowUp(None, Challenger(Predictor(Half(), CONTRACT, 0.5, "propensity:half")))
    following.record(AnsweredRequest.of(batch, answers, b"r", 0.0, 0.0))
    following.stop()
    found = {}
    for family in families(client):
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = (family.type, labels)
    return found
