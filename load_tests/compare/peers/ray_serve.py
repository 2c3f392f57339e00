"""Ray Serve around the pickle, with its dynamic batching."""

from __future__ import annotations

import os
import pickle
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import ray
from ray import serve

WORKERS = int(os.environ["WORKERS"])


@serve.deployment(num_replicas=WORKERS, max_ongoing_requests=256, ray_actor_options={"num_cpus": 1})
class Propensity:
    """Predicts lists of rows."""

    def __init__(self, path: str) -> None:
        self.pipeline = pickle.loads(Path(path).read_bytes())

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.005)
    async def predict(self, requests: list[Any]) -> list[list[float]]:
        """The propensities of each request."""
        rows = [row for each in requests for row in each]
        propensities = self.pipeline.predict_proba(pd.DataFrame(rows))[:, 1].tolist()
        places = iter(propensities)
        return [[next(places) for _ in each] for each in requests]

    async def __call__(self, request: Any) -> list[float]:
        """Answer a request."""
        propensities: list[float] = await self.predict((await request.json())["rows"])
        return propensities


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Propensity.bind(os.environ["PICKLE"]))
    while True:
        time.sleep(60)
