"""LitServe around the pickle, with its batching."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import Any

import litserve
import pandas as pd


class PropensityApi(litserve.LitAPI):
    """Predicts lists of rows."""

    def setup(self, device: str) -> None:
        self.pipeline = pickle.loads(Path(os.environ["PICKLE"]).read_bytes())

    def decode_request(self, request):  # LitServe reads annotations
        return request["rows"]

    def batch(self, inputs: list[Any]) -> Any:
        self.sizes = [len(rows) for rows in inputs]
        return pd.DataFrame([row for rows in inputs for row in rows])

    def predict(self, x: Any) -> Any:
        return self.pipeline.predict_proba(x)[:, 1]

    def unbatch(self, output: Any) -> Any:
        places = iter(output.tolist())
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
