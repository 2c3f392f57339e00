"""Makes an MLflow model of the pickle, or of its compiled form, as MODEL says, and becomes its server."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
from pathlib import Path

import mlflow.pyfunc
import mlflow.sklearn

if __name__ == "__main__":
    port, folder = sys.argv[1], Path(sys.argv[2])
    shutil.rmtree(folder, ignore_errors=True)
    if os.environ["MODEL"] == "compiled":
        mlflow.pyfunc.save_model(
            str(folder), python_model=str(Path(__file__).with_name("mlflow_compiled.py"))
        )
    else:
        pipeline = pickle.loads(Path(os.environ["PICKLE"]).read_bytes())
        mlflow.sklearn.save_model(
            pipeline, str(folder), pyfunc_predict_fn="predict_proba", serialization_format="pickle"
        )
    command = [str(Path(sys.executable).with_name("mlflow")), "models", "serve", "--model-uri", str(folder)]
    options = [
        "--env-manager",
        "local",
        "--host",
        "127.0.0.1",
        "--port",
        port,
        "--workers",
        os.environ["WORKERS"],
    ]
    os.execv(command[0], [*command, *options])
