"""The notebook: it runs headless, gives what is committed, and writes pickle and manifest."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import ARTIFACTS, ROOT
from demonstration import CATEGORIES, CONTRACT, FEATURES, NULLABLE
from sklearn.metrics import brier_score_loss, roc_auc_score

from load_tests.demonstration import FILE
from load_tests.resample import resample
from propensity.model.pipeline import PipelineForm

NOTEBOOK = ROOT / "notebooks/propensity_model.ipynb"


@pytest.fixture(scope="module")
def second_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebook, executed again in a folder of its own."""
    folder = tmp_path_factory.mktemp("second-run")
    for name in ("notebooks", "propensity"):
        shutil.copytree(ROOT / name, folder / name)
    done = subprocess.run(
        [sys.executable, "notebooks/execute.py", "artifacts/propensity_model.ipynb"],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "notebook: cell 27 of 27" in done.stderr
    return folder


def printed(path: Path) -> list[str]:
    """The printed output and the tables of the cells."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [
        output["text"] if output["output_type"] == "stream" else output["data"]["text/plain"]
        for output in outputs
        if output["output_type"] == "stream" or "image/png" not in output["data"]
    ]


@pytest.mark.thorough
def test_two_runs_give_the_same_pickle_and_the_same_metrics(
    second_run: Path, manifest: dict[str, Any]
) -> None:
    again = json.loads((second_run / "artifacts/propensity.json").read_bytes())
    for part in ("pickle", "metrics", "threshold", "holdout", "cross_validation", "contract"):
        assert again[part] == manifest[part]
    assert (second_run / "artifacts/propensity.pkl").read_bytes() == (
        ARTIFACTS / "propensity.pkl"
    ).read_bytes()


@pytest.mark.thorough
def test_the_committed_outputs_are_what_the_notebook_gives(second_run: Path) -> None:
    assert printed(NOTEBOOK) == printed(second_run / "artifacts/propensity_model.ipynb")


def test_the_committed_notebook_shows_its_plots_and_no_path_of_a_machine() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 5
    assert str(Path.home()) not in NOTEBOOK.read_text()


@pytest.mark.thorough
def test_the_committed_holdout_set_is_what_the_notebook_writes(second_run: Path) -> None:
    committed = (ROOT / "load_tests/data/applications.json").read_bytes()
    assert committed == (second_run / "load_tests/data/applications.json").read_bytes()


def test_the_manifest_says_what_the_pickle_is(
    manifest: dict[str, Any], holdout: list[dict[str, Any]]
) -> None:
    assert (
        hashlib.sha256((ARTIFACTS / "propensity.pkl").read_bytes()).hexdigest()
        == manifest["pickle"]["sha256"]
    )
    assert FEATURES == (
        "seniority", "home", "time", "age", "marital", "records", "job", "expenses", "income", "assets",
        "debt", "amount", "price",
    )  # fmt: skip
    assert {"home", "marital", "job", "income", "assets", "debt"} == NULLABLE
    assert CATEGORIES["job"] == ("fixed", "partime", "freelance", "others")
    assert manifest["holdout"]["rows"] == len(holdout) == 1_114
    assert manifest["data"]["rows"] == 4_454
    assert set(manifest["metrics"]["groups"]) == {"age", "marital"}
    assert len(manifest["cross_validation"]) == 3
    assert manifest["metrics"]["auc"] > 0.84
    assert manifest["metrics"]["gini"] == pytest.approx(2 * manifest["metrics"]["auc"] - 1)


def test_the_manifests_metrics_are_those_of_the_payloads(
    pipeline: Any, manifest: dict[str, Any], holdout: list[dict[str, Any]], applications: list[dict[str, Any]]
) -> None:
    form = PipelineForm(pipeline, CONTRACT, "frame", "True")
    propensities = form.propensities(CONTRACT.encode(applications))
    truth = [row["default"] for row in holdout]
    assert roc_auc_score(truth, propensities) == pytest.approx(manifest["metrics"]["auc"], abs=1e-12)
    assert brier_score_loss(truth, propensities) == pytest.approx(manifest["metrics"]["brier"], abs=1e-12)
    declined = (propensities >= manifest["threshold"]["value"]).mean()
    assert declined == pytest.approx(manifest["metrics"]["selected"], abs=1e-12)


def test_every_field_has_its_words_in_english_and_spanish() -> None:
    for field in CONTRACT.fields:
        assert {*field.words} == {"en", "es"}, field.name
        assert {*field.category_words} == {*(field.categories or ())}, field.name


@pytest.mark.parametrize("manifest_beside", [None, "stranger", "own"])
def test_a_model_in_the_place_of_the_notebooks_is_not_overwritten(
    tmp_path: Path, manifest_beside: str | None
) -> None:
    """Not even where a manifest vouches for it: other teams call theirs so, too."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    theirs = tmp_path / "artifacts/propensity.pkl"
    theirs.parent.mkdir()
    theirs.write_bytes(b"theirs")
    if manifest_beside is not None:
        manifest = json.loads((ARTIFACTS / "propensity.json").read_bytes())
        if manifest_beside == "stranger":
            manifest["data"] = {"source": "billing"}
            manifest["pickle"]["sha256"] = hashlib.sha256(b"theirs").hexdigest()
        theirs.with_suffix(".json").write_text(json.dumps(manifest))
    done = subprocess.run(
        [sys.executable, "notebooks/execute.py", "executed.ipynb"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, theirs.read_bytes()) == (1, b"theirs")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"notebook: {theirs}: this notebook did not write it, and does not overwrite it")
    assert "`make serve PICKLE=artifacts/propensity.pkl DATA=FILE TARGET=COLUMN`" in line


def test_a_failing_cell_ends_the_run_with_its_traceback(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    broken = tmp_path / "notebooks/propensity_model.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])  # type: ignore[no-untyped-call]
    nbformat.write(notebook, broken)  # type: ignore[no-untyped-call]
    done = subprocess.run(
        [sys.executable, "notebooks/execute.py", "executed.ipynb"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "\nnotebook: a cell failed\n" in done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert not (tmp_path / "executed.ipynb").exists()


def test_a_resampled_set_is_drawn_from_the_holdout_rows(holdout: list[dict[str, Any]]) -> None:
    path = resample(FILE, 3_000)
    try:
        rows = json.loads(path.read_bytes())
        first = path.read_bytes()
        assert resample(FILE, 3_000).read_bytes() == first
    finally:
        path.unlink()
    assert len(rows) == 3_000
    assert all(row in holdout for row in rows[:200])
    assert len({json.dumps(row) for row in rows}) > 900
