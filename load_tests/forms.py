"""Measures forms that a model can be served in, side by side, on the hold-out applications.

    python -m load_tests.forms        # writes load_tests/measurements/forms.json

For each form: the largest difference of a propensity from the pipeline's, how long one call takes for one
application and for 1,000, in one thread, and the ratio to the pipeline. ONNX and treelite start behind the
preprocessing, whose time is not counted for them. Rounds are interleaved and the median is taken, so the
ratios are worth more than the digits.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import treelite
from skl2onnx import to_onnx

from load_tests.measurements import keep
from propensity.contract.application import Application
from propensity.contract.features import Features, Propensities, encode
from propensity.importing.compiler import compile_pipeline
from propensity.model import gate
from propensity.model.compiled import CompiledForm
from propensity.model.manifest import read_manifest
from propensity.model.pipeline import PipelineForm, frame

ROOT = Path(__file__).parents[1]
ROUNDS = 15
CALLS = {1: 20, 1_000: 3}
"""Calls in a round, by batch size."""


@dataclass(frozen=True)
class MeasuredForm:
    """A form, and what is done before its time is taken."""

    predict: Callable[[Any], Propensities]
    prepare: Callable[[Features], Any] = lambda features: features


def measured_forms(pipeline: Any) -> dict[str, MeasuredForm]:
    """The forms of a pipeline, the pipeline first."""
    preprocessing, classifier = pipeline.named_steps["preprocessing"], pipeline.named_steps["classifier"]

    def preprocessed(features: Features) -> Any:
        return np.ascontiguousarray(preprocessing.transform(frame(features)))

    sample = preprocessed(np.zeros((1, 13)))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    graph = to_onnx(classifier, sample.astype(np.float32), options={"zipmap": False}).SerializeToString()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    trees = treelite.sklearn.import_model(classifier)

    def by_treelite(encoded: Any) -> Propensities:
        propensities: Propensities = treelite.gtil.predict(trees, encoded, nthread=1).ravel()
        return propensities

    return {
        "pipeline": MeasuredForm(PipelineForm(pipeline).propensities),
        "ONNX by skl2onnx, 32-bit": MeasuredForm(
            lambda encoded: session.run(None, {"X": encoded})[1][:, 1],
            lambda features: preprocessed(features).astype(np.float32),
        ),
        "treelite (GTIL)": MeasuredForm(by_treelite, preprocessed),
        "tables": MeasuredForm(CompiledForm(compile_pipeline(pipeline)).propensities),
    }


def measure() -> dict[str, Any]:
    """Run the rounds."""
    manifest = read_manifest(ROOT / "artifacts/propensity.json")
    content = gate.checked_pickle(ROOT / "artifacts/propensity.pkl", manifest.pickle.sha256)
    pipeline = gate.load_pipeline(content)
    rows = json.loads((ROOT / "load_tests/data/applications.json").read_bytes())
    features = encode([Application.model_validate(row["application"]) for row in rows])
    forms = measured_forms(pipeline)
    seconds: dict[tuple[str, int], list[float]] = {(name, size): [] for name in forms for size in CALLS}
    for number in range(ROUNDS):
        print(f"forms: round {number + 1} of {ROUNDS}", flush=True)
        for name, form in forms.items():
            for size, calls in CALLS.items():
                batches = [form.prepare(features[start : start + size]) for start in range(calls)]
                started = time.perf_counter()
                for batch in batches:
                    form.predict(batch)
                seconds[name, size].append((time.perf_counter() - started) / calls)
    reference = forms["pipeline"].predict(features)
    return {
        name: {
            "max_difference": float(np.abs(form.predict(form.prepare(features)) - reference).max()),
            **{
                f"batch_{size}": {
                    "microseconds": round(statistics.median(seconds[name, size]) * 1e6, 1),
                    "times_as_fast_as_pipeline": round(
                        statistics.median(
                            slow / fast
                            for slow, fast in zip(seconds["pipeline", size], seconds[name, size], strict=True)
                        ),
                        1,
                    ),
                }
                for size in CALLS
            },
        }
        for name, form in forms.items()
    }


if __name__ == "__main__":
    measured = measure()
    keep("forms", measured)
    print(json.dumps(measured, indent=2))
