"""The follow-up of predictions: the log and the challenger, neither of which a response ever waits for."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import bentoml
import duckdb
import httpx2
import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import AUTHORIZED, METRICS_AUTHORIZED, ROOT, other_model
from demonstration import COLUMNS, CONTRACT, EXAMPLE, batch_of
from servers import BENTOML, Callers, eventually, serving
from starlette.testclient import TestClient

from deploy import image
from deploy.image import models_of
from propensity.contract.contract import Contract
from propensity.contract.features import Features, Propensities
from propensity.contract.prediction import Explanation
from propensity.formats.batch import Answers
from propensity.model.predictor import Predictor
from propensity.monitoring import follow_up, prediction_log
from propensity.monitoring.answered_request import AnsweredRequest
from propensity.monitoring.challenger import Challenger
from propensity.monitoring.follow_up import FollowUp
from propensity.monitoring.prediction_log import PredictionLog
from propensity.settings import SettingError


def answered(
    applications: list[dict[str, Any]],
    propensities: list[float],
    request_id: bytes = b"r1",
    model: str = "m:1",
) -> AnsweredRequest:
    """A request for these applications, all valid, that was answered with these propensities."""
    batch = batch_of(*applications)
    outcomes = Answers.of(batch, np.array(propensities), 0.26, model, CONTRACT)
    return AnsweredRequest.of(batch, outcomes, request_id, 1_800_000_000.25, 0.0015)


def logged(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.rglob("*.parquet"))
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def test_a_prediction_is_logged_with_all_that_it_rests_on(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, CONTRACT)
    log.add(answered([EXAMPLE, EXAMPLE | {"income": None, "job": None}], [0.1, 0.9]), None)
    log.add(answered([EXAMPLE], [np.nan], b"r2"), None)
    log.write(None)
    first, second, failed = logged(tmp_path)
    assert {name: first[name] for name in EXAMPLE} == EXAMPLE
    challenger = ["challenger", "challenger_propensity", "challenger_decision"]
    predicted = ["propensity", "decision", "ms"]
    assert [*first] == ["request_id", "row", "predicted_at", "model", *COLUMNS, *predicted, *challenger]
    assert {first[name] for name in challenger} == {None}
    assert (first["request_id"], first["row"], first["model"]) == ("r1", 0, "m:1")
    assert first["predicted_at"] == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=1_800_000_000.25)
    assert (first["propensity"], first["decision"], first["ms"]) == (0.1, "approve", 1.5)
    assert (second["row"], second["income"], second["job"]) == (1, None, None)
    assert (second["propensity"], second["decision"]) == (0.9, "decline")
    assert (failed["request_id"], failed["propensity"], failed["decision"]) == ("r2", None, None)


def test_the_place_of_a_row_is_that_in_its_request(tmp_path: Path) -> None:
    batch = batch_of({}, EXAMPLE, {}, EXAMPLE)
    outcomes = Answers.of(batch, np.array([0.1, 0.2]), 0.26, "m:1", CONTRACT)
    log = PredictionLog(tmp_path, CONTRACT)
    log.add(AnsweredRequest.of(batch, outcomes, b"r", 0.0, 0.0), None)
    log.write(None)
    assert [(row["row"], row["propensity"]) for row in logged(tmp_path)] == [(1, 0.1), (3, 0.2)]


def test_fields_are_left_out_or_kept_as_keyed_hashes(tmp_path: Path) -> None:
    for name, key in (("a", b"k" * 16), ("b", b"K" * 16)):
        (tmp_path / name).mkdir()
        log = PredictionLog(
            tmp_path / name,
            CONTRACT,
            omitted=["age"],
            pseudonyms=["request_id", "income", "marital"],
            key=key,
        )
        log.add(
            answered([EXAMPLE, EXAMPLE | {"income": None}, EXAMPLE | {"marital": "single"}], [0.1] * 3), None
        )
        log.write(None)
    (first, without, single), others = logged(tmp_path / "a"), logged(tmp_path / "b")
    assert "age" not in first
    assert {name: first[name] for name in EXAMPLE if name not in {"age", "income", "marital"}} == {
        name: value for name, value in EXAMPLE.items() if name not in {"age", "income", "marital"}
    }
    for name in ("request_id", "income", "marital"):
        assert re.fullmatch("[0-9a-f]{32}", first[name])
        assert first[name] != others[0][name]  # another key, another hash
    assert first["income"] == single["income"]
    assert without["income"] is None
    assert first["marital"] == without["marital"] != single["marital"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"PROPENSITY_LOG_FOLDER": "/nowhere"}, "'/nowhere', which is not a folder that can be written to"),
        ({"PROPENSITY_LOG_OMIT": "wage"}, "PROPENSITY_LOG_OMIT names 'wage'; it may name seniority, home,"),
        ({"PROPENSITY_LOG_PSEUDONYMS": "income"}, "set PROPENSITY_LOG_KEY too"),
        ({"PROPENSITY_LOG_PSEUDONYMS": "income", "PROPENSITY_LOG_KEY": "none"}, "No such file"),
        ({"PROPENSITY_LOG_PSEUDONYMS": "income", "PROPENSITY_LOG_KEY": os.devnull}, "less than 16 bytes"),
    ],
)
def test_a_setting_of_the_log_that_can_not_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], said: str
) -> None:
    for name, value in ({"PROPENSITY_LOG_FOLDER": str(tmp_path)} | settings).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingError) as error:
        PredictionLog.from_environment(CONTRACT)
    assert said in str(error.value)


def test_a_field_whose_name_has_a_comma_can_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = [CONTRACT.fields[0].model_copy(update={"name": "age, in years"}), *CONTRACT.fields[1:]]
    first = CONTRACT.fields[0].name
    example = {("age, in years" if name == first else name): value for name, value in EXAMPLE.items()}
    contract = Contract.model_validate(CONTRACT.model_dump() | {"fields": named, "example": example})
    monkeypatch.setenv("PROPENSITY_LOG_FOLDER", str(tmp_path))
    monkeypatch.setenv("PROPENSITY_LOG_OMIT", '"age, in years", job')
    log = PredictionLog.from_environment(contract)
    assert log is not None
    log.add(answered([EXAMPLE], [0.1]), None)
    log.write(None)
    (row,) = logged(tmp_path)
    assert not {"age, in years", "job"} & row.keys()
    assert "marital" in row


class Stuck:
    """A model that does not return until it is released."""

    instant_rows = 1_024

    def __init__(self) -> None:
        self.released = threading.Event()

    def propensities(self, features: Features) -> Propensities:
        self.released.wait()
        return np.full(len(features), 0.3)


def dropped(client: TestClient) -> float:
    text = client.get("/metrics", headers=METRICS_AUTHORIZED).text
    return sum(map(float, re.findall(r"^propensity_not_followed_rows_total (\S+)$", text, re.MULTILINE)))


def test_a_challenger_that_does_not_come_back_delays_nothing_and_drops_are_counted(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_up, "MAX_FOLLOWED_ROWS", 100)
    before = dropped(client)
    stuck = Stuck()
    following = FollowUp(
        PredictionLog(tmp_path, CONTRACT), Challenger(Predictor(stuck, CONTRACT, 0.5, "propensity:stuck"))
    )
    try:
        for number in range(300):
            following.record(answered([EXAMPLE], [0.3], b"r%d" % number))
        assert dropped(client) - before == 200
    finally:
        stuck.released.set()
        following.stop()
    rows = logged(tmp_path)
    assert [row["request_id"] for row in rows] == [f"r{number}" for number in range(100)]
    assert {(row["challenger"], row["challenger_propensity"]) for row in rows} == {("propensity:stuck", 0.3)}


@pytest.mark.parametrize("valid", [0, 1], ids=["nothing valid", "one valid row"])
def test_what_is_kept_of_a_request_does_not_grow_with_its_problems(tmp_path: Path, valid: int) -> None:
    explained = Explanation(base=0.0, contributions=dict.fromkeys(COLUMNS, 0.1), reasons=[])
    stuck = Stuck()
    following = FollowUp(
        PredictionLog(tmp_path, CONTRACT), Challenger(Predictor(stuck, CONTRACT, 0.5, "propensity:stuck"))
    )
    tracemalloc.start()
    try:
        for number in range(20):
            batch = batch_of(*[{}] * 200, *[EXAMPLE] * valid)
            explanations = [explained] * valid
            outcomes = Answers.of(batch, np.full(valid, 0.3), 0.26, "m:1", CONTRACT, explained=explanations)
            following.record(AnsweredRequest.of(batch, outcomes, b"r%d" % number, 0.0, 0.0))
        del batch, outcomes
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        stuck.released.set()
        following.stop()
    assert len(logged(tmp_path)) == 20 * valid
    # The problems of each request take two megabytes.
    assert kept < 20 * 10_000


def test_a_log_that_can_not_be_written_is_kept_and_tried_again(
    tmp_path: Path, client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(prediction_log, "SECONDS", 0)
    (tmp_path / "predictions").touch()  # where its folder should be
    following = FollowUp(PredictionLog(tmp_path / "predictions", CONTRACT), None)
    following.record(answered([EXAMPLE], [0.3]))
    while not caplog.records:
        time.sleep(0.05)
    time.sleep(5 * follow_up.PAUSE_SECONDS)
    (tmp_path / "predictions").unlink()
    (tmp_path / "predictions").mkdir()
    following.stop()
    (record,) = caplog.records
    assert record.message.startswith("prediction log: [Errno 20] Not a directory")
    assert record.message.endswith("; kept, and tried again")
    assert [row["propensity"] for row in logged(tmp_path / "predictions")] == [0.3]


def test_a_worker_that_is_killed_loses_what_it_had_not_written_and_nothing_else(
    bento: Path, tmp_path: Path
) -> None:
    (tmp_path / "predictions").mkdir()
    settings = {"PROPENSITY_LOG_FOLDER": str(tmp_path / "predictions"), "PROPENSITY_LOG_SECONDS": "1"}
    with serving(bento, tmp_path, settings) as served:
        (worker,) = served.workers()

        async def main() -> Callers:
            async with Callers(served.url, 8, EXAMPLE, AUTHORIZED) as callers:
                while len(list((tmp_path / "predictions").rglob("*.parquet"))) < 3:
                    await asyncio.sleep(0.02)
                os.kill(worker, signal.SIGKILL)
            return callers

        asyncio.run(main())
        written = max(file.stat().st_mtime for file in (tmp_path / "predictions").rglob("*.parquet"))
        unfinished = [*(tmp_path / "predictions").rglob("*.part")]
        rows = {row["request_id"] for row in logged(tmp_path / "predictions")}
    lines = served.requests()
    # What was answered a moment before the last file was written is in one of the files.
    before = datetime.fromtimestamp(written - 5 * follow_up.PAUSE_SECONDS, UTC)
    answered_before = {
        line["request_id"]
        for line in lines
        if datetime.fromisoformat(line["time"]) < before and line["status"] == 200
    }
    assert unfinished == []
    assert len(answered_before) > 100
    assert answered_before <= rows


def test_the_query_of_the_docs_runs_on_what_is_logged_until_the_end(bento: Path, tmp_path: Path) -> None:
    (tmp_path / "predictions").mkdir()
    challenger = str(other_model())
    settings = {"PROPENSITY_LOG_FOLDER": str(tmp_path / "predictions"), "PROPENSITY_CHALLENGER": challenger}
    try:
        with serving(bento, tmp_path, settings) as served:
            headers = AUTHORIZED | {"X-Request-ID": "loan-7"}
            body = {"applications": [EXAMPLE, {}, EXAMPLE | {"records": "yes"}]}
            answer = httpx2.post(f"{served.url}/v1/predict_batch", json=body, headers=headers).json()
            rows_of_both = r"propensity_challenger_rows_total\{[^}]*\}"
            eventually(lambda: served.metric(rows_of_both, METRICS_AUTHORIZED), lambda rows: rows >= 2)
            metrics = httpx2.get(f"{served.url}/metrics", headers=METRICS_AUTHORIZED).text
    finally:
        bentoml.models.delete(challenger)
    # The challenger differs in its threshold alone: the same propensities, but it approves what was declined.
    approved, _, declined = answer["predictions"]
    counted = dict(
        re.findall(r'^propensity_challenger_rows_total{.*outcome="([a-z-]+)"} (\S+)$', metrics, re.MULTILINE)
    )
    assert {outcome: float(rows) for outcome, rows in counted.items() if float(rows)} == {
        "both-negative": 1, "challenger-negative": 1,
    }  # fmt: skip
    (index,) = re.findall(r"^propensity_challenger_psi{.*} (\S+)$", metrics, re.MULTILINE)
    assert float(index) == 0
    rows = logged(tmp_path / "predictions")
    assert [(row["request_id"], row["row"]) for row in rows] == [("loan-7", 0), ("loan-7", 2)]
    assert [row["propensity"] for row in rows] == [approved["propensity"], declined["propensity"]]
    assert [row["challenger_propensity"] for row in rows] == [row["propensity"] for row in rows]
    assert [row["challenger_decision"] for row in rows] == ["approve", "approve"]
    assert {row["challenger"] for row in rows} == {challenger}
    page = (ROOT / "docs/trust.md").read_text()
    (query,) = re.findall(r'^duckdb -c "(.*?)"$', page, re.MULTILINE | re.DOTALL)
    found = duckdb.sql(query.replace("/var/log/propensity", str(tmp_path / "predictions")))
    assert found is not None
    assert found.fetchall() == [(datetime.now(UTC).date(), answer["predictions"][0]["model"], 2, 0.5, 1)]


@pytest.fixture(scope="module")
def challenged_bento(tag: str) -> Iterator[bentoml.Bento]:
    """A Bento that was built with a challenger."""
    challenger = str(other_model())
    built = subprocess.run(
        [BENTOML, "build", "--output", "tag", str(ROOT)], capture_output=True, text=True, check=True,
        env=os.environ | {"PROPENSITY_MODEL": tag, "PROPENSITY_CHALLENGER": challenger},
    )  # fmt: skip
    name = built.stdout.strip().splitlines()[-1].removeprefix("__tag__:")
    yield bentoml.get(name)
    bentoml.models.delete(challenger)
    bentoml.bentos.delete(name)


def test_a_bento_holds_its_challenger_and_promotion_is_a_change_of_tags(
    tag: str, challenged_bento: bentoml.Bento, tmp_path: Path
) -> None:
    challenger, _ = (str(model.tag) for model in models_of(challenged_bento))
    for number, settings in enumerate(
        (
            {"PROPENSITY_CHALLENGER": challenger},
            {"PROPENSITY_MODEL": challenger, "PROPENSITY_CHALLENGER": tag},
        )
    ):
        (tmp_path / str(number)).mkdir()
        with serving(Path(challenged_bento.path), tmp_path / str(number), settings) as served:
            card = httpx2.get(f"{served.url}/v1/model", headers=AUTHORIZED).json()
            httpx2.post(f"{served.url}/v1/predict", json=EXAMPLE, headers=AUTHORIZED)
            other = settings["PROPENSITY_CHALLENGER"]
            pattern = rf'propensity_challenger_rows_total\{{challenger="{other}",outcome="both-negative"\}}'
            counted = partial(served.metric, pattern, METRICS_AUTHORIZED)
            assert eventually(counted, lambda rows: rows >= 1) == 1
        assert (card["tag"], card["threshold"]["value"]) == ((tag, 0.26), (challenger, 0.9))[number]


def test_an_image_holds_the_challenger_and_is_labelled_with_what_it_serves(
    tag: str, challenged_bento: bentoml.Bento
) -> None:
    models = models_of(challenged_bento)
    assert str(models[-1].tag) == tag != str(models[0].tag)
    assert image.labels(challenged_bento)["propensity.model"] == tag
    with image.context(challenged_bento) as folder:
        found = {path.name for path in (folder / "models" / "propensity").iterdir() if path.is_dir()}
    assert found == {model.tag.version for model in models}
