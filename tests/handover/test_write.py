"""The handover: what is inferred from a pipeline and its rows, proven, and written."""

from __future__ import annotations

import datetime
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from strangers import NUMBERS, ROWS, TEXTS, customers, fitted, left, logistic_regression, random_forest

from propensity import handover
from propensity.contract.field import Field
from propensity.handover import Handover
from propensity.importing import holdout
from propensity.model.gate import GateError
from propensity.model.manifest import Manifest, read_manifest
from propensity.model.pipeline import PipelineForm


def written(folder: Path, pipeline: Any, frame: Any, outcomes: Any = None, **stated: Any) -> Handover:
    return handover.write(folder, pipeline, frame, left(frame) if outcomes is None else outcomes, **stated)


def refusal(folder: Path, pipeline: Any, frame: Any, outcomes: Any = None, **stated: Any) -> str:
    with pytest.raises(GateError) as caught:
        written(folder, pipeline, frame, outcomes, **stated)
    assert not [*folder.iterdir()]
    return str(caught.value)


def fields(made: Handover) -> dict[str, Field]:
    return made.manifest.contract.by_name


def kind_of(field: Field) -> tuple[object, ...]:
    return field.kind, field.nullable, field.dtype, field.missing


def test_the_fields_of_a_logistic_regression_are_inferred(tmp_path: Path) -> None:
    frame = customers()
    made = written(tmp_path, logistic_regression(frame), frame, training=frame)
    found = fields(made)
    assert [*found] == NUMBERS + TEXTS
    assert {name: kind_of(field) for name, field in found.items()} == {
        "Edad (años)": ("integer", False, "int64", "NaN"),
        "saldo": ("number", False, None, "NaN"),
        "líneas": ("integer", True, None, "NaN"),
        "plan": ("category", False, None, "NaN"),
        "región": ("category", True, None, "NaN"),
    }
    assert found["plan"].categories == ("básico", "oro", "plata")
    assert found["región"].categories == ("norte", "sur")
    assert (found["Edad (años)"].minimum, found["Edad (años)"].maximum) == (0, 1_000)
    assert (found["saldo"].minimum, found["saldo"].maximum) == (-500_000, 500_000)
    assert (found["líneas"].minimum, found["líneas"].maximum) == (0, 50)
    assert found["saldo"].bounds_from == f"10 times the largest of {2 * ROWS} values, rounded up"


def test_the_fields_of_a_random_forest_keep_the_types_of_its_columns(tmp_path: Path) -> None:
    frame = customers()
    found = fields(written(tmp_path, random_forest(frame), frame, training=frame))
    assert [*found] == [*frame.columns]
    expected: dict[str, tuple[object, ...]] = {
        "activo": ("boolean", False, None, "NaN"),
        "canal": ("category", True, "object", "None"),
        "tamaño": ("category", False, "category", "NaN"),
        "zona": ("category", False, "category[int64]", "NaN"),
        "clase": ("integer", False, "int64", "NaN"),
        "nivel": ("category", False, "int64", "NaN"),
    }
    assert {name: kind_of(found[name]) for name in expected} == expected
    assert found["tamaño"].categories == ("s", "m", "l")
    assert found["zona"].categories == ("10", "20", "30")
    assert (found["clase"].minimum, found["clase"].maximum) == (1, 3)
    assert found["clase"].bounds_from == "what OneHotEncoder has learned"
    assert found["nivel"].categories == ("1", "2", "5")


@pytest.mark.parametrize("model", [logistic_regression, random_forest])
def test_what_is_written_predicts_what_the_pipeline_predicts(tmp_path: Path, model: Any) -> None:
    frame = customers()
    pipeline = model(frame)
    made = written(tmp_path, pipeline, frame, name="churn")
    assert [path.name for path in made.files] == ["churn.pkl", "churn.json", "churn.holdout.json"]
    manifest = read_manifest(tmp_path / "churn.json")
    features, truth = holdout.read(tmp_path / manifest.holdout.file, manifest)
    unpickled = pickle.loads((tmp_path / "churn.pkl").read_bytes())
    form = PipelineForm(unpickled, manifest.contract, manifest.takes, manifest.target.positive)
    assert form.propensities(features).tolist() == pytest.approx(pipeline.predict_proba(frame)[:, 1].tolist())
    assert truth.tolist() == (left(frame) == "sí").tolist()


def test_the_manifest_says_what_was_measured(tmp_path: Path) -> None:
    frame = customers()
    made = written(
        tmp_path, logistic_regression(frame), frame,
        costs={"false_negative": 3, "false_positive": 1},
        groups={"plan": None, "Edad (años)": ["18-25", "26+"]},
        metrics={"lift": 2.0}, data={"source": "billing"}, others={"ticket": 17}, seed=7,
        trained_at=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    )  # fmt: skip
    manifest = json.loads((tmp_path / "propensity.json").read_bytes())
    assert Manifest.model_validate(manifest) == made.manifest
    assert manifest["threshold"] == {
        "value": 0.25, "positive_at_or_above": True, "cost_false_negative": 3, "cost_false_positive": 1,
        "chosen_on": "the costs alone",
    }  # fmt: skip
    assert manifest["target"] == {"name": "se fue", "positive": "sí", "negative": "no"}
    assert manifest["algorithm"] == "logistic regression"
    assert manifest["contract"]["meaning"] == "se fue is sí"
    metrics = manifest["metrics"]
    confusion = metrics["confusion"]
    assert sum(confusion.values()) == manifest["holdout"]["rows"] == ROWS
    assert metrics["recall"] == confusion["true_positives"] / manifest["holdout"]["positives"]
    assert metrics["cost_per_row"] == (3 * confusion["false_negatives"] + confusion["false_positives"]) / ROWS
    assert sum(group["rows"] for group in metrics["groups"]["plan"].values()) == ROWS
    assert set(metrics["groups"]["Edad (años)"]) == {"18-25", "26+"}
    assert (metrics["lift"], manifest["ticket"], manifest["seed"]) == (2.0, 17, 7)
    assert manifest["trained_at"] == "2026-01-02T00:00:00Z"
    assert set(manifest["libraries"]) == {"python", "scikit-learn", "numpy", "pandas"}


def test_the_holdout_file_has_a_line_for_each_row_as_callers_send_it(tmp_path: Path) -> None:
    frame = customers().head(60)
    written(tmp_path, logistic_regression(frame), frame, contract={"row": "customer", "rows": "customers"})
    first, *_, last = (tmp_path / "propensity.holdout.json").read_text().splitlines()
    assert (first, last) == ("[", "]")
    rows = json.loads((tmp_path / "propensity.holdout.json").read_bytes())
    given = frame.iloc[0]
    assert rows[0] == {
        "customer": {
            "Edad (años)": int(given["Edad (años)"]), "saldo": given["saldo"], "líneas": int(given["líneas"]),
            "plan": given["plan"], "región": given["región"],
        },
        "se fue": bool(left(frame).iloc[0] == "sí"),
    }  # fmt: skip
    assert {row["customer"]["líneas"] for row in rows} > {None}


def test_an_array_without_names_gets_some(tmp_path: Path) -> None:
    frame = customers()
    array = frame[["saldo", "Edad (años)"]].to_numpy()
    pipeline = fitted(make_pipeline(StandardScaler(), LogisticRegression()), array, left(frame))
    made = written(tmp_path, pipeline, array, left(frame).to_numpy())
    assert made.manifest.takes == "array"
    assert {name: field.kind for name, field in fields(made).items()} == {"x0": "number", "x1": "integer"}
    assert made.manifest.target.name == "target"


def test_a_frame_for_a_pipeline_without_names_keeps_its_names(tmp_path: Path) -> None:
    frame = customers()[["saldo", "activo"]]
    pipeline = fitted(LogisticRegression(), frame.to_numpy(dtype=float), left(frame))
    made = written(tmp_path, pipeline, frame.astype(float))
    assert made.manifest.takes == "array"
    assert [*fields(made)] == ["saldo", "activo"]


def test_categoricals_that_a_model_takes_itself_keep_all_their_categories(tmp_path: Path) -> None:
    frame = customers()[["saldo", "tamaño", "zona", "líneas"]]
    pipeline = fitted(HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=5), frame)
    few = frame[frame["tamaño"] != "s"]
    found = fields(written(tmp_path, pipeline, few))
    assert found["tamaño"].categories == ("s", "m", "l")
    assert found["líneas"].nullable
    assert not found["saldo"].nullable


def test_columns_that_the_pipeline_ignores_are_no_fields(tmp_path: Path) -> None:
    frame = customers().assign(since=pd.Timestamp("2020-01-01"), id=range(ROWS))
    made = written(tmp_path, logistic_regression(frame), frame)
    assert [*fields(made)] == NUMBERS + TEXTS
    assert "the pipeline ignores activo, canal, clase, id, nivel, since" in str(made)


def test_a_field_may_be_null_if_the_data_or_the_imputer_say_so(tmp_path: Path) -> None:
    frame = customers()
    pipeline = logistic_regression(frame)
    alone = written(tmp_path, pipeline, frame)
    assert [name for name, field in fields(alone).items() if field.nullable] == [*NUMBERS, "región"]
    assert "Edad (años), saldo: may be null, since an imputer fills it" in str(alone)
    with_training = written(tmp_path, pipeline, frame, training=frame)
    assert [name for name, field in fields(with_training).items() if field.nullable] == ["líneas", "región"]


@pytest.mark.parametrize(
    ("labels", "positive", "found"),
    [
        ([False, True], None, ("True", "False")),
        ([0, 1], None, ("1", "0")),
        ([0.0, 1.0], None, ("1.0", "0.0")),
        (["Yes", "No"], None, ("Yes", "No")),
        (["good", "bad"], "bad", ("bad", "good")),
        ([0, 1], "0", ("0", "1")),
        ([0, 1], False, ("0", "1")),
    ],
    ids=str,
)
def test_the_positive_class_is_the_usual_one_or_the_stated_one(
    tmp_path: Path, labels: list[Any], positive: object, found: tuple[str, str]
) -> None:
    frame = customers()[["saldo"]]
    outcomes = np.array(labels)[(frame["saldo"] > 0).astype(int)]
    made = written(
        tmp_path, fitted(LogisticRegression(), frame, outcomes), frame, outcomes, positive=positive
    )
    assert (made.manifest.target.positive, made.manifest.target.negative) == found
    assert "the positive class is taken" not in str(made)
    is_positive = [str(outcome) == found[0] for outcome in outcomes]
    assert made.manifest.holdout.positives == sum(is_positive)


def test_a_guessed_positive_class_is_said(tmp_path: Path) -> None:
    frame = customers()[["saldo"]]
    outcomes = np.where(frame["saldo"] > 0, "stays", "goes")
    made = written(tmp_path, fitted(LogisticRegression(), frame, outcomes), frame, outcomes)
    assert made.manifest.target.positive == "stays"
    assert "the positive class is taken to be stays, not goes; state it if that is wrong" in made.notes


@pytest.mark.parametrize("positive", [None, "sí"])
def test_outcomes_in_words_fit_a_pipeline_that_was_trained_on_zero_and_one(
    tmp_path: Path, positive: str | None
) -> None:
    frame = customers()[["saldo"]]
    pipeline = fitted(LogisticRegression(), frame, (left(frame) == "sí").astype(int))
    made = written(tmp_path, pipeline, frame, positive=positive)
    assert (made.manifest.target.positive, made.manifest.target.negative) == ("1", "0")
    assert made.manifest.holdout.positives == (left(frame) == "sí").sum()
    assert made.manifest.metrics.auc > 0.7


def test_what_a_person_states_wins(tmp_path: Path) -> None:
    frame = customers()
    made = written(
        tmp_path, logistic_regression(frame), frame, training=frame, target="churn", threshold=0.3,
        chosen_on="folds", algorithm="scorecard",
        contract={
            "title": "Propensity to churn", "meaning": "the customer leaves",
            "decisions": {"positive": "call"},
            "fields": {
                "líneas": {"kind": "number", "words": {"en": "Lines"}},
                "Edad (años)": {"minimum": 18, "maximum": 79, "unit": "years"},
            },
        },
    )  # fmt: skip
    contract = made.manifest.contract
    assert (contract.title, contract.meaning, contract.decision_names) == (
        "Propensity to churn", "the customer leaves", ("negative", "call"),
    )  # fmt: skip
    lines, age = contract.by_name["líneas"], contract.by_name["Edad (años)"]
    assert (lines.kind, lines.words) == ("number", {"en": "Lines"})
    assert (age.minimum, age.maximum, age.unit, age.bounds_from) == (18, 79, "years", None)
    assert (made.manifest.target.name, made.manifest.threshold.value) == ("churn", 0.3)
    assert made.manifest.threshold.model_extra == {"positive_at_or_above": True, "chosen_on": "folds"}
    assert made.manifest.algorithm == "scorecard"
    assert "Edad (años): its maximum 79 is the data's; is it that of the domain?" in made.notes


def test_a_number_in_a_column_of_whole_numbers_loses_no_fraction(tmp_path: Path) -> None:
    frame = customers()
    stated = {"fields": {"Edad (años)": {"kind": "number"}}}
    made = written(tmp_path, logistic_regression(frame), frame, contract=stated)
    assert fields(made)["Edad (años)"].dtype is None


def test_the_example_is_a_common_row_of_the_holdout_set(tmp_path: Path) -> None:
    frame = customers()
    example = written(tmp_path, logistic_regression(frame), frame).manifest.contract.example
    rows = [row["row"] for row in json.loads((tmp_path / "propensity.holdout.json").read_bytes())]
    assert example in rows
    assert None not in example.values()
    assert example["plan"] == frame["plan"].mode()[0]
    low, high = frame["Edad (años)"].quantile([0.2, 0.8])
    assert low <= example["Edad (años)"] <= high


def test_what_to_look_at_is_said(tmp_path: Path) -> None:
    frame = customers()
    frame.loc[0, "plan"] = "diamante"
    frame = frame.assign(constant=4, client_id=range(1, ROWS + 1))
    numbers = ["saldo", "constant", "client_id", "líneas"]
    preprocessing = make_column_transformer(
        ("passthrough", numbers[:3]), (OneHotEncoder(handle_unknown="ignore"), ["plan"])
    )
    pipeline = fitted(make_pipeline(preprocessing, LogisticRegression()), frame.iloc[1:].head(200))
    notes = " | ".join(written(tmp_path, pipeline, frame.head(80)).notes)
    assert "constant: is always 4; does the pipeline need it?" in notes
    assert "client_id: is called like an id; the model should not learn ids" in notes
    assert "plan: the data hold diamante, which OneHotEncoder does not know" in notes
    assert "plan: diamante occurs once only" in notes
    assert "rows of class sí only: its figures are rough" in notes


def test_the_handover_shows_as_text_and_as_a_table(tmp_path: Path) -> None:
    frame = customers()
    made = written(tmp_path, logistic_regression(frame), frame)
    assert str(made).startswith(
        "Wrote propensity.pkl, propensity.json, propensity.holdout.json. The propensity is the probability"
        " that se fue is sí; from 0.5 on, the decision is positive. AUC 0."
    )
    assert "\n  plan         one of básico, oro, plata\n" in str(made)
    assert repr(made) == str(made)
    shown = made._repr_markdown_()
    assert "| `plan` | one of básico, oro, plata |" in shown
    assert "- the example that the API publishes is a row of the hold-out set" in shown


def test_libraries_are_those_of_the_classes_in_the_pipeline(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost", reason="pip install xgboost")
    frame = customers()[["saldo", "líneas"]]
    outcomes = (left(frame) == "sí").astype(int)
    pipeline = fitted(xgboost.XGBClassifier(n_estimators=3), frame, outcomes)
    made = written(tmp_path, pipeline, frame, outcomes)
    assert made.manifest.libraries["xgboost"] == xgboost.__version__
    assert made.manifest.algorithm == "XGBoost"


SALDO = ["saldo"]


@pytest.mark.parametrize(
    ("estimator", "outcomes", "message"),
    [
        (SVC(), None, "SVC has no predict_proba, and so no propensities; train it with probability=True, or"),
        (LinearSVC(), None, "LinearSVC has no predict_proba, and so no propensities; wrap it in sklearn."),
        (LinearRegression(), customers()["saldo"], "LinearRegression predicts a number and no class; train"),
        (LogisticRegression(), customers()["clase"], "knows 3 classes (1, 2, 3), and a propensity is of one"),
        (StandardScaler(), None, "StandardScaler has no classes_: it is not fitted, or not a classifier"),
    ],
    ids=["SVC", "LinearSVC", "regressor", "three classes", "transformer"],
)  # fmt: skip
def test_what_is_no_binary_classifier_with_probabilities_is_refused(
    tmp_path: Path, estimator: Any, outcomes: Any, message: str
) -> None:
    frame = customers()[SALDO]
    assert message in refusal(tmp_path, fitted(estimator, frame, outcomes), frame, outcomes)


def test_what_an_encoder_has_learned_is_found_inside_other_estimators(tmp_path: Path) -> None:
    frame = customers()[["saldo", "plan"]]
    encoding = make_column_transformer((OneHotEncoder(), ["plan"]), remainder="passthrough")
    inner = make_pipeline(encoding, LogisticRegression())
    pipeline = fitted(CalibratedClassifierCV(inner, ensemble=False), frame)
    found = fields(written(tmp_path, pipeline, frame[frame["plan"] != "oro"]))
    assert found["plan"].categories == ("básico", "oro", "plata")


def test_what_a_transformer_makes_of_a_column_are_not_its_values(tmp_path: Path) -> None:
    frame = customers()[["saldo"]]
    pipeline = fitted(make_pipeline(KBinsDiscretizer(3), LogisticRegression()), frame)
    assert fields(written(tmp_path, pipeline, frame))["saldo"].kind == "number"


def test_a_calibrated_classifier_is_the_way_out(tmp_path: Path) -> None:
    frame = customers()[SALDO]
    pipeline = fitted(CalibratedClassifierCV(LinearSVC(), ensemble=False), frame)
    assert written(tmp_path, pipeline, frame).manifest.metrics.auc > 0.7


def taken_whole(frame: pd.DataFrame) -> Any:
    """A pipeline that takes any frame, and looks at `saldo` only."""
    pick = FunctionTransformer(lambda rows: rows[SALDO])
    return fitted(make_pipeline(pick, LogisticRegression()), frame)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pd.Timestamp("2024-05-01"), "column odd: holds dates or times, which the API has no kind for; let"),
        ([f"note {row}" for row in range(ROWS)], "column odd: 300 different texts in 300 rows are free text"),
        ([["a"]] * ROWS, "column odd: holds objects of type list; the API takes numbers, booleans and texts"),
        (np.nan, "column odd: holds no value at all; leave it out of the pipeline"),
        ([1.0] * (ROWS - 1) + [np.inf], "column odd: row 299 holds inf; the API takes finite numbers only"),
        ([1, "?"] * (ROWS // 2), "column odd: holds numbers, but row 1 holds '?'; give it one type, and"),
        (["7"] * (ROWS - 1) + ["x"], "column odd: holds numbers, but row 299 holds 'x'; correct it, or"),
        ([2**60 + row for row in range(ROWS)], "column odd: holds whole numbers beyond 2**53, which no"),
        (["a", ""] * (ROWS // 2), "column odd: a category is empty or holds a control character"),
    ],
    ids=["date", "free text", "objects", "empty", "infinite", "mixed", "a text", "huge", "empty text"],
)  # fmt: skip
def test_a_column_that_can_be_no_field_is_refused_with_the_way_out(
    tmp_path: Path, column: Any, message: str
) -> None:
    frame = customers()[SALDO].assign(odd=column)
    assert message in refusal(tmp_path, taken_whole(frame), frame)


def test_rows_that_break_a_stated_field_are_named(tmp_path: Path) -> None:
    frame = customers().set_index(pd.Index(range(1_000, 1_000 + ROWS)))
    worst = frame["saldo"].idxmin()
    stated = {"fields": {"saldo": {"minimum": float(frame["saldo"].min()) + 0.001}}}
    message = refusal(tmp_path, logistic_regression(frame), frame, contract=stated)
    assert f"row {worst}: saldo holds {frame['saldo'].min()}, which must be at least" in message


def test_a_stated_field_that_does_not_exist_is_refused_with_the_nearest(tmp_path: Path) -> None:
    frame = customers()
    message = refusal(tmp_path, logistic_regression(frame), frame, contract={"fields": {"lineas": {}}})
    assert message == "contract: fields: the pipeline takes no lineas; the nearest is líneas"


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"contract": {"decisions": {"positive": "negative"}}}, "contract: decisions: the two decisions"),
        ({"contract": {"fields": {"saldo": {"maximum": -1e9}}}}, "column saldo: its minimum exceeds its max"),
        ({"contract": {"colour": "red"}}, "contract: colour: Extra inputs are not permitted"),
        ({"threshold": 1.5}, "threshold.value: Input should be less than 1"),
        ({"name": "No good"}, "name: String should match pattern"),
        ({"target": "row"}, "the outcome and a row are both called row"),
        ({"positive": "maybe"}, "maybe is no class: the outcomes are "),
    ],
    ids=["decisions", "bounds", "member", "threshold", "name", "target", "positive"],
)  # fmt: skip
def test_what_is_stated_must_be_valid(tmp_path: Path, stated: dict[str, Any], message: str) -> None:
    frame = customers()
    assert message in refusal(tmp_path, logistic_regression(frame), frame, **stated)


def test_outcomes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    frame = customers()
    pipeline = logistic_regression(frame)
    outcomes = left(frame).astype(object)
    assert "there are 300 rows, but 299 outcomes" in refusal(tmp_path, pipeline, frame, outcomes[1:])
    stayed = outcomes == "no"
    message = refusal(tmp_path, pipeline, frame[stayed], outcomes[stayed])
    assert "no row of the hold-out set is positive" in message
    outcomes[3] = None
    assert "row 3 has no outcome" in refusal(tmp_path, pipeline, frame, outcomes)
    others = outcomes.fillna("no").replace("sí", "perhaps")
    message = refusal(tmp_path, pipeline, frame, others)
    assert "but the pipeline's classes are no, sí" in message


def test_a_column_that_the_pipeline_needs_and_the_rows_lack_is_named(tmp_path: Path) -> None:
    frame = customers()
    message = refusal(tmp_path, logistic_regression(frame), frame.drop(columns="plan"))
    assert message == "the pipeline takes plan, which the data don't have"


def test_a_pipeline_that_fails_on_the_rows_is_quoted(tmp_path: Path) -> None:
    frame = customers()
    pipeline = random_forest(frame)
    message = refusal(tmp_path, pipeline, frame.assign(plan="diamante"))
    assert "the pipeline fails on these rows (ValueError: Found unknown categories ['diamante']" in message


def test_a_column_that_the_api_can_not_give_as_it_was_is_named(tmp_path: Path) -> None:
    """The pipeline tells 3 from 3.0; JSON does not."""
    frame = customers()[SALDO].assign(odd=pd.Series([3, 4.5] * (ROWS // 2), dtype=object))
    look = FunctionTransformer(lambda rows: rows.map(lambda cell: float(isinstance(cell, int))))
    pipeline = fitted(make_pipeline(look, LogisticRegression()), frame, ["no", "sí"] * (ROWS // 2))
    message = refusal(tmp_path, pipeline, frame, ["no", "sí"] * (ROWS // 2))
    assert "the API would predict 0." in message
    assert "column odd is object there and object here, and the pipeline takes them for different" in message


def test_a_pickle_of_somebody_else_is_not_overwritten(tmp_path: Path) -> None:
    frame = customers()
    pipeline = logistic_regression(frame)
    theirs = tmp_path / "propensity.pkl"
    theirs.write_bytes(b"theirs")
    with pytest.raises(
        GateError, match=r"propensity\.pkl: is there already, and no manifest beside it is of"
    ):
        written(tmp_path, pipeline, frame)
    assert theirs.read_bytes() == b"theirs"
    assert [*tmp_path.iterdir()] == [theirs]
    theirs.unlink()
    written(tmp_path, pipeline, frame)
    again = written(tmp_path, pipeline, frame, threshold=0.4)
    assert read_manifest(tmp_path / "propensity.json") == again.manifest
