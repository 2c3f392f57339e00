"""Ray Serve with its dynamic batching."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import ray
from ray import serve

from load_tests.compare.peers import rows_model

WORKERS = int(os.environ["WORKERS"])


@serve.deployment(num_replicas=WORKERS, max_ongoing_requests=256, ray_actor_options={"num_cpus": 1})
class Propensity:
    """Predicts lists of rows."""

    def __init__(self) -> None:
        self.propensities_of = rows_model.load()

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.005)
    async def predict(self, requests: list[Any]) -> list[list[float]]:
        """The propensities of each request."""
        places = iter(self.propensities_of([row for each in requests for row in each]))
        return [[next(places) for _ in each] for each in requests]

    async def __call__(self, request: Any) -> list[float]:
        """Answer a request."""
        propensities: list[float] = await self.predict((await request.json())["rows"])
        return propensities


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Propensity.bind())
    while True:
        time.sleep(60)
