"""Callers as they come: a browser on the served page, and a client generated from the served document."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import PREDICT_TOKEN
from playwright.sync_api import ConsoleMessage, Page, Route, expect, sync_playwright
from starlette.testclient import TestClient

from propensity.contract import EXAMPLE
from propensity.problem import Kind

CLIENT_GENERATOR = str(Path(sys.executable).with_name("openapi-python-client"))


@dataclass(frozen=True)
class Visit:
    """A page, what it asked for elsewhere, and what the browser complained of."""

    page: Page
    elsewhere: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def visit(server: str) -> Iterator[Visit]:
    """A page of a headless Chromium that reaches the service and nothing else."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("NOT TESTED: no Chromium is installed (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        visit = Visit(page)

        def only_the_service(route: Route) -> None:
            url = route.request.url
            if url.startswith(("data:", "blob:")) or urlsplit(url).netloc == urlsplit(server).netloc:
                route.continue_()
            else:
                visit.elsewhere.append(url)
                route.abort()

        def complain(message: ConsoleMessage) -> None:
            if message.type == "error":
                visit.complaints.append(message.text)

        page.route("**/*", only_the_service)
        page.on("console", complain)
        yield visit
        browser.close()


def test_the_page_authorizes_and_predicts_without_the_internet(server: str, visit: Visit) -> None:
    page = visit.page
    page.goto(f"{server}/")
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
