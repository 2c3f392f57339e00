"""The OpenAPI document, compared with what the service does."""

from __future__ import annotations

import html
import json
import re
from typing import Any
from urllib.parse import urljoin

import msgspec
import pytest
from conftest import AUTHORIZED, METRICS_AUTHORIZED, ROOT
from demonstration import CATEGORIES, CONTRACT, EXAMPLE, NULLABLE
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import Route
from starlette.testclient import TestClient

from propensity import __version__
from propensity.access.authorization import OPEN_PATHS
from propensity.contract.problem import Kind
from propensity.formats.inference import request_of


@pytest.fixture(scope="module")
def document(client: TestClient) -> dict[str, Any]:
    content: dict[str, Any] = client.get("/docs.json").json()
    return content


def validator(document: dict[str, Any], name: str) -> Draft202012Validator:
    return Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    )


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_every_route_is_documented_and_nothing_else(
    document: dict[str, Any], client: TestClient, tag: str
) -> None:
    app: Any = client.app
    routes = {route.path for route in app._pages.routes if isinstance(route, Route)}
    name, _, version = tag.partition(":")
    documented = {path.format(name=name, version=version) for path in document["paths"]}
    assert documented == routes - {"/"}


def test_what_is_open_needs_no_token_and_the_rest_does(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            needed = [scope for requirement in operation["security"] for scope in requirement["token"]]
            expected = [] if path in OPEN_PATHS else ["metrics" if path == "/metrics" else "predict"]
            assert needed == expected, path


def test_every_example_is_valid(document: dict[str, Any]) -> None:
    checked = 0
    lines: list[Any] = []
    for operations in document["paths"].values():
        for operation in operations.values():
            for holder in [operation.get("requestBody", {}), *operation["responses"].values()]:
                for media in holder.get("content", {}).values():
                    if media.get("schema", {}).get("type") == "string" and "example" in media:
                        lines += map(json.loads, media["example"].splitlines())
                        continue
                    examples = [example["value"] for example in media.get("examples", {}).values()]
                    for example in [media["example"]] if "example" in media else examples:
                        name = media["schema"]["$ref"].rpartition("/")[2]
                        validator(document, name).validate(example)
                        checked += 1
    assert checked > 20
    for name, line in zip(("Application", "Prediction", "Problem"), lines, strict=True):
        validator(document, name).validate(line)


def test_every_problem_that_is_documented_names_its_place_on_the_page(
    document: dict[str, Any], client: TestClient
) -> None:
    named = set()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                is_problem = int(status) >= 400
                (media,) = response["content"].values() if is_problem else [{}]
                for example in media.get("examples", {}).values():
                    assert example["value"]["status"] == int(status)
                    named.add(urljoin(path, example["value"]["type"]))
                    assert ("error" in example["value"]) == path.startswith("/v2")
    page = client.get("/problems").text
    places = set(re.findall(r'<h2 id="([^"]+)">', page))
    assert places == {kind.anchor for kind in Kind}
    # No operation answers these: a wrong method, and a client that disconnected.
    unnamed = {Kind.METHOD_NOT_ALLOWED, Kind.CALLER_GONE}
    assert named == {f"/problems#{kind.anchor}" for kind in set(Kind) - unnamed}
    for kind in Kind:
        advice = html.escape(kind.advice)
        while "`" in advice:
            advice = advice.replace("`", "<code>", 1).replace("`", "</code>", 1)
        assert f"<p>{advice}</p>" in page
    assert "`" not in page
    assert "<code>Authorization: Bearer TOKEN</code>" in page


def test_the_schema_of_an_application_is_its_contract(document: dict[str, Any]) -> None:
    schema = document["components"]["schemas"]["Application"]
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == set(EXAMPLE) - NULLABLE
    for name, field in schema["properties"].items():
        kinds = field.get("anyOf", [field])
        assert ({"type": "null"} in kinds) == (name in NULLABLE)
        assert field["description"]
        if name in CATEGORIES:
            assert tuple(kinds[0]["enum"]) == CATEGORIES[name]
        else:
            assert kinds[0]["type"] == "integer"
            assert kinds[0]["minimum"] < kinds[0]["maximum"]
            assert field["unit"] in {"years", "months", "monetary units"}


TENSORS = msgspec.to_builtins(request_of([EXAMPLE], CONTRACT))
INFER = "/v2/models/{name}/infer"
CASES = [
    (200, INFER, TENSORS, AUTHORIZED),
    (422, INFER, {"inputs": TENSORS["inputs"][1:]}, AUTHORIZED),
    (401, INFER, TENSORS, {}),
    (200, "/v1/predict", EXAMPLE, AUTHORIZED),
    (200, "/v1/predict_batch", {"applications": [EXAMPLE, {}]}, AUTHORIZED),
    (422, "/v1/predict", {}, AUTHORIZED),
    (422, "/v1/predict_batch", {}, AUTHORIZED),
    (401, "/v1/predict", EXAMPLE, {}),
    (403, "/v1/predict_batch", EXAMPLE, METRICS_AUTHORIZED),
]


@pytest.mark.parametrize(("status", "path", "body", "headers"), CASES)
def test_answers_are_what_the_document_says(
    document: dict[str, Any],
    client: TestClient,
    status: int,
    path: str,
    body: object,
    headers: dict[str, str],
) -> None:
    answer = client.post(path.format(name="propensity"), json=body, headers=headers)
    assert answer.status_code == status
    response = document["paths"][path]["post"]["responses"][str(status)]
    media = response["content"][answer.headers["content-type"]]
    validator(document, media["schema"]["$ref"].rpartition("/")[2]).validate(answer.json())
    for header in response.get("headers", {}):
        assert header in answer.headers


def test_the_model_card_is_what_the_document_says(document: dict[str, Any], client: TestClient) -> None:
    card = client.get("/v1/model", headers=AUTHORIZED).json()
    validator(document, "ModelCard").validate(card)
    assert card["signature_verified"] is True


def test_the_page_shows_the_document_and_loads_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/").text
    assert "docs.json" in page
    assert "http" not in page
    for asset in ("swagger-ui.css", "swagger-ui-bundle.js"):
        assert f'"static_content/{asset}"' in page
        assert client.get(f"/static_content/{asset}").status_code == 200


def test_what_may_be_left_out_has_no_default(document: dict[str, Any]) -> None:
    """Otherwise generated types would require it: openapi-typescript takes it to be always present."""
    for name in ("Application", "Applications", "Prediction", "Predictions", "Problem", "FieldError"):
        schema = document["components"]["schemas"][name]
        assert not [field for field, about in schema["properties"].items() if "default" in about], name
    application = document["components"]["schemas"]["Application"]
    assert set(application["properties"]) - set(application["required"]) == NULLABLE


def test_the_version_is_stated_once(document: dict[str, Any]) -> None:
    assert document["info"]["version"] == __version__
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text()
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_bentomls_schema_lists_both_predictions(client: TestClient) -> None:
    schema = client.get("/schema.json").json()
    assert {route["route"] for route in schema["routes"]} == {"/v1/predict", "/v1/predict_batch"}
    assert json.dumps(schema["routes"][0]["input"]["properties"]["age"]["maximum"]) == "100"
