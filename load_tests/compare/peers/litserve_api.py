"""LitServe with its batching."""

from __future__ import annotations

import os
import sys
from typing import Any

import litserve

from load_tests.compare.peers.rows_model import load


class PropensityApi(litserve.LitAPI):
    """Predicts lists of rows."""

    def setup(self, device: str) -> None:
        self.propensities_of = load()

    def decode_request(self, request):  # LitServe reads annotations
        return request["rows"]

    def batch(self, inputs: list[Any]) -> Any:
        self.sizes = [len(rows) for rows in inputs]
        return [row for rows in inputs for row in rows]

    def predict(self, x: Any) -> Any:
        return self.propensities_of(x)

    def unbatch(self, output: Any) -> Any:
        places = iter(output)
        return [[next(places) for _ in range(size)] for size in self.sizes]

    def encode_response(self, output: Any) -> Any:
        return {"propensities": output}


if __name__ == "__main__":
    workers = int(os.environ["WORKERS"])
    api = PropensityApi(max_batch_size=64, batch_timeout=0.005)
    server = litserve.LitServer(
        api, accelerator="cpu", workers_per_device=workers, timeout=120, fast_queue=True
    )
    server.run(host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=workers, generate_client_file=False)
