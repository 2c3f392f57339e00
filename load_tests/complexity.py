"""Measures what a prediction costs by rows, trees and depth, in one process, without the network.

    python -m load_tests.complexity     # a minute or two; writes load_tests/measurements/complexity.json

Models of several sizes are trained on hold-out rows; each is timed in both forms, from the
features to the propensities, and the formats from body to features and from propensities to body.
"""

from __future__ import annotations

import io
import itertools
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.base import clone

from load_tests.compare.client import complete_rows
from load_tests.demonstration import CONTRACT, MANIFEST, pipeline_form
from load_tests.measurements import keep
from propensity.formats.batch import Answers
from propensity.formats.media_types import Format, formats_of
from propensity.importing.trees import compile_tables
from propensity.model.pipeline import PipelineForm

TREES = [50, 150, 300, 600]
DEPTHS = [2, 3, 4]
ROWS = [1, 10, 100, 1_000, 10_000]
ROUNDS = 5
SECONDS = 0.03
"""Seconds for which a round repeats a call, at least once."""


def median_seconds(calls: dict[Any, Callable[[], object]]) -> dict[Any, float]:
    """How long each call takes; rounds are interleaved."""
    seconds: dict[Any, list[float]] = {key: [] for key in calls}
    for _ in range(ROUNDS):
        for key, call in calls.items():
            started, repeated = time.perf_counter(), 0
            while not repeated or time.perf_counter() - started < SECONDS:
                call()
                repeated += 1
            seconds[key].append((time.perf_counter() - started) / repeated)
    return {key: statistics.median(values) for key, values in seconds.items()}


def bodies(rows: list[dict[str, Any]]) -> dict[str, tuple[Format, bytes]]:
    """The same rows in each format."""
    table = pa.Table.from_pylist(rows)
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    texts = {
        "JSON": json.dumps({CONTRACT.rows: rows}).encode(),
        "NDJSON": "\n".join(map(json.dumps, rows)).encode(),
        "Arrow": stream.getvalue(),
    }
    formats = formats_of(CONTRACT)["predict_batch"]
    return dict(zip(texts, zip(formats, texts.values(), strict=True), strict=True))


def main() -> None:
    """The command."""
    rows = list(complete_rows())
    features = CONTRACT.encode(rows)
    threshold = MANIFEST.threshold.value
    form = pipeline_form()
    labels = np.where(
        form.propensities(features) >= threshold, MANIFEST.target.positive, MANIFEST.target.negative
    )
    scoring: dict[Any, Callable[[], object]] = {}
    for trees, depth in itertools.product(TREES, DEPTHS):
        print(f"complexity: training {trees} trees of depth {depth}", flush=True)
        trained = clone(form.pipeline).set_params(classifier__n_estimators=trees, classifier__max_depth=depth)
        trained.fit(form.input(features[:2_000]), labels[:2_000])
        as_pipeline = PipelineForm(trained, CONTRACT, MANIFEST.takes, MANIFEST.target.positive)
        compiled = compile_tables(as_pipeline, features[:2_000]).form
        for size in ROWS:
            part = features[:size]
            scoring["compiled", trees, depth, size] = partial(compiled.propensities, part)
            scoring["pipeline", trees, depth, size] = partial(as_pipeline.propensities, part)
    handling: dict[Any, Callable[[], object]] = {}
    for size in ROWS:
        predicted = np.linspace(0, 1, size)
        for name, (each, body) in bodies(rows[:size]).items():
            answers = Answers.of(each.read(body), predicted, threshold, MANIFEST.name, CONTRACT)
            handling[name, "read", size] = partial(each.read, body)
            handling[name, "write", size] = partial(each.write, answers)
    print("complexity: measuring", flush=True)
    scored, handled = median_seconds(scoring), median_seconds(handling)
    measured = {
        "scoring": [
            {"form": form, "trees": trees, "depth": depth, "rows": size, "seconds": seconds}
            for (form, trees, depth, size), seconds in scored.items()
        ],
        "formats": [
            {"format": name, "step": step, "rows": size, "seconds": seconds}
            for (name, step, size), seconds in handled.items()
        ],
    }
    keep("complexity", measured)


if __name__ == "__main__":
    main()
