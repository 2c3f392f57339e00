"""Real clients: a browser on the served page, and a client generated from the served document."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from browser import Visit, chromium, visiting
from conftest import AUTHORIZED, METRICS_AUTHORIZED, PREDICT_TOKEN
from demonstration import EXAMPLE
from playwright.sync_api import expect
from servers import stripping
from starlette.testclient import TestClient

from propensity.contract.problem import Kind

CLIENT_GENERATOR = str(Path(sys.executable).with_name("openapi-python-client"))


@pytest.fixture(scope="module")
def visit(server: str) -> Iterator[Visit]:
    with chromium() as browser, visiting(browser, server) as visit:
        yield visit


PREFIX = "/ml/propensity"


@pytest.fixture(scope="module")
def prefixed(server: str) -> Iterator[str]:
    """The URL, with its prefix, of a proxy in front of the service that strips the prefix."""
    with stripping(PREFIX, server) as url:
        yield url + PREFIX


@pytest.mark.thorough
def test_the_page_authorizes_and_predicts_without_the_internet(
    server: str, prefixed: str, visit: Visit
) -> None:
    visit.known.add(urlsplit(prefixed).netloc)
    for url in (f"{server}/", prefixed, f"{prefixed}/", f"{prefixed}?utm_source=x#top"):
        visit.page.goto("about:blank")
        assert_the_page_predicts(visit, url)


def assert_the_page_predicts(visit: Visit, url: str) -> None:
    page = visit.page
    page.goto(url)
    page.get_by_role("button", name="Authorize").click()
    page.locator(".auth-container input").fill(PREDICT_TOKEN)
    page.locator(".auth-btn-wrapper button.authorize").click()
    page.locator(".auth-btn-wrapper button.btn-done").click()
    operation = page.locator("#operations-prediction-predict")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    live = operation.locator(".live-responses-table .response")
    expect(live.locator(".response-col_status")).to_contain_text("200")
    answer = json.loads(live.locator(".response-col_description .highlight-code code").first.inner_text())
    assert answer["decision"] in {"approve", "decline"}
    assert 0 < answer["propensity"] < 1
    assert visit.elsewhere == []
    assert visit.complaints == []


def test_a_problem_of_the_page_leads_to_its_explanation(server: str, visit: Visit) -> None:
    page = visit.page
    for kind in Kind:
        page.goto(f"{server}/problems#{kind.anchor}")
        heading = page.locator(":target")
        expect(heading).to_contain_text(kind.title)
        expect(heading).to_be_in_viewport()
    assert visit.elsewhere == []


FAULTS = [
    ("POST", "/v1/predict", {}, AUTHORIZED, "invalid-row"),
    ("POST", "/v1/predict?explian=true", EXAMPLE, AUTHORIZED, "invalid-query"),
    ("POST", "/v1/predict_batch", [], AUTHORIZED, "invalid-row"),
    ("POST", "/v1/predict", {}, METRICS_AUTHORIZED, "forbidden"),
    ("GET", "/v1/model", None, {}, "unauthenticated"),
    ("GET", "/v1/a/b-c/d/", None, AUTHORIZED, "not-found"),
    ("GET", "/v3", None, AUTHORIZED, "not-found"),
    ("GET", "/metrics", None, AUTHORIZED, "forbidden"),
    ("POST", "/docs.json", None, {}, "method-not-allowed"),
]


@pytest.mark.parametrize(("method", "path", "body", "headers", "kind"), FAULTS)
def test_the_type_of_a_problem_leads_to_its_explanation_behind_a_prefix_too(
    server: str, prefixed: str, method: str, path: str, body: object, headers: dict[str, str], kind: str
) -> None:
    for base in (server, prefixed):
        # A forged header changes nothing.
        forged = headers | {"X-Forwarded-Prefix": "//evil.example", "X-Forwarded-Host": "evil.example"}
        answer = httpx2.request(method, base + path, json=body, headers=forged)
        place = str(httpx2.URL(base + path).join(answer.json()["type"]))
        assert place == f"{base}/problems#{kind}"
        assert f'id="{kind}"' in httpx2.get(place).text


def test_the_type_of_a_row_leads_to_its_explanation_behind_a_prefix_too(server: str, prefixed: str) -> None:
    for base in (server, prefixed):
        url = f"{base}/v1/predict_batch"
        for media_type in ("application/json", "application/x-ndjson"):
            accept = AUTHORIZED | {"Accept": media_type}
            answer = httpx2.post(url, json={"applications": [{}]}, headers=accept).json()
            (row,) = answer.get("predictions", [answer])
            assert str(httpx2.URL(url).join(row["type"])) == f"{base}/problems#invalid-row"


def test_a_problem_names_no_place_that_may_not_be_there(prefixed: str) -> None:
    for path, status in (("", 405), ("/", 405), ("//a", 401), ("/a%2Fb", 401), ("/a/%2e%2e/b", 401)):
        problem = httpx2.post(prefixed + path).json()
        assert (problem["type"], problem["status"]) == ("about:blank", status)


CALL = """
import json, sys
from propensity_client import AuthenticatedClient, Client
from propensity_client.api.operations import readyz
from propensity_client.api.prediction import model, predict, predict_batch
from propensity_client.models import Application, Applications, Prediction, Problem

url, token, example = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
client = AuthenticatedClient(base_url=url, token=token)
one = predict.sync(client=client, body=Application.from_dict(example))
assert isinstance(one, Prediction), one
batch = predict_batch.sync(client=client, body=Applications.from_dict({"applications": [example, example]}))
assert [each.to_dict() for each in batch.predictions] == [one.to_dict()] * 2, batch
assert batch.problems == 0
refused = predict.sync(client=client, body=Application.from_dict(example | {"age": 3}))
assert isinstance(refused, Problem), refused
assert refused.errors[0].field == "age"
anonymous = predict.sync(client=Client(base_url=url), body=Application.from_dict(example))
assert isinstance(anonymous, Problem) and anonymous.status == 401
assert model.sync(client=client).tag == one.model
assert readyz.sync_detailed(client=Client(base_url=url)).status_code == 200
print(json.dumps(one.to_dict()))
"""


def test_a_generated_client_predicts(server: str, client: TestClient, tmp_path: Path) -> None:
    document = tmp_path / "docs.json"
    document.write_bytes(client.get("/docs.json").content)
    generated = subprocess.run(
        [CLIENT_GENERATOR, "generate", "--path", str(document), "--meta", "none", "--output-path",
         str(tmp_path / "propensity_client")],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert generated.returncode == 0, generated.stdout + generated.stderr
    called = subprocess.run(
        [sys.executable, "-c", CALL, server, PREDICT_TOKEN, json.dumps(EXAMPLE)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert called.returncode == 0, generated.stdout + called.stderr
