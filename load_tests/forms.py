"""Measures the forms that a model can be served in, side by side, on the hold-out applications.

    python -m load_tests.forms        # writes load_tests/forms.json

For each form: the largest difference of a propensity from the pipeline's, how long one call takes for one
application and for 1,000, encoding included, and the ratio to the pipeline. Rounds are interleaved and the
median is taken, so the ratios are worth more than the digits.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from skl2onnx import to_onnx

from propensity import gate
from propensity.compiled import COLUMNS, CompiledForm, encode, single_threaded
from propensity.compiler import compile_pipeline
from propensity.contract import Application
from propensity.manifest import read_manifest
from propensity.pipeline import PipelineForm

ROOT = Path(__file__).parents[1]
ROUNDS = 15
CALLS = {1: 20, 1_000: 3}
"""Calls in a round, by batch size."""

Predict = Callable[[Sequence[Application]], npt.NDArray[Any]]


def converted_by_skl2onnx(pipeline: Any) -> Predict:
    """The classifier through skl2onnx, which offers 32-bit floats for it."""
    sample = np.zeros((1, len(COLUMNS)), np.float32)
    graph = to_onnx(pipeline.named_steps["classifier"], sample, options={"zipmap": False})
    session = single_threaded(graph.SerializeToString())

    def predict(applications: Sequence[Application]) -> npt.NDArray[Any]:
        _, probabilities = session.run(None, {"X": encode(applications).astype(np.float32)})
        found: npt.NDArray[Any] = probabilities[:, 1]
        return found

    return predict


def measure() -> dict[str, Any]:
    """Run the rounds."""
    manifest = read_manifest(ROOT / "artifacts/propensity.json")
    content = gate.checked_pickle(ROOT / "artifacts/propensity.pkl", manifest.pickle.sha256)
    pipeline = gate.load_pipeline(content)
    rows = json.loads((ROOT / "load_tests/data/applications.json").read_bytes())
    applications = [Application.model_validate(row["application"]) for row in rows]
    forms: dict[str, Predict] = {
        "pipeline": PipelineForm(pipeline).propensities,
        "skl2onnx, 32-bit": converted_by_skl2onnx(pipeline),
        "compiled, 64-bit": CompiledForm(compile_pipeline(pipeline)).propensities,
    }
    seconds: dict[tuple[str, int], list[float]] = {(form, size): [] for form in forms for size in CALLS}
    for number in range(ROUNDS):
        print(f"forms: round {number + 1} of {ROUNDS}", flush=True)
        for form, predict in forms.items():
            for size, calls in CALLS.items():
                batches = [applications[start : start + size] for start in range(calls)]
                started = time.perf_counter()
                for batch in batches:
                    predict(batch)
                seconds[form, size].append((time.perf_counter() - started) / calls)
    reference = forms["pipeline"](applications)
    return {
        form: {
            "max_difference": float(np.abs(predict(applications) - reference).max()),
            **{
                f"batch_{size}": {
                    "microseconds": round(statistics.median(seconds[form, size]) * 1e6, 1),
                    "times_as_fast_as_pipeline": round(
                        statistics.median(
                            slow / fast
                            for slow, fast in zip(seconds["pipeline", size], seconds[form, size], strict=True)
                        ),
                        1,
                    ),
                }
                for size in CALLS
            },
        }
        for form, predict in forms.items()
    }


if __name__ == "__main__":
    measured = measure()
    (ROOT / "load_tests/forms.json").write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(measured, indent=2))
