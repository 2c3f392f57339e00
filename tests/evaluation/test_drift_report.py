"""The drift report of the prediction log: which fields have moved, printed and as a page."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import commands
import pytest
from conftest import ROOT
from demonstration import CONTRACT
from rows import poorer, unseen

from propensity.__main__ import main
from propensity.formats.batch import Answers, Batch
from propensity.model.pipeline import PipelineForm
from propensity.monitoring.answered_request import AnsweredRequest
from propensity.monitoring.prediction_log import PredictionLog


@pytest.fixture(scope="module")
def form(pipeline: Any, manifest: dict[str, Any]) -> PipelineForm:
    return PipelineForm(pipeline, CONTRACT, "frame", manifest["target"]["positive"])


def log_of(
    folder: Path,
    form: PipelineForm,
    model: str,
    rows: list[dict[str, Any]],
    days_ago: float = 0,
    **options: Any,
) -> None:
    """Log these rows in two files."""
    log = PredictionLog(folder, CONTRACT, **options)
    for part in (rows[::2], rows[1::2]):
        batch = Batch(CONTRACT.encode(part), {})
        answers = Answers.of(batch, form.propensities(batch.features), 0.26, model, CONTRACT)
        at = time.time() - days_ago * 86_400
        log.add(AnsweredRequest.of(batch, answers, b"r", at, 0.001), None)
        log.write(None)


def report(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return commands.run(main, "drift", folder, *options)


def test_the_same_world_has_not_moved(tmp_path: Path, form: PipelineForm, tag: str) -> None:
    log_of(tmp_path, form, tag, unseen())
    # Neither of these counts: one is of another model, the other is too old.
    log_of(tmp_path, form, "propensity:other", [poorer(row) for row in unseen()])
    log_of(tmp_path, form, tag, [poorer(row) for row in unseen()], days_ago=8)
    done = report(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        f"4,454 predictions of {tag} in the last 7 days, beside its hold-out set.\n"
    )
    assert done.stdout.count("the same") == 14


def test_a_field_that_has_moved_is_named_first_and_drawn(
    tmp_path: Path, form: PipelineForm, tag: str
) -> None:
    log_of(tmp_path, form, tag, [poorer(row) for row in unseen()])
    places = {"/var/log/propensity": tmp_path, "drift.html": tmp_path / "drift.html"}
    arguments = commands.documented(ROOT / "docs/trust.md", "drift", places)
    done = commands.run(main, "drift", *arguments)
    assert done.returncode == 1
    assert done.stderr == "propensity drift: moved: income, propensity\n"
    first, second, third = done.stdout.splitlines()[2:5]
    assert (first.split()[0], first.split()[-1]) == ("income", "moved")
    assert (second.split()[0], second.split()[-1]) == ("propensity", "moved")
    assert "moved" not in third
    page = (tmp_path / "drift.html").read_text()
    assert page.count("<section>") == 14
    assert page.index("<h2>income") < page.index("<h2>propensity") < page.index("<h2>age")


def test_fields_that_the_log_omits_or_hashes_are_not_compared(
    tmp_path: Path, form: PipelineForm, tag: str
) -> None:
    log_of(tmp_path, form, tag, unseen(), omitted=["age"], pseudonyms=["income", "job"], key=b"k" * 16)
    done = report(tmp_path)
    assert done.returncode == 0
    assert done.stdout.rstrip().endswith("omits or hashes them: age, income, job")


def test_one_line_says_why_a_report_can_not_be_made(tmp_path: Path, form: PipelineForm, tag: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "torn" / "date=2026-01-01").mkdir(parents=True)
    (tmp_path / "torn" / "date=2026-01-01" / "a.parquet").write_bytes(b"PAR1")
    log_of(tmp_path, form, "propensity:other", unseen()[:10])
    for arguments, said in {
        (str(tmp_path / "empty"),): "no predictions there; PROPENSITY_LOG_FOLDER names",
        (str(tmp_path / "torn"),): "a.parquet: ",
        (str(tmp_path), "--model", "propensity:none"): "propensity:none",
    }.items():
        done = report(Path(arguments[0]), *arguments[1:])
        assert done.returncode == 1
        assert done.stderr.startswith("propensity drift: ")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
    done = report(tmp_path)
    assert f"no predictions of {tag} since" in done.stderr
