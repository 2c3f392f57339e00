"""Callers of the prediction API, for Locust: those who predict one application, batches, or both.

TOKEN=... locust -f load_tests/locustfile.py --host http://127.0.0.1:3000
make load-test      # headless, against a service of its own, into the report
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path
from typing import Any

from locust import FastHttpUser, constant, task

BATCH = 100

APPLICATIONS: list[dict[str, Any]] = [
    row["application"]
    for row in json.loads((Path(__file__).parent / "data/applications.json").read_text(encoding="utf-8"))
]
_BODIES = [json.dumps(application) for application in APPLICATIONS]

if not os.environ.get("TOKEN"):
    sys.exit("locustfile: TOKEN is not set; `make -s token` prints the one of `make serve`")

_HEADERS = {"Authorization": f"Bearer {os.environ['TOKEN']}", "Content-Type": "application/json"}


class _Caller(FastHttpUser):
    abstract = True
    wait_time = constant(0)

    def predict(self) -> None:
        """One application; the answer must hold a propensity."""
        body = random.choice(_BODIES)
        with self.client.post("/v1/predict", data=body, headers=_HEADERS, catch_response=True) as answer:
            if answer.status_code != 200 or "propensity" not in (answer.text or ""):
                answer.failure(f"{answer.status_code}: {answer.text}")

    def predict_batch(self) -> None:
        """A batch; no row of the answer may be a problem."""
        start = random.randrange(len(APPLICATIONS) - BATCH)
        body = f'{{"applications":[{",".join(_BODIES[start : start + BATCH])}]}}'
        with self.client.post(
            "/v1/predict_batch", data=body, headers=_HEADERS, catch_response=True
        ) as answer:
            if answer.status_code != 200 or '"problems":0' not in (answer.text or ""):
                answer.failure(f"{answer.status_code}: {answer.text}")


class SingleUser(_Caller):
    """Predicts one application after the other."""

    @task
    def one(self) -> None:
        """One application."""
        self.predict()


class BatchUser(_Caller):
    """Predicts batches."""

    @task
    def several(self) -> None:
        """A batch."""
        self.predict_batch()


class MixedUser(_Caller):
    """Predicts one application nine times out of ten, else a batch."""

    @task(9)
    def one(self) -> None:
        """One application."""
        self.predict()

    @task(1)
    def several(self) -> None:
        """A batch."""
        self.predict_batch()
