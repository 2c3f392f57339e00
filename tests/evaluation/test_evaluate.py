"""The evaluation: predictions of the deployed model, from its API, beside what the notebook promised."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import commands
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from conftest import ARTIFACTS, PREDICT_TOKEN, ROOT
from demonstration import CONTRACT, EXAMPLE

from load_tests.compare.server import free_port
from propensity.__main__ import main
from propensity.evaluation import evaluation
from propensity.evaluation.client import Api
from propensity.evaluation.errors import EvaluationError
from propensity.evaluation.evaluation import evaluate, intervals, load_notebook_pipeline, metrics
from propensity.evaluation.known_outcomes import KnownOutcomes, ask_service
from propensity.evaluation.later_outcomes import read_later_outcomes
from propensity.formats.batch import Answers, Batch
from propensity.model.manifest import ModelCard, read_manifest
from propensity.model.pipeline import PipelineForm
from propensity.monitoring.answered_request import AnsweredRequest
from propensity.monitoring.prediction_log import PredictionLog

HOLDOUT = ROOT / "load_tests/data/applications.json"


@pytest.fixture(autouse=True)
def nobodys_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKEN", raising=False)
    monkeypatch.chdir(ROOT)


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return commands.run(main, "evaluate", "--report", folder, *arguments)


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that are not about intervals: 1,000 take seconds."""
    monkeypatch.setattr(evaluation, "RESAMPLES", 100)


@pytest.fixture
def api(server: str) -> Iterator[Api]:
    with Api(server, PREDICT_TOKEN) as api:
        yield api


@pytest.fixture(scope="module")
def known() -> KnownOutcomes:
    return KnownOutcomes.read(HOLDOUT, read_manifest(ARTIFACTS / "propensity.json"))


def test_the_deployed_model_is_what_the_notebook_promised(
    server: str, tmp_path: Path, manifest: dict[str, Any], tag: str
) -> None:
    pickle = str(ARTIFACTS / "propensity.pkl")
    arguments = ["--url", server, "--token", PREDICT_TOKEN, "--known", str(HOLDOUT), "--pickle", pickle]
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("evaluate: as promised\n")
    report = (tmp_path / "evaluation.md").read_text()
    assert f"Model {tag}, on 1,114 applications, 314 of them positive, the notebook's hold-out set." in report
    for name in ("auc", "gini", "ks", "brier", "log_loss", "selected"):
        (row,) = [line for line in report.splitlines() if line.startswith(f"| {name} |")]
        deployed, spread, notebook, difference = (cell.strip() for cell in row.split("|")[2:6])
        assert deployed == notebook == f"{manifest['metrics'][name]:.6f}"
        low, high = map(float, spread.split(" to "))
        assert low < float(deployed) < high
        assert abs(float(difference)) < 1e-9
    for name, count in manifest["metrics"]["confusion"].items():
        assert f"| {name.replace('_', ' ')} | {count} | {count} |" in report
    tenths = manifest["metrics"]["calibration"]
    for place in range(10):
        cells = f"{tenths['mean_propensity'][place]:.4f} | {tenths['positive_rate'][place]:.4f}"
        assert f"| {place + 1} | {cells} | {cells} |" in report
    figures = json.loads((tmp_path / "evaluation.json").read_bytes())
    assert figures["max_difference"] < 1e-12
    assert figures["metrics"]["auc"] == pytest.approx(manifest["metrics"]["auc"], abs=1e-12)
    assert (tmp_path / "evaluation.png").read_bytes().startswith(b"\x89PNG")


def test_other_outcomes_than_promised_are_a_fault_and_an_exit_code(
    server: str, tmp_path: Path, few_resamples: None
) -> None:
    """With every outcome reversed, the model ranks as badly as it ranked well."""
    rows = json.loads(HOLDOUT.read_bytes())
    for row in rows:
        row["default"] = not row["default"]
    (tmp_path / "other.json").write_text(json.dumps(rows))
    arguments = ["--url", server, "--token", PREDICT_TOKEN, "--known", str(tmp_path / "other.json")]
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 1
    progress, verdict, first = done.stderr.splitlines()[:3]
    assert progress == "predicting: 1,114 of 1,114 (100%)"
    assert verdict == "propensity evaluate: NOT as promised:"
    assert first.startswith("  auc is 0.1461 (0.1")
    assert "**Not** as promised" in (tmp_path / "evaluation.md").read_text()


def test_fewer_outcomes_of_the_same_world_are_as_promised(
    server: str, tmp_path: Path, holdout: list[dict[str, Any]], few_resamples: None
) -> None:
    (tmp_path / "some.json").write_text(json.dumps(holdout[::2]))
    arguments = ["--url", server, "--token", PREDICT_TOKEN, "--known", str(tmp_path / "some.json")]
    done = run(*arguments, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "predicting: 557 of 557 (100%)\n")
    assert "not the notebook's hold-out set" in done.stdout
    assert "no pickle was given" in done.stdout


ENDPOINTS = ("/v1/predict", "/v1/predict_batch")


class Changed(Api):
    """The running service with one change in its answers."""

    def __init__(self, api: Api, change: str) -> None:
        self.__dict__.update(api.__dict__)
        self._change = change

    def one_by_one(self, rows: Any) -> Iterator[dict[str, Any]]:
        for place, prediction in enumerate(super().one_by_one(rows)):
            if place == 7 and self._change != "batch":
                yield prediction | self._changes()[self._change]
            else:
                yield prediction

    def batch(self, rows: Any, contract: Any) -> list[dict[str, Any]]:
        found = super().batch(rows, contract)
        if self._change == "batch":
            found[3] = found[3] | {"propensity": found[3]["propensity"] + 1e-6}
        elif self._change in self._changes():
            found[7] = found[7] | self._changes()[self._change]
        return found

    @staticmethod
    def _changes() -> dict[str, dict[str, Any]]:
        return {
            "propensity": {"propensity": 0.123, "decision": "approve"},
            "model": {"model": "propensity:other"},
            "decision": {"decision": "maybe"},
        }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("batch", ["1 propensities differ between /v1/predict and /v1/predict_batch, by up to 1e-06;"]),
        (
            "propensity",
            [
                "1 propensities differ from the notebook's pickle, by up to",
                "auc is",
                "gini is",
                "calibration: mean_propensity is [",
            ],
        ),
        ("model", [f"{path} answers application 7 with" for path in ENDPOINTS]),
        ("decision", [f"{path} answers application 7 with" for path in ENDPOINTS]),
    ],
)
def test_one_answer_that_is_not_as_promised_is_found(
    api: Api, known: KnownOutcomes, change: str, said: list[str], few_resamples: None
) -> None:
    card = api.model_card()
    notebook = load_notebook_pipeline(ARTIFACTS / "propensity.pkl", card)
    faults = evaluate(ask_service(Changed(api, change), card, known), notebook).faults
    for start in said:
        assert [fault for fault in faults if fault.startswith(start)], (start, faults)
    if change != "propensity":
        assert len(faults) == len(said)


def test_metrics_are_those_of_the_textbook() -> None:
    outcomes = np.array([False, True, False, True])
    found = metrics(outcomes, np.array([0.1, 0.9, 0.4, 0.3]), 0.35)
    assert found["auc"] == 0.75
    assert found["gini"] == 0.5
    assert found["ks"] == 0.5
    assert found["brier"] == pytest.approx((0.01 + 0.01 + 0.16 + 0.49) / 4)
    assert (found["selected"], found["recall"], found["false_positive_rate"]) == (0.5, 0.5, 0.5)


def test_intervals_are_narrower_with_more_outcomes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "RESAMPLES", 300)
    chance = np.random.default_rng(1)
    propensities = chance.random(2_000)
    outcomes = chance.random(2_000) < propensities
    (low, high), (lower, higher) = (
        intervals(outcomes[:size], propensities[:size], 0.5)["auc"] for size in (2_000, 200)
    )
    assert lower < low < metrics(outcomes, propensities, 0.5)["auc"] < high < higher
    assert 0.5 < (higher - lower) / (high - low) / 10**0.5 < 2


def logged(folder: Path, card: ModelCard, known: KnownOutcomes, form: PipelineForm, **options: Any) -> None:
    """Log the hold-out set request by request; one prediction is of another model."""
    log = PredictionLog(folder, CONTRACT, **options)
    propensities = form.propensities(known.features)
    for place in range(len(known.features)):
        row = slice(place, place + 1)
        model = "propensity:other" if place == 5 else card.tag
        batch = Batch(known.features[row], {})
        answers = Answers.of(batch, propensities[row], card.threshold.value, model, CONTRACT)
        log.add(AnsweredRequest.of(batch, answers, b"loan-%d" % place, 1_800_000_000.0, 0.001), None)
    log.write(None)


def write_outcomes(path: Path, outcomes: dict[str, Any]) -> Path:
    table = pa.table(outcomes)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        pyarrow.csv.write_csv(table, path)
    return path


def test_a_negative_zero_has_the_pseudonym_of_zero(tmp_path: Path) -> None:
    batch = Batch(CONTRACT.encode([EXAMPLE | {"assets": assets} for assets in (-0.0, 0.0)]), {})
    log = PredictionLog(tmp_path, CONTRACT, pseudonyms=["assets"], key=b"k" * 16)
    answers = Answers.of(batch, np.array([0.1, 0.1]), 0.5, "propensity:one", CONTRACT)
    log.add(AnsweredRequest.of(batch, answers, b"loans", 1_800_000_000.0, 0.001), None)
    log.write(None)
    (file,) = tmp_path.glob("date=*/*.parquet")
    assert len({*pq.read_table(file, partitioning=None)["assets"].to_pylist()}) == 1


@pytest.mark.parametrize(
    ("options", "has_features"),
    [
        ({}, True),
        ({"omitted": ["age"]}, False),
        ({"pseudonyms": ["income", "home"], "key": b"k" * 16}, False),
    ],
    ids=["challenger", "omitted", "pseudonyms"],
)
def test_a_log_whose_files_differ_is_read_as_one(
    api: Api, known: KnownOutcomes, tmp_path: Path, options: dict[str, Any], has_features: bool
) -> None:
    card = api.model_card()
    features = known.features[:40]
    propensities = np.linspace(0.01, 0.99, 40)
    first: Any = SimpleNamespace(model="propensity:challenger", threshold=0.5)
    second: Any = SimpleNamespace(model="propensity:next", threshold=0.5)
    for rows, challenger, settings in (
        (slice(0, 20), None, {}),
        (slice(20, 30), first, options),
        (slice(30, 40), second, options),
    ):
        log = PredictionLog(tmp_path, CONTRACT, **settings)
        batch = Batch(features[rows], {})
        answers = Answers.of(batch, propensities[rows], card.threshold.value, card.tag, CONTRACT)
        name = b"loans-%d" % rows.start
        log.add(
            AnsweredRequest.of(batch, answers, name, 1_800_000_000.0, 0.001),
            propensities[rows] if challenger else None,
        )
        log.write(challenger)
    starts = [0] * 20 + [20] * 10 + [30] * 10
    known_by_now = write_outcomes(
        tmp_path / "outcomes.csv",
        {
            "request_id": [f"loans-{start}" for start in starts],
            "row": [place - start for place, start in enumerate(starts)],
            "default": [place % 2 == 0 for place in range(40)],
        },
    )
    deployed = read_later_outcomes(card, known_by_now, tmp_path)
    assert sorted(deployed.propensities.tolist()) == propensities.tolist()
    assert (deployed.features is not None) == has_features
    if deployed.features is not None:
        order = np.argsort(deployed.propensities)
        np.testing.assert_array_equal(deployed.features[order], features)


@pytest.mark.parametrize(("suffix", "hashed"), [(".csv", False), (".parquet", True)])
def test_outcomes_that_arrive_later_are_held_against_what_was_answered_then(
    server: str,
    api: Api,
    known: KnownOutcomes,
    tmp_path: Path,
    pickle_path: Path,
    few_resamples: None,
    suffix: str,
    hashed: bool,
) -> None:
    card = api.model_card()
    form = load_notebook_pipeline(ARTIFACTS / "propensity.pkl", card)
    options = {"pseudonyms": ["income"], "key": b"k" * 16} if hashed else {}
    logged(tmp_path, card, known, form, **options)
    # Only some outcomes, in another order, and one of an unknown request.
    ids = [f"loan-{place}" for place in reversed(range(1_000))]
    defaults = known.truth[:1_000][::-1].tolist()
    path = write_outcomes(
        tmp_path / f"outcomes{suffix}", {"request_id": [*ids, "stranger"], "default": [*defaults, True]}
    )
    places = {"outcomes.csv": path, "/var/log/propensity": tmp_path, "artifacts/propensity.pkl": pickle_path}
    arguments = commands.documented(ROOT / "docs/trust.md", "evaluate", places)
    done = run("--url", server, "--token", PREDICT_TOKEN, *arguments, folder=tmp_path / "report")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert f"Model {card.tag}, on 999 applications, " in done.stdout
    assert "of 1,001 outcomes that arrived later" in done.stdout
    assert ("no pickle was given, or not all fields" in done.stdout) == hashed
    figures = json.loads((tmp_path / "report" / "evaluation.json").read_bytes())
    kept = [place for place in range(1_000) if place != 5]
    propensities = form.propensities(known.features[kept])
    expected = metrics(known.truth[kept], propensities, card.threshold.value)
    assert figures["metrics"] == pytest.approx(expected, abs=1e-12)
    assert figures["max_difference"] == (None if hashed else 0)


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        (
            {"request_id": ["loan-1"]},
            "needs the columns request_id and default; it has request_id",
        ),
        ({"request_id": ["a", "a"], "default": [True, False]}, "has two outcomes of one request_id and row"),
        (
            {"request_id": ["a", None], "default": [True, False]},
            "each outcome needs a request_id",
        ),
        ({"request_id": ["a"], "default": ["perhaps"]}, "default is 'perhaps'; it must be true or false"),
        (
            {"request_id": ["a", "b"], "default": [True, False]},
            "0 of its 2 outcomes belong to predictions of",
        ),
    ],
)
def test_outcomes_that_can_not_be_used_are_named(
    server: str, api: Api, known: KnownOutcomes, tmp_path: Path, outcomes: dict[str, Any], said: str
) -> None:
    card = api.model_card()
    few = KnownOutcomes(known.features[:6], known.truth[:6], "")
    logged(tmp_path, card, few, load_notebook_pipeline(ARTIFACTS / "propensity.pkl", card))
    path = write_outcomes(tmp_path / "outcomes.csv", outcomes)
    with pytest.raises(EvaluationError) as error:
        read_later_outcomes(card, path, tmp_path)
    assert str(error.value).startswith(f"{path}: ")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON"),
        ('[{"application": {}}]', 'must be an object such as {"application": {...}, "default": true}'),
        ('[{"application": {}, "default": 1}]', "default must be true or false"),
        ('[{"application": {}, "default": true}]', "row 0: "),
        ("[]", 'must be a list of objects such as {"application": {...}, "default": true}'),
    ],
)
def test_a_file_without_outcomes_is_named(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "known.json").write_text(content)
    with pytest.raises(EvaluationError, match=r"known\.json: ") as error:
        KnownOutcomes.read(tmp_path / "known.json", read_manifest(ARTIFACTS / "propensity.json"))
    assert said in str(error.value)


def test_one_line_says_why_an_evaluation_can_not_be_made(server: str, tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    other = tmp_path / "other.pkl"
    other.write_bytes(b"other")
    known = ("--known", str(HOLDOUT))
    for arguments, said in {
        ("--url", nobody, "--token", "x", *known): f"{nobody} does not answer",
        ("--url", server, "--token", "x", *known): "answers 401: this token is not valid",
        ("--url", server, *known): "no token; give one with --token",
        ("--url", "service", "--token", "x", *known): "'service' is not the URL of a service",
        ("--url", server, "--token", PREDICT_TOKEN, "--known", "none.json"): "none.json: No such file",
        ("--url", server, "--token", PREDICT_TOKEN, "--pickle", str(other), *known): "other.pkl: ",
    }.items():
        done = run(*arguments, folder=tmp_path / "report")
        assert done.returncode == 1
        assert done.stderr.startswith("propensity evaluate: ")
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "report").exists()


def test_what_to_evaluate_must_be_said(tmp_path: Path) -> None:
    done = run("--token", "x", folder=tmp_path)
    assert done.returncode == 2
    assert "Give either --known or --outcomes." in done.stderr
