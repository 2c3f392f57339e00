"""The import of a model that came alone, with rows whose outcomes are known."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bentoml
import commands
import joblib
import numpy as np
import pandas as pd
import pytest
from conftest import few_generated_rows
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from strangers import ROWS, customers, fitted, left, logistic_regression

import import_model
from import_model import main
from propensity.model import gate, store


@pytest.fixture
def folder(tmp_path: Path, empty_store: Any) -> Iterator[Path]:
    """A folder with a pickle and rows in a CSV file, and an empty store."""
    place = tmp_path / "my model"
    place.mkdir()
    frame = customers()
    (place / "churn.pkl").write_bytes(pickle.dumps(logistic_regression(frame)))
    frame.assign(**{"se fue": left(frame)}).to_csv(place / "rows.csv", index=False)
    with few_generated_rows():
        yield place


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def given(folder: Path) -> tuple[str, ...]:
    return "--data", str(folder / "rows.csv"), "--target", "se fue"


def test_a_model_that_came_alone_is_imported_with_what_was_inferred(folder: Path) -> None:
    done = commands.run(main, folder / "churn.pkl", *given(folder), "--name", "churn", "--threshold", "0.4")
    assert done.returncode == 0, done.stderr
    tag = done.stdout.strip()
    assert done.stdout == f"{tag}\n"
    assert tag.startswith("churn:")
    assert "Wrote churn.json, churn.holdout.json." in done.stderr
    assert "whether the model was trained on rows of rows.csv is not known" in done.stderr
    assert files(folder) == {"churn.pkl", "rows.csv", "churn.json", "churn.holdout.json"}
    model = bentoml.models.get(tag)
    manifest = store.manifest_of(model)
    assert manifest.served.form == "additive"
    assert (manifest.threshold.value, manifest.target.positive) == (0.4, "sí")
    rows = [row["row"] for row in json.loads((folder / "churn.holdout.json").read_bytes())]
    found = store.load_predictor(model).predict(manifest.contract.encode(rows))
    pipeline = pickle.loads((folder / "churn.pkl").read_bytes())
    assert found.tolist() == pytest.approx(pipeline.predict_proba(customers())[:, 1].tolist(), abs=1e-9)
    # From now on the manifest says it all.
    again = commands.run(main, folder / "churn.pkl")
    assert (again.returncode, again.stdout) == (0, f"{tag}\n")


def test_a_file_of_joblib_is_imported_too(folder: Path) -> None:
    path = folder / "churn.joblib"
    joblib.dump(logistic_regression(customers()), path, compress=3)
    done = commands.run(main, path, *given(folder))
    assert done.returncode == 0, done.stderr
    assert commands.run(main, path).stdout == done.stdout


def test_without_manifest_and_rows_the_command_is_shown(folder: Path) -> None:
    path = folder / "churn.pkl"
    done = commands.run(main, path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"propensity import: {path}: has no manifest beside it (churn.json); write both with handover.write"
        f" where it was trained, or give rows with known outcomes: propensity import '{path}' --data"
        " FILE --target COLUMN\n"
    )


@pytest.mark.parametrize("flags", [("--positive", "sí"), ("--data", "rows.csv"), ("--name", "churn")])
def test_half_of_what_is_needed_is_refused(folder: Path, flags: tuple[str, str]) -> None:
    done = commands.run(main, folder / "churn.pkl", *flags)
    assert done.returncode == 1
    assert f"{flags[0]} alone can't tell what the model takes; give rows with known outcomes" in done.stderr


def test_a_manifest_wins_over_the_flags(folder: Path) -> None:
    theirs = folder / "churn.json"
    theirs.write_text("{}")
    done = commands.run(main, folder / "churn.pkl", *given(folder))
    assert (done.returncode, theirs.read_text()) == (1, "{}")
    assert f"{theirs}: says already what the flags would say, and wins; leave the flags out" in done.stderr


def test_a_holdout_file_that_is_there_is_not_overwritten(folder: Path, empty_store: Any) -> None:
    theirs = folder / "churn.holdout.json"
    theirs.write_text("theirs")
    done = commands.run(main, folder / "churn.pkl", *given(folder))
    assert (done.returncode, theirs.read_text(), empty_store.list()) == (1, "theirs", [])
    assert "churn.holdout.json: is there already, and is not overwritten; move it away" in done.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--positive", "perhaps"), "perhaps is no class: the outcomes are "),
        (("--threshold", "2"), "threshold.value: Input should be less than 1"),
        (("--name", "No Good"), "name: String should match pattern"),
        (("--target", "left"), "has no column left; it has "),
    ],
)
def test_what_is_refused_leaves_everything_as_it_was(
    folder: Path, empty_store: Any, flags: tuple[str, str], message: str
) -> None:
    before = files(folder)
    done = commands.run(main, folder / "churn.pkl", *given(folder), *flags)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert message in done.stderr
    assert (files(folder), empty_store.list()) == (before, [])


def test_rows_that_influence_each_other_are_refused(
    folder: Path, empty_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even a manifest is written: no change to it would help."""
    rank = FunctionTransformer(_ranked)
    frame = customers()[["saldo"]]
    pipeline = fitted(make_pipeline(rank, LogisticRegression()), frame, left(customers()))
    monkeypatch.setattr(gate, "load_pipeline", lambda _content: pipeline)
    frame.assign(**{"se fue": left(customers())}).to_csv(folder / "rows.csv", index=False)
    before = files(folder)
    done = commands.run(main, folder / "churn.pkl", *given(folder))
    assert done.returncode == 1
    assert "the pipeline's propensity of a row depends on the rows beside it" in done.stderr
    assert (files(folder), empty_store.list()) == (before, [])


def _ranked(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.rank(pct=True)


def test_a_file_that_can_not_be_written_is_named(folder: Path, empty_store: Any) -> None:
    path = (folder / "churn.pkl").rename(folder / f"{'x' * 250}.pkl")
    done = commands.run(main, path, *given(folder))
    assert (done.returncode, empty_store.list()) == (1, [])
    assert done.stderr == f"propensity import: {path.with_suffix('.holdout.json')}: File name too long\n"


def test_long_work_says_what_it_is_doing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_model, "LINE_SECONDS", 0.0)
    done = commands.run(main, folder / "churn.pkl", *given(folder))
    steps = [line for line in done.stderr.splitlines() if line.startswith("propensity import: ")]
    assert steps == [
        "propensity import: reading the model",
        "propensity import: checking it on the hold-out set",
        "propensity import: compiling it, and comparing both forms",
    ]


def test_a_regressor_is_refused_with_the_way_out(folder: Path) -> None:
    frame = customers()[["saldo"]]
    (folder / "churn.pkl").write_bytes(pickle.dumps(fitted(LinearRegression(), frame, np.arange(ROWS))))
    done = commands.run(main, folder / "churn.pkl", *given(folder))
    assert "LinearRegression predicts a number and no class; train a classifier" in done.stderr
