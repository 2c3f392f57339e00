"""Drift: the index tells applications of another world from those of the same one, over all workers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import bentoml
import httpx2
import numpy as np
import pyarrow as pa
import pytest
from bodies import stream
from conftest import AUTHORIZED, METRICS_AUTHORIZED
from demonstration import CATEGORIES, COLUMNS, CONTRACT, NULLABLE
from rows import poorer, unseen
from servers import eventually, serving

from propensity.model import store
from propensity.model.manifest import ServedManifest
from propensity.model.reference import MOVED, NOTICED, bins, count_all, psi, reference


@pytest.fixture(scope="module")
def served_manifest(tag: str) -> ServedManifest:
    return store.manifest_of(bentoml.models.get(tag))


def test_the_reference_is_kept_with_the_model(
    served_manifest: ServedManifest, applications: list[dict[str, Any]]
) -> None:
    assert [*served_manifest.reference] == [*COLUMNS, "propensity"]
    for field, distribution in served_manifest.reference.items():
        names = bins(CONTRACT.by_name.get(field), distribution)
        assert len(distribution.ratios) == len(names) == len(set(names))
        assert sum(distribution.ratios) == pytest.approx(1)
        assert (names[-1] == "missing") == (field in NULLABLE)
    records = served_manifest.reference["records"]
    with_record = sum(application["records"] == "yes" for application in applications)
    assert records.ratios == pytest.approx([1 - with_record / 1_114, with_record / 1_114])
    income = served_manifest.reference["income"]
    assert income.bounds is not None
    assert len(income.bounds) == 9
    missing = sum(application["income"] is None for application in applications)
    assert income.ratios[-1] == pytest.approx(missing / 1_114)
    assert all(0.05 < ratio < 0.15 for ratio in income.ratios[:-1])


def test_counts_of_parts_add_up_to_those_of_the_whole(
    served_manifest: ServedManifest, applications: list[dict[str, Any]]
) -> None:
    features, of = CONTRACT.encode(applications), served_manifest.reference
    propensities = np.linspace(0, 1, len(features))
    whole = count_all(of, features, propensities, CONTRACT)
    parts = [
        count_all(of, features[part], propensities[part], CONTRACT) for part in (slice(300), slice(300, None))
    ]
    for field, counts in whole.items():
        assert counts.sum() == len(features)
        assert np.array_equal(counts, parts[0][field] + parts[1][field])
    assert psi(of["income"].ratios, whole["income"]) == pytest.approx(0, abs=1e-12)


def test_the_index_is_that_of_the_textbook() -> None:
    assert psi([0.5, 0.5], [50, 50]) == 0
    assert psi([0.5, 0.5], [75, 25]) == pytest.approx(0.25 * np.log(1.5) - 0.25 * np.log(0.5))
    # An empty bin counts as one of ten thousand.
    assert psi([0.5, 0.5], [10, 0]) == pytest.approx(0.5 * np.log(2) + (1e-4 - 0.5) * np.log(1e-4 / 0.5))
    assert psi([10, 20], [20, 10]) == psi([20, 10], [10, 20])


def test_values_on_a_bound_and_beyond_all_are_counted() -> None:
    features = np.zeros((4, len(COLUMNS)))
    features[:, COLUMNS.index("age")] = [20, 30, 40, 50]
    of = reference(features, np.array([0.1, 0.2, 0.3, 0.4]), CONTRACT)
    assert of["age"].bounds == [20, 30, 40]
    features[:, COLUMNS.index("age")] = [18, 30, 31, 99]
    assert count_all(of, features, np.zeros(4), CONTRACT)["age"].tolist() == [1, 1, 1, 1]


def replay(url: str, rows: list[dict[str, Any]]) -> None:
    """Send the rows in pieces, so that each worker gets some."""
    for start in range(0, len(rows), 200):
        piece = rows[start : start + 200]
        table = pa.table({name: [row[name] for row in piece] for name in piece[0]})
        kind = {"Content-Type": "application/vnd.apache.arrow.stream"}
        answer = httpx2.post(
            f"{url}/v1/predict_batch", content=stream(table), headers=AUTHORIZED | kind, timeout=30
        )
        assert answer.status_code == 200


def exposed(url: str, metric: str) -> dict[str, float]:
    text = httpx2.get(f"{url}/metrics", headers=METRICS_AUTHORIZED).text
    found = re.findall(rf'^{metric}{{(?=.*field="(\w+)")(?!.*bin=)[^}}]*}} (\S+)$', text, re.MULTILINE)
    return {field: float(value) for field, value in found}


@pytest.mark.thorough
@pytest.mark.parametrize("shift", [False, True], ids=["the same world", "a poorer one"])
def test_a_replay_moves_the_index_of_what_has_moved_and_of_nothing_else(
    bento: Path, tmp_path: Path, shift: bool
) -> None:
    rows = [poorer(row) if shift else row for row in unseen()]
    with serving(bento, tmp_path, {"PROPENSITY_WORKERS": "2"}) as served:
        assert exposed(served.url, "propensity_psi") == {}
        replay(served.url, rows)
        rows_of_income = r'propensity_field_rows_total\{[^}]*field="income"[^}]*\}'
        counted = eventually(
            lambda: served.metric(rows_of_income, METRICS_AUTHORIZED), lambda counted: counted >= len(rows)
        )
        found = exposed(served.url, "propensity_psi")
        missing = exposed(served.url, "propensity_missing_ratio")
    assert counted == len(rows) == 4_454
    assert [*found] == [*COLUMNS, "propensity"]
    assert missing["income"] == pytest.approx(sum(row["income"] is None for row in rows) / len(rows))
    assert [*missing] == [name for name in COLUMNS if name in NULLABLE]
    moved = {field for field, index in found.items() if index > MOVED}
    assert moved == ({"income", "propensity"} if shift else set())
    assert max(index for field, index in found.items() if field not in moved) < NOTICED


def test_every_category_is_a_bin(served_manifest: ServedManifest) -> None:
    for field, names in CATEGORIES.items():
        assert bins(CONTRACT.by_name[field], served_manifest.reference[field])[: len(names)] == [*names]
