"""The evaluation of the deployed model, through its API, beside what the notebook promised."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ARTIFACTS, PREDICT_TOKEN, ROOT

from load_tests.compare.server import free_port
from propensity.evaluate import Api, EvaluationError, Known, evaluate, intervals, metrics

HOLDOUT = ROOT / "load_tests/data/applications.json"


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "propensity.evaluate", "--report", str(folder), *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "TOKEN"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def api(server: str) -> Iterator[Api]:
    with Api(server, PREDICT_TOKEN) as api:
        yield api


@pytest.fixture(scope="module")
def known() -> Known:
    return Known.read(HOLDOUT)


def test_the_deployed_model_is_what_the_notebook_promised(
    server: str, tmp_path: Path, manifest: dict[str, Any], tag: str
) -> None:
    pickle = str(ARTIFACTS / "propensity.pkl")
    done = run("--url", server, "--token", PREDICT_TOKEN, "--pickle", pickle, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("evaluate: as promised\n")
    report = (tmp_path / "evaluation.md").read_text()
    assert f"Model {tag}, on 1,114 applications, 314 of them defaults, the notebook's hold-out set." in report
    for name in ("auc", "gini", "ks", "brier", "log_loss", "declined"):
        (row,) = [line for line in report.splitlines() if line.startswith(f"| {name} |")]
        deployed, spread, notebook, difference = (cell.strip() for cell in row.split("|")[2:6])
        assert deployed == notebook == f"{manifest['metrics'][name]:.6f}"
        low, high = map(float, spread.split(" to "))
        assert low < float(deployed) < high
        assert abs(float(difference)) < 1e-9
    assert "615 good approved, 185 good declined, 79 default approved, 235 default declined" in report
    assert (tmp_path / "evaluation.png").read_bytes().startswith(b"\x89PNG")


def test_other_outcomes_than_promised_are_a_fault_and_an_exit_code(server: str, tmp_path: Path) -> None:
    """Each outcome the other way round: the model ranks as badly as it ranked well."""
    rows = json.loads(HOLDOUT.read_bytes())
    for row in rows:
        row["default"] = not row["default"]
    (tmp_path / "other.json").write_text(json.dumps(rows))
    arguments = ["--url", server, "--token", PREDICT_TOKEN, "--known", str(tmp_path / "other.json")]
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("evaluate: NOT as promised:\n  auc is 0.1461 (0.1")
    assert "**Not** as promised" in (tmp_path / "evaluation.md").read_text()


def test_fewer_outcomes_of_the_same_world_are_as_promised(
    server: str, tmp_path: Path, holdout: list[dict[str, Any]]
) -> None:
    (tmp_path / "some.json").write_text(json.dumps(holdout[::2]))
    arguments = ["--url", server, "--token", PREDICT_TOKEN, "--known", str(tmp_path / "some.json")]
    done = run(*arguments, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "not the notebook's hold-out set" in done.stdout
    assert "no pickle was given" in done.stdout


class Changed(Api):
    """The running service, with one thing changed in what it answers."""

    def __init__(self, api: Api, change: str) -> None:
        self.__dict__.update(api.__dict__)
        self._change = change

    def one_by_one(self, applications: Any) -> Iterator[dict[str, Any]]:
        for place, prediction in enumerate(super().one_by_one(applications)):
            if place == 7 and self._change != "batch":
                yield prediction | self._changes()[self._change]
            else:
                yield prediction

    def batch(self, applications: Any) -> list[dict[str, Any]]:
        found = super().batch(applications)
        if self._change == "batch":
            found[3] = found[3] | {"propensity": 0.5}
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
        ("batch", ["1 predictions differ between /v1/predict and the batch, first 3"]),
        ("propensity", ["1 propensities differ from the notebook's pickle", "auc is", "gini is"]),
        ("model", ["application 7 is answered"]),
        ("decision", ["application 7 is answered"]),
    ],
)
def test_one_answer_that_is_not_as_promised_is_found(
    api: Api, known: Known, change: str, said: list[str]
) -> None:
    found = evaluate(Changed(api, change), known, ARTIFACTS / "propensity.pkl").faults
    for start in said:
        assert [fault for fault in found if fault.startswith(start)], (start, found)
    if change != "propensity":
        assert len(found) == len(said)


def test_metrics_are_those_of_the_textbook() -> None:
    outcomes = np.array([False, True, False, True])
    found = metrics(outcomes, np.array([0.1, 0.9, 0.4, 0.3]), 0.35)
    assert found["auc"] == 0.75
    assert found["gini"] == 0.5
    assert found["ks"] == 0.5
    assert found["brier"] == pytest.approx((0.01 + 0.01 + 0.16 + 0.49) / 4)
    assert (found["declined"], found["defaults_declined"], found["good_declined"]) == (0.5, 0.5, 0.5)


def test_intervals_are_narrower_with_more_outcomes() -> None:
    chance = np.random.default_rng(1)
    propensities = chance.random(2_000)
    outcomes = chance.random(2_000) < propensities
    (low, high), (lower, higher) = (
        intervals(outcomes[:size], propensities[:size], 0.5)["auc"] for size in (2_000, 200)
    )
    assert lower < low < metrics(outcomes, propensities, 0.5)["auc"] < high < higher
    assert 0.5 < (higher - lower) / (high - low) / 10**0.5 < 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not a list of"),
        ('[{"application": {}}]', "KeyError('default')"),
        ('[{"application": {}, "default": 1}]', "outcomes must be true and false, and some of each"),
        ('[{"application": {}, "default": true}]', "some of each"),
    ],
)
def test_a_file_without_outcomes_is_named(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "known.json").write_text(content)
    with pytest.raises(EvaluationError, match=r"known\.json: ") as error:
        Known.read(tmp_path / "known.json")
    assert said in str(error.value)


def test_what_keeps_an_evaluation_from_being_made_is_said_in_one_line(server: str, tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    other = tmp_path / "other.pkl"
    other.write_bytes(b"other")
    for arguments, said in {
        ("--url", nobody, "--token", "x"): f"{nobody} does not answer",
        ("--url", server, "--token", "x"): "answers 401: this token is not valid",
        ("--url", server): "no token; give one with --token",
        ("--url", "service", "--token", "x"): "'service' is not the URL of a service",
        ("--url", server, "--token", PREDICT_TOKEN, "--known", "none.json"): "none.json: No such file",
        ("--url", server, "--token", PREDICT_TOKEN, "--pickle", str(other)): "other.pkl: ",
    }.items():
        done = run(*arguments, folder=tmp_path / "report")
        assert done.returncode == 1
        assert done.stderr.startswith("evaluate: ")
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "report").exists()
