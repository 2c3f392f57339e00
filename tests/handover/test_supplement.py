"""The supplement of a model that came without a manifest, from rows with known outcomes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from strangers import NUMBERS, ROWS, TEXTS, customers, fitted, left, logistic_regression, random_forest

from propensity.handover import supplement as module
from propensity.handover.supplement import Known, Supplement, supplement
from propensity.importing.artifact import Artifact
from propensity.model.gate import GateError

TARGET = "se fue"


def labelled(rows: int = ROWS) -> pd.DataFrame:
    """Customers with the outcome, as a team keeps them: with a column that the model does not take."""
    frame = customers(rows).drop(columns=["tamaño", "zona"])
    frame[TARGET] = left(frame)
    return frame


def kept(path: Path, frame: pd.DataFrame) -> Path:
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_json(path, orient="records", lines=path.suffix != ".json", force_ascii=False)
    return path


def supplied(
    pipeline: Any, data: Path, *, signature: list[tuple[str, str]] | None = None, **known: Any
) -> Supplement:
    read = Artifact(b"", "0" * 64, "model.pkl", signature, None)
    return supplement(pipeline, read, replace(Known(data, TARGET), **known), data.with_name("model.json"))


def refusal(pipeline: Any, data: Path, **known: Any) -> str:
    with pytest.raises(GateError) as caught:
        supplied(pipeline, data, **known)
    assert [*data.parent.iterdir()] == [data]
    return str(caught.value)


@pytest.mark.parametrize("ending", ["csv", "parquet", "json", "ndjson", "jsonl"])
def test_every_kind_of_file_gives_the_same_contract(tmp_path: Path, ending: str) -> None:
    pipeline = logistic_regression(customers())
    made = supplied(pipeline, kept(tmp_path / f"rows.{ending}", labelled()))
    assert [*made.manifest.contract.by_name] == NUMBERS + TEXTS
    assert {name: (field.kind, field.nullable) for name, field in made.manifest.contract.by_name.items()} == {
        "Edad (años)": ("integer", True),
        "saldo": ("number", True),
        "líneas": ("integer", True),
        "plan": ("category", False),
        "región": ("category", True),
    }
    assert made.manifest.target.model_dump() == {"name": TARGET, "positive": "sí", "negative": "no"}
    frame = customers()
    assert made.draft.propensities.tolist() == pytest.approx(pipeline.predict_proba(frame)[:, 1].tolist())


def test_what_was_inferred_is_written_beside_the_model_for_review(tmp_path: Path) -> None:
    data = kept(tmp_path / "rows.csv", labelled())
    made = supplied(logistic_regression(customers()), data, threshold=0.4, name="churn")
    shown = str(made.write())
    manifest = json.loads((tmp_path / "model.json").read_bytes())
    assert (manifest["name"], manifest["threshold"]["value"]) == ("churn", 0.4)
    assert manifest["pickle"] == {"file": "model.pkl", "sha256": "0" * 64}
    assert manifest["holdout"]["file"] == "model.holdout.json"
    assert len(json.loads((tmp_path / "model.holdout.json").read_bytes())) == ROWS
    assert manifest["data"] == {"source": "rows.csv", "rows": ROWS, "in_training": "unknown"}
    assert "activo, canal, clase, nivel: not taken by the pipeline, and left out" in shown
    assert "whether the model was trained on rows of rows.csv is not known; if it was, its figures" in shown
    assert f"10 times the largest of {ROWS} values" in shown


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    pipeline = logistic_regression(customers())
    data = kept(tmp_path / "rows.csv", labelled())
    made = supplied(pipeline, data)
    made.write()
    with pytest.raises(GateError, match=r"model\.holdout\.json: is there already, and is not overwritten"):
        supplied(pipeline, data)
    with pytest.raises(FileExistsError):
        made.write()


def test_a_csv_keeps_texts_that_look_like_numbers_or_missing_values(tmp_path: Path) -> None:
    frame = pd.DataFrame({"code": ["01", "1", "None", "NA"] * 50, "saldo": range(200)})
    encoder = OneHotEncoder(handle_unknown="error")
    preprocessing = make_column_transformer((encoder, ["code"]), ("passthrough", ["saldo"]))
    outcomes = ["sí", "no", "no", "sí", "no"] * 40
    pipeline = fitted(make_pipeline(preprocessing, LogisticRegression()), frame, outcomes)
    data = tmp_path / "rows.csv"
    frame.assign(**{TARGET: outcomes}).to_csv(data, index=False, sep=";")
    code = supplied(pipeline, data).manifest.contract.by_name["code"]
    assert (code.categories, code.nullable) == (("01", "1", "NA", "None"), False)


def test_texts_become_categoricals_for_a_model_that_takes_these(tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm", reason="pip install lightgbm")
    frame = customers()[["saldo", "plan"]].astype({"plan": "category"})
    pipeline = fitted(lightgbm.LGBMClassifier(n_estimators=5, verbose=-1), frame)
    made = supplied(pipeline, kept(tmp_path / "rows.csv", labelled()))
    plan = made.manifest.contract.by_name["plan"]
    assert (plan.dtype, plan.categories) == ("category", ("básico", "oro", "plata"))
    assert made.draft.propensities.tolist() == pipeline.predict_proba(frame)[:, 1].tolist()


def test_a_missing_text_is_none_for_a_pipeline_that_has_learned_none(tmp_path: Path) -> None:
    pipeline = random_forest(customers())
    data = kept(tmp_path / "rows.csv", labelled().assign(tamaño="s", zona=10))
    field = supplied(pipeline, data).manifest.contract.by_name["canal"]
    assert (field.nullable, field.missing, field.dtype) == (True, "None", "object")


def test_a_pipeline_without_names_takes_the_columns_in_their_order(tmp_path: Path) -> None:
    frame = labelled()
    pipeline = fitted(LogisticRegression(), frame[["saldo", "clase"]].to_numpy(), frame[TARGET])
    data = kept(tmp_path / "rows.csv", frame[["saldo", TARGET, "clase"]])
    made = supplied(pipeline, data)
    assert ([*made.manifest.contract.by_name], made.manifest.takes) == (["saldo", "clase"], "array")
    assert any("taken in the order of the file, saldo, clase" in note for note in made.draft.notes)
    more = kept(tmp_path / "rows.csv", frame[["saldo", "clase", "nivel", TARGET]])
    (tmp_path / "other").mkdir()
    message = refusal(pipeline, more.rename(tmp_path / "other/rows.csv"))
    assert (
        "takes 2 columns and names none of them; beside the outcome there are 3 (saldo, clase, niv" in message
    )


def test_mlflow_names_the_columns_and_says_their_types(tmp_path: Path) -> None:
    frame = labelled()
    pipeline = fitted(LogisticRegression(), frame[["saldo", "clase", "nivel"]].to_numpy(), frame[TARGET])
    signature = [("saldo", "double"), ("clase", "long"), ("nivel", "double")]
    made = supplied(pipeline, kept(tmp_path / "rows.parquet", frame), signature=signature)
    kinds = {name: field.kind for name, field in made.manifest.contract.by_name.items()}
    assert kinds == {"saldo": "number", "clase": "integer", "nivel": "number"}


def test_many_rows_are_sampled_with_the_same_share_of_each_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 100)
    frame = labelled()
    frame.loc[ROWS - 1, "saldo"] = -5_000_000.0
    made = supplied(logistic_regression(customers()), kept(tmp_path / "rows.csv", frame))
    positives = int((frame[TARGET] == "sí").sum())
    assert made.manifest.holdout.rows == positives * 100 // ROWS + (ROWS - positives) * 100 // ROWS
    assert made.manifest.holdout.positives == positives * 100 // ROWS
    assert made.manifest.contract.by_name["saldo"].minimum == -50_000_000
    again = supplied(logistic_regression(customers()), tmp_path / "rows.csv")
    assert again.draft.text == made.draft.text


def with_a_cell(column: str, row: int, cell: Any) -> pd.DataFrame:
    frame = labelled().astype({column: object})
    frame.loc[row, column] = cell
    return frame


@pytest.mark.parametrize(
    ("frame", "known", "message"),
    [
        (labelled(), {"target": "left"}, "has no column left; it has Edad (años), saldo, líneas, activo"),
        (labelled().drop(columns="plan"), {}, "the pipeline takes plan; there is no such column"),
        (with_a_cell(TARGET, 7, None), {}, "row 7 has no se fue; leave out the rows whose outcome is unk"),
        (with_a_cell("saldo", 5, "?"), {}, "column saldo: holds numbers, but row 5 holds '?'; correct it"),
        (with_a_cell("saldo", 5, np.inf), {}, "column saldo: row 5 holds inf; the API takes finite numbers"),
        (labelled(), {"positive": "perhaps"}, "perhaps is no class: the outcomes are "),
        (labelled()[lambda rows: rows[TARGET] == "no"], {}, "no row of the hold-out set is positive"),
        (labelled().head(0), {}, "rows.csv: holds no rows"),
        (labelled(), {"threshold": 0.0}, "threshold.value: Input should be greater than 0"),
    ],
    ids=["target", "column", "outcome", "text", "infinite", "positive", "one class", "empty", "threshold"],
)  # fmt: skip
def test_rows_that_do_not_fit_are_refused(
    tmp_path: Path, frame: pd.DataFrame, known: dict[str, Any], message: str
) -> None:
    data = kept(tmp_path / "rows.csv", frame)
    assert re.sub(r"\s+", " ", message) in refusal(logistic_regression(customers()), data, **known)


def test_a_category_that_makes_the_pipeline_fail_is_quoted(tmp_path: Path) -> None:
    frame = labelled()
    pipeline = random_forest(customers())
    data = kept(tmp_path / "rows.csv", frame.assign(tamaño="s", zona=10, plan="diamante"))
    assert "(ValueError: Found unknown categories ['diamante'] in column" in refusal(pipeline, data)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.xlsx", b"", "must be one of .csv, .parquet, .json, .ndjson, .jsonl, by the end of its name"),
        ("rows.csv", b"\xff\xfe", "can't be read as .csv: 'utf-8' codec can't decode byte 0xff"),
        ("rows.parquet", b"no", "can't be read as .parquet: "),
        ("rows.json", b'{"rows": []}', "must be a list of objects, one for each row"),
        ("rows.json", b"[1]", "row 0 is no object"),
        ("rows.ndjson", b"{}\n{", "line 2 is not JSON"),
    ],
)
def test_a_file_that_can_not_be_read_is_named(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    data = tmp_path / name
    data.write_bytes(content)
    found = refusal(logistic_regression(customers()), data)
    assert found.startswith(f"{data}: ")
    assert message in found


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(GateError, match=r"rows\.csv: No such file or directory"):
        supplied(logistic_regression(customers()), tmp_path / "rows.csv")
