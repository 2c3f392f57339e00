"""Models of other teams, imported and served as they come: what the product promises of any model."""

from __future__ import annotations

import csv
import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bentoml
import commands
import duckdb
import httpx2
import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bodies import ARROW, JSON, NDJSON, body
from browser import chromium, visiting
from conftest import AUTHORIZED, METRICS_AUTHORIZED, PREDICT_TOKEN, ROOT, few_generated_rows
from contracts import EXAMPLES, THRESHOLD, Example, Rows, rows_of
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from playwright.sync_api import Page, expect
from prometheus_client.parser import text_string_to_metric_families
from servers import Value, eventually, serving

from import_model import import_model
from propensity.__main__ import main
from propensity.contract.contract import Contract
from propensity.formats.inference import request_of
from propensity.importing import ladder
from propensity.model import store

CREDIT = re.compile(
    r"\b(applications?(?!/)|applicants?|(?<!by )defaults?(?!\":)|credits?|approv\w*|declin\w*|loans?)\b", re.I
)
"""Words of the demonstration model, but for media types, keys of schemas, and what is so by default."""

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Served:
    """A model of another team that is served by a process of its own."""

    example: Example
    path: Path
    tag: str
    contract: Contract
    client: httpx2.Client
    log: Path

    @property
    def rows(self) -> Rows:
        """The hold-out set, as callers send it."""
        return self.example.rows

    def predict(self, row: object, query: str = "") -> httpx2.Response:
        """The answer to one row."""
        return self.client.post(f"/v1/predict{query}", json=row)

    def predict_batch(
        self, rows: Rows, media_type: str = JSON, query: str = "", request_id: str = "x"
    ) -> httpx2.Response:
        """The answer to a batch, in the format that it is sent in."""
        headers = {"Content-Type": media_type, "X-Request-ID": request_id}
        content = body(rows, media_type, self.contract.rows)
        return self.client.post(f"/v1/predict_batch{query}", content=content, headers=headers)

    def series(self, metric: str) -> dict[Labels, float]:
        """The value of each exposed series of a metric, by its labels."""
        text = self.client.get("/metrics", headers=METRICS_AUTHORIZED).text
        lines = "".join(line for line in text.splitlines(keepends=True) if line.startswith(f"{metric}{{"))
        families = text_string_to_metric_families(lines)
        return {
            frozenset(sample.labels.items()): sample.value for each in families for sample in each.samples
        }


@pytest.fixture(scope="module", params=EXAMPLES)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp(request.param)
    example = EXAMPLES[request.param]()
    path = example.handed_over(folder)
    with few_generated_rows(), pytest.MonkeyPatch.context() as patched:
        if example.name == "wide":
            # To look for a faster form of 120 fields takes half a minute.
            patched.setattr(ladder, "_RUNGS", {})
        tag = import_model(path)
    (folder / "log").mkdir()
    settings = {
        "PROPENSITY_MODEL": tag, "PROPENSITY_LOG_FOLDER": str(folder / "log"), "PROPENSITY_LOG_SECONDS": "1",
    }  # fmt: skip
    (folder / "server").mkdir()
    with (
        serving(ROOT, folder / "server", settings) as server,
        httpx2.Client(base_url=server.url, headers=AUTHORIZED, timeout=120) as client,
    ):
        contract = Contract.model_validate(client.get("/v1/model").json()["contract"])
        yield Served(example, path, tag, contract, client, folder / "log")
    bentoml.models.delete(tag)


def decision(served: Served, propensity: float) -> str:
    return served.contract.decision_names[int(propensity >= THRESHOLD)]


def answers_of(answer: httpx2.Response, media_type: str) -> Rows:
    assert answer.status_code == 200, answer.text
    if media_type == ARROW:
        rows: Rows = pa.ipc.open_stream(answer.content).read_all().to_pylist()
    elif media_type == NDJSON:
        rows = [json.loads(line) for line in answer.text.splitlines()]
    else:
        rows = answer.json()["predictions"]
    return rows


def test_the_card_says_what_is_served_and_in_which_form(served: Served) -> None:
    card = served.client.get("/v1/model").json()
    assert (card["tag"], card["served"]["form"]) == (served.tag, served.example.form)
    stated = served.example.stated
    assert card["contract"]["meaning"] == stated["meaning"]
    assert (served.contract.row, served.contract.rows) == (
        stated.get("row", "row"),
        stated.get("rows", "rows"),
    )
    assert [field.name for field in served.contract.fields] == [*served.example.frame]


def test_a_single_row_gets_the_propensity_of_the_pipeline(served: Served) -> None:
    wanted = served.example.propensities
    for place in range(5):
        answer = served.predict(served.rows[place]).json()
        assert answer["propensity"] == pytest.approx(wanted[place], abs=1e-9, rel=0)
        assert answer["decision"] == decision(served, wanted[place])
        assert (answer["threshold"], answer["model"]) == (THRESHOLD, served.tag)


@pytest.mark.parametrize("media_type", [JSON, NDJSON, ARROW])
def test_a_batch_gets_the_propensities_of_the_pipeline(served: Served, media_type: str) -> None:
    wanted = served.example.propensities
    found = answers_of(served.predict_batch(served.rows, media_type), media_type)
    assert [row["propensity"] for row in found] == pytest.approx(wanted, abs=1e-9, rel=0)
    assert [row["decision"] for row in found] == [decision(served, propensity) for propensity in wanted]


def test_tensors_get_the_propensities_of_the_pipeline(served: Served) -> None:
    """By the Open Inference Protocol."""
    model = f"/v2/models/{served.tag.partition(':')[0]}"
    sent = request_of(served.rows, served.contract)
    answer = served.client.post(f"{model}/infer", json=msgspec.to_builtins(sent))
    propensity, decisions = answer.json()["outputs"]
    wanted = served.example.propensities
    assert propensity["data"] == pytest.approx(wanted, abs=1e-9, rel=0)
    assert decisions["data"] == [decision(served, propensity) for propensity in wanted]
    metadata = served.client.get(model).json()
    assert [(each["name"], each["datatype"]) for each in metadata["inputs"]] == [
        (each.name, each.datatype) for each in sent.inputs
    ]
    explains = "contributions" in {each["name"] for each in metadata["outputs"]}
    asked = msgspec.to_builtins(sent) | {"outputs": [{"name": "contributions"}]}
    status = served.client.post(f"{model}/infer", json=asked).status_code
    assert (explains, status) in {(True, 200), (False, 501)}


def spoilt(served: Served) -> dict[str, Any]:
    """A row in which several fields are wrong."""
    return served.rows[0] | {name: value for name, (value, _) in served.example.invalid.items()}


def escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def test_a_row_that_is_not_valid_is_refused_in_the_words_of_its_contract(served: Served) -> None:
    answer = served.predict(spoilt(served))
    assert answer.status_code == 422
    problem = answer.json()
    names = [field.name for field in served.contract.fields if field.name in served.example.invalid]
    assert problem["detail"] == f"the body is not valid: {', '.join(names)}; see errors"
    assert {error["field"]: error["pointer"] for error in problem["errors"]} == {
        name: f"/{escaped(name)}" for name in names
    }
    said = {error["field"]: error["detail"] for error in problem["errors"]}
    for name, (_, detail) in served.example.invalid.items():
        assert said[name].startswith(detail), name


@pytest.mark.parametrize("media_type", [JSON, NDJSON])
def test_in_a_batch_the_problem_takes_the_place_of_the_row(served: Served, media_type: str) -> None:
    rows = [served.rows[0], spoilt(served), served.rows[1], served.rows[2] | {"wage": 1}]
    first, problem, second, unknown = answers_of(served.predict_batch(rows, media_type), media_type)
    assert problem["detail"].startswith(f"{served.contract.row} 1 is not valid: ")
    pointers = {error["pointer"] for error in problem["errors"]}
    assert pointers == {f"/{served.contract.rows}/1/{escaped(name)}" for name in served.example.invalid}
    assert [error["field"] for error in unknown["errors"]] == ["wage"]
    assert [row["propensity"] for row in (first, second)] == pytest.approx(
        served.example.propensities[:2], abs=1e-9
    )


def test_a_column_of_another_kind_is_refused_by_name(served: Served) -> None:
    for field in served.contract.fields[-10:]:
        wrong = "text" if field.categories is None else 1.5
        problem = served.predict_batch([row | {field.name: wrong} for row in served.rows[:2]], ARROW)
        assert problem.status_code == 422
        assert [error["field"] for error in problem.json()["errors"]] == [field.name]


@pytest.mark.parametrize("media_type", [JSON, pytest.param(NDJSON, marks=pytest.mark.thorough), ARROW])
def test_the_largest_batch_is_accepted_with_a_row_that_is_not_valid(served: Served, media_type: str) -> None:
    name, (value, _) = next(iter(served.example.invalid.items()))
    rows = (served.rows * 50)[:10_000]
    if media_type == ARROW:
        # A column has one type.
        field = served.contract.by_name[name]
        value = "no such category" if field.categories is not None else -1e300
    rows[7_777] = rows[7_777] | {name: value}
    found = answers_of(served.predict_batch(rows, media_type), media_type)
    valid = [place for place in range(10_000) if place != 7_777]
    wanted = np.tile(served.example.propensities, 50)
    assert [found[place]["propensity"] for place in valid] == pytest.approx(wanted[valid], abs=1e-9, rel=0)
    problem = json.loads(found[7_777]["problem"]) if media_type == ARROW else found[7_777]
    assert [error["field"] for error in problem["errors"]] == [name]


@pytest.mark.parametrize("served", ["wide"], indirect=True)
def test_limits_follow_from_the_fields(served: Served) -> None:
    """The batch of the test above is larger than any of a model with a dozen fields may be."""
    assert len(body(served.rows * 50, JSON, served.contract.rows)) > 2 * 8 * 1024**2
    assert served.contract.limits.body_bytes > 2 * 8 * 1024**2


def test_one_row_more_is_refused_in_the_words_of_the_contract(served: Served) -> None:
    answer = served.predict_batch((served.rows * 51)[:10_001])
    assert answer.status_code == 422
    said = [error["detail"] for error in answer.json()["errors"]]
    assert said == [f"must hold at most 10,000 {served.contract.rows}; split the batch"]


@pytest.mark.parametrize("served", ["floats", "ugly"], indirect=True)
def test_a_form_that_adds_up_explains_itself(served: Served) -> None:
    explanation = served.predict(served.rows[0], "?explain=true").json()["explanation"]
    assert explanation["contributions"].keys() == served.contract.by_name.keys()
    total = explanation["base"] + sum(explanation["contributions"].values())
    assert 1 / (1 + math.exp(-total)) == pytest.approx(served.example.propensities[0], abs=1e-9)
    for reason in explanation["reasons"]:
        assert reason["contribution"] == explanation["contributions"][reason["field"]] > 0
        assert [*reason] == ["field", "contribution", *served.contract.languages]


@pytest.mark.parametrize("served", ["wide", "nullable"], indirect=True)
def test_a_pipeline_says_that_it_has_no_explanations(served: Served) -> None:
    answer = served.predict(served.rows[0], "?explain=true")
    assert answer.status_code == 501
    assert answer.json()["detail"] == f"{served.tag} has no explanations; ask without explain"


def said(served: Served) -> dict[tuple[str, str], dict[str, str]]:
    """The words of all reasons by language, by field and value."""
    answers = answers_of(served.predict_batch(served.rows, query="?explain=true"), JSON)
    return {
        (reason["field"], json.dumps(row[reason["field"]])): {
            language: reason[language] for language in served.contract.languages
        }
        for row, answer in zip(served.rows, answers, strict=True)
        for reason in answer["explanation"]["reasons"]
    }


@pytest.mark.parametrize("served", ["floats"], indirect=True)
def test_reasons_without_any_words_name_the_fields_in_english_and_spanish(served: Served) -> None:
    words = said(served)
    assert served.contract.languages == ("en", "es")
    assert {field for field, _ in words} == served.contract.by_name.keys()
    for (field, _), texts in words.items():
        assert all(text.startswith(f"{field}: ") for text in texts.values())


@pytest.mark.parametrize("served", ["ugly"], indirect=True)
def test_reasons_have_the_words_of_each_language_and_fall_back_to_names(served: Served) -> None:
    words = said(served)
    assert words["schema", '"a:b"'] == {
        "en": "Plan: from A to B", "es": "Plan: de A a B", "fr": "Forfait: de A à B",
    }  # fmt: skip
    assert words["problem", "true"] == {
        "en": "Has a problem: yes", "es": "Tiene un problema: sí", "fr": "A un problème: true",
    }  # fmt: skip
    assert words["missing", '"no"'] == dict.fromkeys(("en", "es", "fr"), "missing: no")


def test_the_openapi_document_is_valid_and_speaks_of_these_rows(served: Served) -> None:
    document = served.client.get("/docs.json").json()
    OpenAPIV31SpecValidator(document).validate()
    assert document["info"]["title"] == served.contract.title
    predict = document["paths"]["/v1/predict"]["post"]
    batch = document["paths"]["/v1/predict_batch"]["post"]
    assert predict["summary"] == f"Predict one {served.contract.row}"
    assert batch["summary"] == f"Predict a batch of {served.contract.rows}"
    content = predict["requestBody"]["content"][JSON]
    name = content["schema"]["$ref"].rpartition("/")[2]
    schema = document["components"]["schemas"][name]
    assert [*schema["properties"]] == [field.name for field in served.contract.fields]
    validator = Draft202012Validator({"$ref": f"#/components/schemas/{name}", **document})
    for row in (content["example"], *served.rows[:20]):
        validator.validate(row)
    assert not validator.is_valid(spoilt(served))
    decisions = document["components"]["schemas"]["Prediction"]["properties"]["decision"]["enum"]
    assert tuple(decisions) == served.contract.decision_names
    assert served.predict(content["example"]).status_code == 200
    batched = batch["requestBody"]["content"][JSON]["example"]
    assert [*batched] == [served.contract.rows]


def test_the_schema_for_bentomls_client_names_the_fields(served: Served) -> None:
    single, batch = served.client.get("/schema.json").json()["routes"]
    assert [*single["input"]["properties"]] == [field.name for field in served.contract.fields]
    assert [*batch["input"]["properties"]] == [served.contract.rows]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # BentoML's client, in its own code
def test_bentomls_own_client_predicts(served: Served) -> None:
    with bentoml.SyncHTTPClient(str(served.client.base_url), token=PREDICT_TOKEN) as client:
        single = client.predict(**served.rows[0])
        batch = client.predict_batch(**{served.contract.rows: [served.rows[0], spoilt(served)]})
    assert single == served.predict(served.rows[0]).json()
    assert batch["predictions"][0] == single
    assert batch["predictions"][1]["status"] == 422


def settled(read: Callable[[], Value]) -> Value:
    """What is read once it no longer changes: requests are counted a moment after their answers."""
    value = read()
    while True:
        time.sleep(0.5)
        value, before = read(), value
        if value == before:
            return value


def labels_of(series: Mapping[Labels, float], name: str, **others: str) -> set[str]:
    """The values of a label, in the series that have some others."""
    return {dict(labels)[name] for labels in series if others.items() <= labels}


def test_metrics_count_rows_fields_and_drift_under_their_own_names(served: Served) -> None:
    def counted() -> dict[Labels, float]:
        return served.series("propensity_rows_total") | served.series("propensity_invalid_fields_total")

    before = settled(counted)
    served.predict_batch([*served.rows, spoilt(served)])
    after = settled(counted)
    risen = {labels: after[labels] - before[labels] for labels in after if after[labels] != before[labels]}
    positive = int((served.example.propensities >= THRESHOLD).sum())
    outcomes = {"negative": len(served.rows) - positive, "positive": positive, "invalid-row": 1}
    assert risen == {
        frozenset({"model": served.tag, "outcome": outcome}.items()): count
        for outcome, count in outcomes.items()
    } | {frozenset({"field": name}.items()): 1 for name in served.example.invalid}
    of_propensity = "propensity_" if "propensity" in served.contract.by_name else "propensity"
    assert labels_of(served.series("propensity_psi"), "field") == {*served.contract.by_name, of_propensity}
    missing = labels_of(served.series("propensity_missing_ratio"), "field")
    assert missing == {field.name for field in served.contract.fields if field.nullable}
    drift = served.series("propensity_field_rows_total")
    for field in served.contract.fields:
        bins = labels_of(drift, "bin", field=field.name, model=served.tag)
        if field.categories is not None:
            without = "missing_" if "missing" in field.categories else "missing"
            assert bins == {*field.categories} | ({without} if field.nullable else set())
        elif field.kind == "boolean":
            assert bins == {"false", "true"}


OWN = {"request_id", "row", "predicted_at", "model", "propensity", "decision", "ms", "date"}
"""Columns of the prediction log that a field of the same name must not replace."""


def logged(folder: Path, request_id: str) -> Rows:
    files = [pq.ParquetFile(file).read() for file in sorted(folder.rglob("*.parquet"))]
    rows = [row for table in files for row in table.to_pylist()]
    return sorted((row for row in rows if row["request_id"] == request_id), key=lambda row: row["row"])


def test_the_prediction_log_keeps_every_value_beside_its_own_columns(served: Served) -> None:
    assert served.predict_batch(served.rows, request_id="to-be-logged").status_code == 200
    rows = eventually(lambda: logged(served.log, "to-be-logged"), lambda found: len(found) > 0)
    assert len(rows) == len(served.rows)
    assert {row["model"] for row in rows} == {served.tag}
    assert [row["propensity"] for row in rows] == pytest.approx(served.example.propensities, abs=1e-9)
    assert {row["decision"] for row in rows} == {*served.contract.decision_names}
    for name in served.contract.by_name:
        column = f"{name}_" if name in OWN else name
        assert [row[column] for row in rows] == [row[name] for row in served.rows], name
    # Most queries of the log are SQL.
    (file, *_) = served.log.rglob("*.parquet")
    found = duckdb.sql(f"select count(distinct model) from '{file}'")
    assert found is not None
    assert found.fetchall() == [(1,)]


@pytest.mark.parametrize("served", ["wide"], indirect=True)
def test_a_category_beyond_the_reach_of_a_byte_survives(served: Served) -> None:
    far = [row for row in served.rows if row["place"] >= "place 260"]
    assert len(far) > 10
    before = settled(lambda: served.series("propensity_field_rows_total"))
    assert served.predict_batch(far, ARROW, request_id="far").status_code == 200
    rows = eventually(lambda: logged(served.log, "far"), lambda found: len(found) > 0)
    assert [row["place"] for row in rows] == [row["place"] for row in far]
    after = settled(lambda: served.series("propensity_field_rows_total"))
    for row in far:
        labels = frozenset({"model": served.tag, "field": "place", "bin": row["place"]}.items())
        assert after[labels] > before[labels]


def write(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows_of(frame)))
    return path


@pytest.mark.parametrize("suffix", ["parquet", "csv", "ndjson"])
def test_a_file_is_scored(served: Served, tmp_path: Path, suffix: str) -> None:
    source = write(served.example.frame.iloc[:50], tmp_path / f"in.{suffix}")
    output = tmp_path / "out.parquet"
    done = commands.run(main, "score", source, output, "--model", served.tag)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"score: 50 rows, 50 predictions in {output}\n"
    found = pq.read_table(output).to_pylist()
    wanted = served.example.propensities[:50]
    assert [row["propensity"] for row in found] == pytest.approx(wanted, abs=1e-9, rel=0)
    assert [row["decision"] for row in found] == [decision(served, propensity) for propensity in wanted]


def test_rows_of_a_file_that_are_not_valid_are_named(served: Served, tmp_path: Path) -> None:
    source = tmp_path / "in.ndjson"
    source.write_text("".join(f"{json.dumps(row)}\n" for row in (served.rows[0], spoilt(served))))
    done = commands.run(main, "score", source, tmp_path / "out.csv", "--model", served.tag)
    assert done.returncode == 3
    (problem,) = map(json.loads, (tmp_path / "out.csv.problems.ndjson").read_text().splitlines())
    assert problem["row"] == 1
    assert {error["field"] for error in problem["errors"]} == served.example.invalid.keys()
    assert not CREDIT.search(json.dumps(problem) + done.stdout + done.stderr)


@contextmanager
def entered(served: Served) -> Iterator[Page]:
    """Somebody who has opened the page, which asks nobody else and complains of nothing."""
    url = str(served.client.base_url).rstrip("/")
    with chromium() as browser, visiting(browser, url, locale="en") as visit:
        visit.page.goto(f"{url}/try")
        visit.page.get_by_label("Token").fill(PREDICT_TOKEN)
        visit.page.get_by_role("button", name="Open").click()
        yield visit.page
        assert not CREDIT.search(visit.page.locator("body").inner_text())
        assert visit.elsewhere == []
        # Of a model without explanations, and since the token has no access to the metrics.
        assert [each for each in visit.complaints if " 501 " not in each and " 403 " not in each] == []


@pytest.mark.thorough
def test_the_page_is_made_of_the_contract(served: Served) -> None:
    contract, additive = served.contract, served.example.form == "additive"
    with entered(served) as page:
        expect(page.get_by_role("heading", level=1)).to_have_text(contract.title)
        expect(page.locator(".fields .field")).to_have_count(len(contract.fields))
        shown = page.locator(".answer data")
        expect(shown).to_be_visible()
        answer = served.predict(contract.example).json()
        assert float(shown.get_attribute("value") or "") == answer["propensity"]
        expect(page.locator(".answer strong")).to_have_text(answer["decision"])
        expect(page.locator("svg.chart:visible")).to_have_count(2 if additive else 1)
        expect(page.get_by_text("there is no explanation")).to_have_count(0 if additive else 1)

        page.get_by_role("tab", name="What if").click()
        chart = page.locator("#panel-what svg.chart")
        status = page.locator("#panel-what [role=status]")
        for place, field in [*enumerate(contract.fields)][-12:]:
            page.get_by_label("Field", exact=True).select_option(str(place))
            expect(page.locator("#panel-what h2")).to_contain_text(field.words.get("en", field.name))
            expect(status).to_contain_text(re.compile("Lowest|throughout"))
            kind = ".bar" if field.kind in {"boolean", "category"} else "path.curve"
            assert chart.locator(kind).count() >= 1
        left = page.get_by_text("240 more values are not shown.")
        expect(left).to_have_count(1 if served.example.name == "wide" else 0)
        page.get_by_label("And a second field").select_option("0")
        expect(status).to_contain_text("of the cells reach the threshold")

        page.get_by_role("tab", name="The model").click()
        fields = page.get_by_role("region", name="Fields").locator("tbody tr")
        expect(fields).to_have_count(len(contract.fields))
        expect(page.locator("#panel-model svg.chart")).to_have_count(2)


@pytest.mark.thorough
def test_a_file_on_the_page_is_predicted_by_the_contract(served: Served, tmp_path: Path) -> None:
    with entered(served) as page:
        page.get_by_role("tab", name="A file").click()
        with (tmp_path / "rows.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, [*served.example.frame])
            writer.writeheader()
            writer.writerows(served.rows)
        page.get_by_label("Drop a file here").set_input_files(tmp_path / "rows.csv")
        status = page.locator("#panel-file [role=status]")
        expect(status).to_have_text("rows.csv: 200 rows, all predicted.")
        with page.expect_download() as caught:
            page.get_by_role("button", name="Download the predictions").click()
        table = [*csv.DictReader(Path(caught.value.path()).read_text().splitlines())]
        found = [float(row["propensity"]) for row in table]
        assert found == pytest.approx(served.example.propensities, abs=1e-9, rel=0)
        assert [row["decision"] for row in table] == [decision(served, each) for each in found]
        (tmp_path / "rows.ndjson").write_text(json.dumps(spoilt(served)))
        page.get_by_label("Drop a file here").set_input_files(tmp_path / "rows.ndjson")
        expect(status).to_contain_text("1 of them with a problem")
        faults = page.get_by_role("region", name="Rows without a prediction").locator("tbody tr")
        expect(faults).to_have_count(len(served.example.invalid))


def test_nothing_that_callers_see_speaks_of_credit(served: Served) -> None:
    row, rows = served.rows[0], served.contract.rows
    seen = {
        path: served.client.get(path).text
        for path in ("/", "/docs.json", "/schema.json", "/problems", "/v1/model")
    }
    seen["/metrics"] = served.client.get("/metrics", headers=METRICS_AUTHORIZED).text
    for media_type in (JSON, NDJSON):
        answer = served.predict_batch([row, spoilt(served), {}], media_type, "?explain=false")
        seen[f"a batch, {media_type}"] = answer.text
    for sent in (row, spoilt(served), {}, [row], {rows: [row]}, "x"):
        seen[f"one, {json.dumps(sent)[:20]}"] = served.predict(sent).text
        seen[f"explained, {json.dumps(sent)[:20]}"] = served.predict(sent, "?explain=true").text
    for content in (b"", b"{", json.dumps({rows: []}).encode(), b'{"a": 1, "a": 1}', b"[" * 300_000):
        for path in ("predict", "predict_batch"):
            for media_type in (JSON, NDJSON, ARROW, "text/csv"):
                headers = {"Content-Type": media_type}
                answer = served.client.post(f"/v1/{path}", content=content, headers=headers)
                seen[f"{path}, {media_type}, {content[:10]!r}"] = answer.text
    for method, path in (("GET", "/v1/predict"), ("GET", "/nothing"), ("POST", "/v1/model")):
        seen[f"{method} {path}"] = served.client.request(method, path).text
    seen["without a token"] = httpx2.post(f"{served.client.base_url}/v1/predict", json=row).text
    found = {name: words for name, text in seen.items() if (words := CREDIT.findall(text))}
    assert found == {}
    assert served.contract.rows in seen["/docs.json"]


def test_the_words_of_credit_are_found_where_they_stand() -> None:
    for text in (
        "the application",
        "2 applicants",
        "in default",
        '"approve"',
        "Declined",
        "a loan",
        "Credit",
    ):
        assert CREDIT.search(text), text
    for text in ('"application/json"', '"default": "false"', "credentials", "by default", "row"):
        assert not CREDIT.search(text), text


def test_importing_a_model_again_finds_it(served: Served) -> None:
    assert import_model(served.path) == served.tag


@pytest.mark.thorough
def test_a_model_of_120_fields_is_compiled(tmp_path: Path) -> None:
    example = EXAMPLES["wide"]()
    with few_generated_rows():
        model = bentoml.models.get(import_model(example.handed_over(tmp_path)))
    manifest = store.manifest_of(model)
    assert manifest.served.form == "grids"
    found = store.load_predictor(model).predict(manifest.contract.encode(example.rows))
    assert found == pytest.approx(example.propensities, abs=1e-9, rel=0)
    bentoml.models.delete(model.tag)
