"""Callers of the prediction API, for Locust: those who predict one row, batches, or both.

TOKEN=... locust -f load_tests/locustfile.py --host http://127.0.0.1:3000
make load-test      # headless, against a service of its own, into the report

HOLDOUT names the hold-out file of another model than the demonstration's. What its rows are called says the
service.
"""

from __future__ import annotations

import json
import os
import random
import sys
import urllib.request
from pathlib import Path
from typing import Any

from locust import FastHttpUser, constant, events, task
from locust.env import Environment

BATCH = 100

HOLDOUT = Path(os.environ.get("HOLDOUT") or Path(__file__).with_name("data") / "applications.json")

if not os.environ.get("TOKEN"):
    sys.exit("locustfile: TOKEN is not set; `make -s token` prints the one of `make serve`")

_HEADERS = {"Authorization": f"Bearer {os.environ['TOKEN']}", "Content-Type": "application/json"}


class _Caller(FastHttpUser):
    abstract = True
    wait_time = constant(0)
    bodies: list[str]
    rows: str

    def predict(self) -> None:
        """One row; the answer must hold a propensity."""
        body = random.choice(self.bodies)
        with self.client.post("/v1/predict", data=body, headers=_HEADERS, catch_response=True) as answer:
            if answer.status_code != 200 or "propensity" not in (answer.text or ""):
                answer.failure(f"{answer.status_code}: {answer.text}")

    def predict_batch(self) -> None:
        """A batch; no row of the answer may be a problem."""
        start = random.randrange(max(1, len(self.bodies) - BATCH))
        body = f'{{"{self.rows}":[{",".join(self.bodies[start : start + BATCH])}]}}'
        with self.client.post(
            "/v1/predict_batch", data=body, headers=_HEADERS, catch_response=True
        ) as answer:
            if answer.status_code != 200 or '"problems":0' not in (answer.text or ""):
                answer.failure(f"{answer.status_code}: {answer.text}")


@events.init.add_listener  # type: ignore[untyped-decorator]
def read_rows(environment: Environment, **_: Any) -> None:
    """Read the rows, and what the served model calls them, before anybody calls."""
    if not environment.host:
        sys.exit("locustfile: name the service: --host http://127.0.0.1:3000")
    request = urllib.request.Request(f"{environment.host}/v1/model", headers=_HEADERS)  # noqa: S310
    # Locust's users know of no proxy either.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            contract = json.loads(answer.read())["contract"]
    except OSError as error:
        sys.exit(f"locustfile: {request.full_url}: {error}")
    _Caller.rows = contract["rows"]
    _Caller.bodies = [json.dumps(each[contract["row"]]) for each in json.loads(HOLDOUT.read_bytes())]


class SingleUser(_Caller):
    """Predicts one row after the other."""

    @task
    def one(self) -> None:
        """One row."""
        self.predict()


class BatchUser(_Caller):
    """Predicts batches."""

    @task
    def several(self) -> None:
        """A batch."""
        self.predict_batch()


class MixedUser(_Caller):
    """Predicts one row nine times out of ten, else a batch."""

    @task(9)
    def one(self) -> None:
        """One row."""
        self.predict()

    @task(1)
    def several(self) -> None:
        """A batch."""
        self.predict_batch()
