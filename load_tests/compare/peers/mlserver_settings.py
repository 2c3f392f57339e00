"""Writes MLServer's settings for a runtime, and becomes its server."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

if __name__ == "__main__":
    port, folder, runtime = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    workers = int(os.environ["WORKERS"])
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": port + 1,
        "metrics_port": port + 2,
        # One worker is the server itself: with a process of its own for the model, it is slower.
        "parallel_workers": workers if workers > 1 else 0,
    }
    model = {
        "name": "propensity",
        "implementation": runtime,
        "max_batch_size": 64,
        "max_batch_time": 0.005,
        "parameters": {"uri": os.environ["PICKLE"]},
    }
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "model-settings.json").write_text(json.dumps(model), encoding="utf-8")
    mlserver = str(Path(sys.executable).with_name("mlserver"))
    os.execv(mlserver, [mlserver, "start", str(folder)])
