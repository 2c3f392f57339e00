"""Evaluation, drift and card of a model of other people: nothing in them knows what a row is about."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import commands
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from load_tests import resample
from propensity.__main__ import main
from propensity.contract.contract import Contract
from propensity.contract.features import Features, Propensities
from propensity.evaluation import evaluation, model_card
from propensity.evaluation.client import Api
from propensity.evaluation.drift_report import measure_drift, page
from propensity.evaluation.errors import EvaluationError
from propensity.evaluation.evaluation import evaluate, load_notebook_pipeline, metrics
from propensity.evaluation.figures import Figures
from propensity.evaluation.known_outcomes import KnownOutcomes, ask_service
from propensity.evaluation.later_outcomes import read_later_outcomes
from propensity.evaluation.report import lines, write
from propensity.formats.batch import Answers, Batch
from propensity.importing.figures import calibration, confusion, metrics_of
from propensity.model.manifest import FormName, Manifest, ModelCard, PassedOver, Served
from propensity.model.pipeline import PipelineForm
from propensity.model.reference import reference
from propensity.monitoring.answered_request import AnsweredRequest
from propensity.monitoring.prediction_log import PredictionLog

CONTRACT = Contract.model_validate({
    "title": "Propensity to leave for $5 or $10 less",
    "meaning": "the customer leaves within a year",
    "row": "customer",
    "rows": "customers",
    "description": "A customer of a phone company.",
    "decisions": {"negative": "keep", "positive": "call"},
    "fields": [
        {"name": "tenure", "kind": "integer", "minimum": 0, "maximum": 40, "unit": "years",
         "bounds_from": "10 times the largest value"},
        {"name": "monthly <bill>", "kind": "number", "minimum": 0, "nullable": True},
        {"name": "plan", "kind": "category", "categories": ["basic", "plus|more", "pro"], "nullable": True},
        {"name": "paperless", "kind": "boolean", "description": "Whether bills are sent | by mail."},
        # Two fields that are called as columns of the prediction log.
        {"name": "model", "kind": "category", "categories": ["old", "new"]},
        {"name": "propensity", "kind": "number", "maximum": 1},
    ],
    "example": {"tenure": 3, "monthly <bill>": 20.5, "plan": None, "paperless": True, "model": "new",
                "propensity": 0.5},
})  # fmt: skip

TAG = "leaving:0123456789ab"
THRESHOLD = 0.3


def frame(rows: int, seed: int) -> tuple[pd.DataFrame, pd.Series[str]]:
    """Customers, and whether each left: `yes` or `no`."""
    chance = np.random.default_rng(seed)
    customers = pd.DataFrame({
        "tenure": chance.integers(0, 41, rows).astype(float),
        "monthly <bill>": np.where(chance.random(rows) < 0.1, np.nan, chance.gamma(4, 10, rows)),
        "plan": pd.Series(chance.choice(["basic", "plus|more", "pro"], rows), dtype="str"),
        "paperless": chance.random(rows) < 0.5,
        "model": pd.Series(chance.choice(["old", "new"], rows), dtype="str"),
        "propensity": chance.random(rows),
    })  # fmt: skip
    odds = 1 - customers["tenure"] / 10 + (customers["plan"] == "basic") + customers["propensity"]
    left = chance.random(rows) < 1 / (1 + np.exp(-odds))
    return customers, pd.Series(np.where(left, "yes", "no"), name="left", dtype="str")


@pytest.fixture(scope="module")
def pipeline() -> Any:
    customers, left = frame(2_000, seed=1)
    numbers = [name for name in customers if customers[name].dtype.kind in "bf"]
    columns = ColumnTransformer([
        ("numbers", SimpleImputer(strategy="median"), numbers),
        ("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["plan", "model"]),
    ])  # fmt: skip
    return make_pipeline(columns, LogisticRegression(max_iter=2_000)).fit(customers, left)


@pytest.fixture(scope="module")
def form(pipeline: Any) -> PipelineForm:
    return PipelineForm(pipeline, CONTRACT, "frame", "yes")


@pytest.fixture(scope="module")
def holdout() -> list[dict[str, Any]]:
    customers, left = frame(400, seed=2)
    rows = customers.astype(object).where(customers.notna(), None).to_dict("records")
    return [
        {"customer": row, "left": outcome == "yes"} for row, outcome in zip(rows, left.tolist(), strict=True)
    ]


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, pipeline: Any, form: PipelineForm, holdout: list[dict[str, Any]]
) -> Path:
    """The model as its team hands it over: pickle, hold-out set, and a manifest with what it must state."""
    folder = tmp_path_factory.mktemp("leaving")
    content, rows = pickle.dumps(pipeline), json.dumps(holdout).encode()
    (folder / "leaving.pkl").write_bytes(content)
    (folder / "customers.json").write_bytes(rows)
    features, truth = CONTRACT.encode([row["customer"] for row in holdout]), outcomes(holdout)
    propensities = form.propensities(features)
    manifest = {
        "name": "leaving",
        "pickle": {"file": "leaving.pkl", "sha256": hashlib.sha256(content).hexdigest()},
        "libraries": {},
        "algorithm": "logistic regression",
        "target": {"name": "left", "positive": "yes", "negative": "no"},
        "contract": CONTRACT.model_dump(),
        "threshold": {"value": THRESHOLD},
        "metrics": {
            **metrics(truth, propensities, THRESHOLD),
            "confusion": confusion(truth, propensities >= THRESHOLD),
            "calibration": calibration(truth, propensities, bins=5),
        },
        "holdout": {
            "file": "customers.json",
            "sha256": hashlib.sha256(rows).hexdigest(),
            "rows": len(truth),
            "positives": int(truth.sum()),
        },
    }
    (folder / "leaving.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def card(folder: Path, form: PipelineForm, holdout: list[dict[str, Any]]) -> ModelCard:
    features = CONTRACT.encode([row["customer"] for row in holdout])
    references = reference(features, form.propensities(features), CONTRACT)
    return ModelCard.model_validate(
        json.loads((folder / "leaving.json").read_bytes())
        | {
            "tag": TAG,
            "reference": {name: each.model_dump() for name, each in references.items()},
            "served": {"form": "pipeline", "sha256": "0" * 64},
        }
    )


@pytest.fixture(scope="module")
def known(folder: Path, card: ModelCard) -> KnownOutcomes:
    return KnownOutcomes.read(folder / "customers.json", card)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "RESAMPLES", 20)


def outcomes(rows: Sequence[dict[str, Any]]) -> Any:
    return np.array([row["left"] for row in rows])


class InProcess(Api):
    """The API without HTTP; the propensities of a batch can differ from those of single requests."""

    def __init__(self, form: PipelineForm, card: ModelCard, shift: float = 0) -> None:
        self._form, self._card, self._shift = form, card, shift

    def one_by_one(self, rows: Any) -> Iterator[dict[str, Any]]:
        yield from self._answers([*rows], 0)

    def batch(self, rows: Any, contract: Contract) -> list[dict[str, Any]]:
        assert contract == self._card.contract
        return self._answers([*rows], self._shift)

    def _answers(self, rows: list[dict[str, Any]], shift: float) -> list[dict[str, Any]]:
        propensities = self._form.propensities(CONTRACT.encode(rows)) + shift
        return [
            {
                "propensity": propensity,
                "decision": "call" if propensity >= THRESHOLD else "keep",
                "threshold": THRESHOLD,
                "model": TAG,
            }
            for propensity in propensities.tolist()
        ]


def as_served(card: ModelCard, difference: float) -> ModelCard:
    """The card of a compiled form whose propensities differ from the pipeline's."""
    parity = {"rows": 1_000, "max_difference": difference, "decisions_changed": 0}
    served = {"form": "forest", "sha256": "0" * 64, "parity": parity}
    return ModelCard.model_validate(card.model_dump() | {"served": served})


def test_a_model_is_evaluated_and_reported_in_its_own_words(
    folder: Path, card: ModelCard, known: KnownOutcomes, form: PipelineForm, tmp_path: Path
) -> None:
    found = evaluate(ask_service(InProcess(form, card), card, known), form)
    assert found.faults == []
    assert found.max_difference is not None
    assert found.max_difference < 1e-12
    report = "\n".join(lines(found))
    positives = int(known.truth.sum())
    assert f"Model {TAG}, on 400 customers, {positives} of them positive, the notebook's hold-out" in report
    for name, count in found.confusion.items():
        assert f"| {name.replace('_', ' ')} | {count} | {count} |" in report
    assert len(re.findall(r"^\| \d+ \|", report, re.MULTILINE)) == 5
    write(found, tmp_path)
    figures = Figures.read(tmp_path / "evaluation.json")
    assert (figures.model, figures.pickle, figures.positives) == (TAG, card.pickle.sha256, positives)
    assert (tmp_path / "evaluation.png").read_bytes().startswith(b"\x89PNG")


def test_the_pickle_that_is_deployed_is_loaded_and_no_other(folder: Path, card: ModelCard) -> None:
    loaded = load_notebook_pipeline(folder / "leaving.pkl", card)
    features = CONTRACT.encode([CONTRACT.example])
    probability = loaded.pipeline.predict_proba(loaded.input(features))[0, 1]
    assert loaded.propensities(features).tolist() == [probability]
    other = card.pickle.model_copy(update={"sha256": "1" * 64})
    with pytest.raises(EvaluationError, match=f"its SHA-256 is not that of {TAG}"):
        load_notebook_pipeline(folder / "leaving.pkl", card.model_copy(update={"pickle": other}))


@pytest.mark.parametrize(
    ("shift", "parity", "faults"), [(2e-16, 0, 0), (5e-10, 0, 0), (1e-6, 0, 1), (1e-6, 2e-6, 0)]
)
def test_both_endpoints_may_differ_as_much_as_the_form_from_the_pipeline(
    card: ModelCard, known: KnownOutcomes, form: PipelineForm, shift: float, parity: float, faults: int
) -> None:
    served = as_served(card, parity)
    found = ask_service(InProcess(form, served, shift), served, known).faults
    assert len(found) == faults
    for fault in found:
        assert fault.startswith(
            f"400 propensities differ between /v1/predict and /v1/predict_batch, by up to {shift}"
        )


@pytest.mark.parametrize(("parity", "is_fault"), [(0, True), (1e-6, False)])
def test_a_figure_may_differ_as_far_as_the_propensities_may(
    card: ModelCard, known: KnownOutcomes, form: PipelineForm, parity: float, is_fault: bool
) -> None:
    """A customer at the threshold moves to its other side, and another one past its neighbour."""
    served = as_served(card, parity)
    deployed = ask_service(InProcess(form, served), served, known)
    propensities = deployed.propensities.copy()
    (negatives,), (positives,) = np.nonzero(~known.truth), np.nonzero(known.truth)
    propensities[negatives[0]] = THRESHOLD - 1e-7
    propensities[positives[:2]] = propensities[negatives[1:3]] + 2e-7
    promised = propensities.copy()
    promised[negatives[0]] = THRESHOLD
    promised[positives[:2]] -= 5e-7
    stated = card.metrics.model_validate({
        **metrics(known.truth, promised, THRESHOLD),
        "confusion": confusion(known.truth, promised >= THRESHOLD),
    })  # fmt: skip
    changed = {"card": served.model_copy(update={"metrics": stated}), "propensities": propensities}
    found = evaluate(type(deployed)(**vars(deployed) | changed), None).faults
    expected = {"auc", "gini", "ks", "brier", "log_loss", "selected", "false_positive_rate",
                "calibration_in_the_large", "true_negatives", "false_positives"}  # fmt: skip
    assert bool(found) == is_fault
    assert {fault.split()[0] for fault in found} <= expected
    if is_fault:
        assert {"auc", "selected", "false_positives"} <= {fault.split()[0] for fault in found}


def test_a_model_of_few_different_propensities_has_the_calibration_that_it_states(
    card: ModelCard, known: KnownOutcomes, form: PipelineForm
) -> None:
    """A small tree: of ten quantiles most coincide, so its curve has fewer points."""
    propensities = np.where(known.truth, 0.25, 0.5)
    propensities[:100] = 0.75
    stated = metrics_of(known.truth, propensities, {"value": THRESHOLD}, bins=10, groups={})
    assert 1 < len(stated["calibration"]["mean_propensity"]) < 4
    deployed = ask_service(InProcess(form, card), card, known)
    changed = {
        "card": card.model_copy(update={"metrics": card.metrics.model_validate(stated)}),
        "propensities": propensities,
    }
    found = evaluate(type(deployed)(**vars(deployed) | changed), None)
    assert found.faults == []
    assert found.calibration == stated["calibration"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"customer": {"tenure": 41}}, "row 1: "),
        ({"left": "yes"}, "left must be true or false"),
        ({"gone": True}, 'row 1: must be an object such as {"customer": {...}, "left": true}'),
        (None, "left must be true for some customers, and false for others"),
    ],
)
def test_known_outcomes_that_can_not_be_used_are_named(
    holdout: list[dict[str, Any]], card: ModelCard, tmp_path: Path, change: dict[str, Any] | None, said: str
) -> None:
    path = tmp_path / "known.json"
    rows = [holdout[0], holdout[0] if change is None else holdout[1] | change]
    path.write_text(json.dumps(rows))
    with pytest.raises(EvaluationError) as error:
        KnownOutcomes.read(path, card)
    assert str(error.value).startswith(f"{path}: ")
    assert said in str(error.value)


def log_of(folder: Path, features: Features, propensities: Propensities, **options: Any) -> None:
    """Log each row as a request of its own, now."""
    log = PredictionLog(folder, CONTRACT, **options)
    for place in range(len(features)):
        batch = Batch(features[place : place + 1], {})
        answers = Answers.of(batch, propensities[place : place + 1], THRESHOLD, TAG, CONTRACT)
        name = b"customer-%d" % place
        log.add(AnsweredRequest.of(batch, answers, name, time.time(), 0.001), None)
    log.write(None)


@pytest.mark.parametrize(
    ("suffix", "spelt"),
    [
        (".csv", {True: "yes", False: "no"}),
        (".csv", {True: "True", False: "FALSE"}),
        (".parquet", {True: "true", False: "false"}),
        (".parquet", {True: True, False: False}),
    ],
)
def test_later_outcomes_are_true_or_false_or_classes_of_the_target(
    card: ModelCard,
    known: KnownOutcomes,
    form: PipelineForm,
    tmp_path: Path,
    suffix: str,
    spelt: dict[bool, Any],
) -> None:
    log_of(tmp_path, known.features, form.propensities(known.features))
    ids = [f"customer-{place}" for place in range(400)]
    path = tmp_path / f"outcomes{suffix}"
    table = pa.table({"request_id": ids, "left": [spelt[left] for left in known.truth.tolist()]})
    if suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    deployed = read_later_outcomes(card, path, tmp_path)
    assert deployed.truth.sum() == known.truth.sum()
    found = evaluate(deployed, form)
    assert found.faults == []
    assert found.max_difference == 0
    assert found.metrics["auc"] == pytest.approx(card.metrics.auc, abs=1e-12)


def test_an_outcome_that_is_none_of_these_is_named(card: ModelCard, tmp_path: Path) -> None:
    path = tmp_path / "outcomes.csv"
    path.write_text("request_id,left\n007,yes\n008,perhaps\n")
    with pytest.raises(EvaluationError) as error:
        read_later_outcomes(card, path, tmp_path)
    assert str(error.value) == f"{path}: left is 'perhaps'; it must be true or false, or yes or no"


def test_a_field_that_has_moved_is_told_from_those_that_have_not(
    card: ModelCard, known: KnownOutcomes, form: PipelineForm, tmp_path: Path
) -> None:
    moved = known.features.copy()
    moved[:, CONTRACT.columns.names.index("paperless")] = 1
    log_of(tmp_path, moved, form.propensities(known.features))
    drifts = measure_drift(tmp_path, TAG, pd.Timestamp("2020-01-01", tz="UTC"), card.reference, CONTRACT)
    assert next(iter(drifts)) == "paperless"
    assert drifts["paperless"].verdict == "moved"
    assert {*drifts} == {*CONTRACT.by_name, "propensity_"}
    assert all(drift.index == 0 for name, drift in drifts.items() if name != "paperless")
    shown = page(drifts, "All of them.")
    assert "<h2>monthly &lt;bill&gt;: PSI 0.000, the same</h2>" in shown
    assert "<th>above</th>" in shown
    assert "<th>plus|more</th>" in shown
    assert "<th>missing</th>" in shown
    assert "up to missing" not in shown


def test_fields_that_the_log_omits_or_hashes_are_left_out(
    card: ModelCard, known: KnownOutcomes, form: PipelineForm, tmp_path: Path
) -> None:
    hidden = {"omitted": ["model"], "pseudonyms": ["paperless", "plan", "propensity"], "key": b"k" * 16}
    log_of(tmp_path, known.features, form.propensities(known.features), **hidden)
    drifts = measure_drift(tmp_path, TAG, pd.Timestamp("2020-01-01", tz="UTC"), card.reference, CONTRACT)
    assert {*drifts} == {"tenure", "monthly <bill>", "propensity_"}


def test_a_card_is_made_of_a_manifest_that_states_no_more_than_it_must(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "card.md"
    done = commands.run(main, "card", "--manifest", folder / "leaving.json", "--output", output)
    assert (done.returncode, done.stderr) == (0, "")
    card = output.read_text()
    assert card.startswith("# Propensity to leave for $5 or $10 less\n")
    assert "the probability that the customer leaves within a year" in card
    assert "From a propensity of 0.3 on, the decision is `call`, else `keep`." in card
    assert "| `tenure` | integer | 0 to 40 | years |  |  | 10 times the largest value |\n" in card
    assert "| `monthly <bill>` | number | from 0 |  | yes |  |  |\n" in card
    assert r"| `plan` | category | `basic`, `plus\|more`, `pro` |  | yes |  |  |" in card
    assert r"| `paperless` | boolean |  |  |  | Whether bills are sent \| by mail. |  |" in card
    assert re.findall(r"^## (.*)$", card, re.MULTILINE) == [
        "What it takes", "Data", "Quality, as stated", "Limits",
    ]  # fmt: skip
    assert "The manifest states no figures by group" in card
    assert "\n\n\n" not in card


def test_a_card_shows_what_else_manifest_and_evaluation_state(
    folder: Path, card: ModelCard, known: KnownOutcomes, form: PipelineForm, tmp_path: Path
) -> None:
    served = as_served(card, 3e-8)
    write(evaluate(ask_service(InProcess(form, served), served, known), form), tmp_path)
    stated = json.loads((folder / "leaving.json").read_bytes())
    stated["threshold"] |= {"cost_false_negative": 5.0, "cost_false_positive": 1, "chosen_on": "a hunch"}
    stated["data"] = {"source": "the <billing> system", "training_rows": 2_000}
    of_group = {"rows": 200, "positive_rate": 0.5, "auc": None, "recall": 0.75, "false_positive_rate": 0.2}
    stated["metrics"] |= {
        "permutation_importance": {"tenure": 0.1234},
        "groups": {"model": {"old": of_group, "new": of_group | {"false_positive_rate": 0.0}}},
    }
    manifest = tmp_path / "leaving.json"
    manifest.write_text(json.dumps(stated))
    arguments = ("--manifest", manifest, "--evaluation", tmp_path / "evaluation.json", "--output")
    done = commands.run(main, "card", *arguments, tmp_path / "card.md")
    assert (done.returncode, done.stderr) == (0, "")
    made = (tmp_path / "card.md").read_text()
    assert f"**{TAG}**: logistic regression." in made
    assert "A false negative was taken to cost 5, a false positive 1;" in made
    assert "The threshold was chosen on a hunch." in made
    assert (
        "- source: the &lt;billing&gt; system\n- training rows: 2,000\n- hold-out set: 400 customers" in made
    )
    assert (
        f"On 400 customers, {int(known.truth.sum())} of them positive, the notebook's hold-out set:" in made
    )
    assert f" | {card.metrics.auc:.4f} |\n| Gini" in made
    assert "| `old` | 200 | 0.50 |  |  |  | 0.75 | 0.20 |" in made
    assert "Of the negatives, 20% of `model` `old` are selected, 0% of `new`." in made
    assert "| `tenure` | 0.1234 |" in made
    assert "As a compiled forest. On 1,000 rows, the largest difference" in made
    assert "is 3.0e-08; 0 decisions differ." in made
    assert "no figures by group" not in made


@pytest.mark.parametrize("name", get_args(FormName))
def test_a_card_says_in_which_form_a_model_is_served_and_which_were_passed_over(
    card: ModelCard, known: KnownOutcomes, form: PipelineForm, name: FormName
) -> None:
    passed_over = [PassedOver(form="tables", reason="it has no trees")]
    served = Served(form=name, sha256="0" * 64, passed_over=passed_over)
    evaluated = evaluate(ask_service(InProcess(form, card), card, known), None)
    figures = Figures.of_evaluation(evaluated).model_copy(update={"served": served})
    made = model_card.card("{form}", card, figures)
    assert re.match(
        r"## How it is served\n\nAs (grids of|tables of|a sum of|a mean of|a compiled|the pipeline) .*\.\n",
        made,
    )
    assert made.endswith("- Not as tables of its trees: it has no trees\n")


def test_a_template_says_more_and_an_unknown_name_in_it_is_refused(folder: Path, tmp_path: Path) -> None:
    template, output = tmp_path / "card.md.in", tmp_path / "card.md"
    arguments = ("--manifest", folder / "leaving.json", "--output", output, "--template", template)
    template.write_text("# Ours\n\n{groups}\n\nCall from {threshold} on; {{braces}} stay.\n")
    assert commands.run(main, "card", *arguments).returncode == 0
    assert output.read_text() == "# Ours\n\nCall from 0.3 on; {braces} stay.\n"
    for text, said in {
        "{cost_false_negative}": "the template names 'cost_false_negative'; of this manifest it may name ",
        "{": "the template can't be read: ",
        "{title.secret}": "the template can't be read: ",
    }.items():
        template.write_text(text)
        done = commands.run(main, "card", *arguments)
        assert done.returncode == 1
        assert done.stderr.startswith(f"propensity card: {said}")
        assert done.stderr.count("\n") == 1


def test_an_evaluation_of_another_model_is_refused(
    folder: Path, card: ModelCard, known: KnownOutcomes, form: PipelineForm
) -> None:
    figures = Figures.of_evaluation(evaluate(ask_service(InProcess(form, card), card, known), None))
    other = figures.model_copy(update={"pickle": "1" * 64})
    manifest = Manifest.model_validate_json((folder / "leaving.json").read_bytes())
    with pytest.raises(EvaluationError, match=f"the evaluation is of {TAG}, whose pickle is another"):
        model_card.card(model_card.TEMPLATE, manifest, other)


def test_a_set_for_load_is_drawn_from_the_holdout_rows_of_any_model(
    folder: Path, holdout: list[dict[str, Any]]
) -> None:
    path = resample.resample(folder / "leaving.json", 1_000)
    assert path == folder / "customers-1000.json"
    first = path.read_bytes()
    assert resample.resample(folder / "leaving.json", 1_000).read_bytes() == first
    rows = json.loads(first)
    assert len(rows) == 1_000
    assert all(row in holdout for row in rows[:100])
    assert len({json.dumps(row) for row in rows}) > 300
