"""The Open Inference Protocol: the same rows, answers, limits and problems as tensors."""

from __future__ import annotations

import asyncio
import json
import math
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import numpy as np
import pytest
from conftest import AUTHORIZED, METRICS_AUTHORIZED, PREDICT_TOKEN, ROOT
from demonstration import CONTRACT, EXAMPLE
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from rows import NEARLY
from starlette.testclient import TestClient
from test_batching import at_once, histogram

from propensity.app import PredictionApp

DATATYPES = {"integer": "INT64", "number": "FP64", "boolean": "BOOL", "category": "BYTES"}


def tensors(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "name": field.name,
            "datatype": DATATYPES[field.kind],
            "shape": [len(rows)],
            "data": [row.get(field.name) for row in rows],
        }
        for field in CONTRACT.fields
    ]


@pytest.fixture(scope="module")
def path(tag: str) -> str:
    return f"/v2/models/{tag.partition(':')[0]}"


def infer(client: TestClient, path: str, inputs: Any, **more: Any) -> Any:
    return client.post(f"{path}/infer", json={"inputs": inputs, **more}, headers=AUTHORIZED)


def outputs(response: Any) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    return {output["name"]: output for output in response.json()["outputs"]}


def test_tensors_are_answered_as_rows_are(
    client: TestClient, path: str, tag: str, applications: list[dict[str, Any]]
) -> None:
    rows = applications[:500]
    expected = client.post("/v1/predict_batch", json={"applications": rows}, headers=AUTHORIZED).json()[
        "predictions"
    ]
    response = infer(client, path, tensors(rows), id="mine")
    found = outputs(response)
    assert found["propensity"]["data"] == [each["propensity"] for each in expected]
    assert found["decision"]["data"] == [each["decision"] for each in expected]
    assert [found[name]["shape"] for name in ("propensity", "decision")] == [[500], [500]]
    answer = response.json()
    name, _, version = tag.partition(":")
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("mine", name, version)
    assert answer["parameters"] == {"threshold": expected[0]["threshold"], "problems": 0}


def test_each_version_has_its_path_and_no_other_is_taken_for_it(
    client: TestClient, path: str, tag: str
) -> None:
    version = tag.partition(":")[2]
    found = outputs(infer(client, f"{path}/versions/{version}", tensors([EXAMPLE])))
    assert found == outputs(infer(client, path, tensors([EXAMPLE])))
    for other in (f"{path}/versions/1", "/v2/models/other"):
        response = infer(client, other, tensors([EXAMPLE]))
        assert response.status_code == 404
        assert path in response.json()["error"]
        assert client.get(f"{other}/ready", headers=AUTHORIZED).status_code == 404
    for method, known in (("POST", path), ("GET", f"{path}/infer"), ("POST", f"{path}/ready")):
        assert client.request(method, known, headers=AUTHORIZED).status_code == 405


def test_columns_of_a_table_may_be_nested_and_of_other_numeric_types(client: TestClient, path: str) -> None:
    types = {"INT64": "FP32", "FP64": "UINT8"}
    nested = [
        each | {"shape": [1, 1], "data": [each["data"]], "datatype": types.get(each["datatype"], "BYTES")}
        for each in tensors([EXAMPLE])
    ]
    assert outputs(infer(client, path, nested)) == outputs(infer(client, path, tensors([EXAMPLE])))


def test_contributions_are_those_of_an_explanation(
    client: TestClient, path: str, applications: list[dict[str, Any]]
) -> None:
    rows = applications[:3]
    expected = client.post(
        "/v1/predict_batch?explain=true", json={"applications": rows}, headers=AUTHORIZED
    ).json()["predictions"]
    found = outputs(infer(client, path, tensors(rows), outputs=[{"name": "contributions"}]))
    assert list(found) == ["contributions"]
    tensor = found["contributions"]
    names = json.loads(tensor["parameters"]["fields"])
    given = np.reshape(tensor["data"], tensor["shape"])
    for row, each in zip(given, expected, strict=True):
        assert dict(zip(names, row, strict=True)) == each["explanation"]["contributions"]
        assert tensor["parameters"]["base"] == each["explanation"]["base"]


def test_what_is_missing_is_null_or_nan_or_left_out(client: TestClient, path: str) -> None:
    field = next(field for field in CONTRACT.fields if field.nullable and field.categories is None)
    expected = outputs(infer(client, path, tensors([EXAMPLE | {field.name: None}])))
    without = [each for each in tensors([EXAMPLE]) if each["name"] != field.name]
    assert outputs(infer(client, path, without)) == expected
    nan = [*without, {"name": field.name, "datatype": "FP64", "shape": [1], "data": [float("nan")]}]
    body = json.dumps({"inputs": nan})
    response = client.post(
        f"{path}/infer", content=body, headers=AUTHORIZED | {"Content-Type": "application/json"}
    )
    assert outputs(response) == expected


def test_an_invalid_row_has_its_problem_and_costs_no_other(client: TestClient, path: str) -> None:
    field = next(field for field in CONTRACT.fields if field.maximum is not None)
    rows = [EXAMPLE, EXAMPLE | {field.name: field.highest + 1}, EXAMPLE]
    response = infer(client, path, tensors(rows))
    found = outputs(response)
    alone = outputs(infer(client, path, tensors([EXAMPLE])))
    for name in ("propensity", "decision"):
        assert found[name]["data"] == [*alone[name]["data"], None, *alone[name]["data"]]
    parameters = response.json()["parameters"]
    assert parameters["problems"] == 1
    problem = json.loads(parameters["problem_1"])
    (error,) = problem["errors"]
    place = [each["name"] for each in tensors(rows)].index(field.name)
    assert (error["pointer"], error["row"]) == (f"/inputs/{place}/data/1", 1)
    assert client.get(str(response.url.join(problem["type"]))).status_code == 200


def test_a_request_of_one_invalid_row_is_refused(client: TestClient, path: str) -> None:
    field = next(field for field in CONTRACT.fields if field.maximum is not None)
    response = infer(client, path, tensors([EXAMPLE | {field.name: field.highest + 1}]))
    assert response.status_code == 422
    # KServe's client reads an error of this type alone.
    assert response.headers["content-type"] == "application/json"
    assert response.json()["title"] == "Not a valid row"
    assert f"{field.name} must be at most" in response.json()["error"]


@given(rows=st.lists(NEARLY, min_size=2, max_size=4))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_rows_of_any_values_get_the_answers_and_problems_that_json_gets(
    client: TestClient, path: str, rows: list[dict[str, Any]]
) -> None:
    known = [{name: row.get(name) for name in CONTRACT.by_name} for row in rows]
    values = [value for row in known for value in row.values()]
    # A column of lists of one is the same column, and NaN is a missing value: of tensors alone.
    assume(
        not any(
            isinstance(value, list) or (isinstance(value, float) and math.isnan(value)) for value in values
        )
    )
    expected = send(client, "/v1/predict_batch", {"applications": known}).json()["predictions"]
    response = send(client, f"{path}/infer", {"inputs": tensors(known)})
    data, parameters = outputs(response)["propensity"]["data"], response.json()["parameters"]
    for place, each in enumerate(expected):
        assert data[place] == each.get("propensity")
        problem = json.loads(parameters.get(f"problem_{place}", "{}"))
        assert faults(problem) == faults(each)


def send(client: TestClient, path: str, body: Any) -> Any:
    """Post what Python calls JSON, with infinities."""
    headers = AUTHORIZED | {"Content-Type": "application/json"}
    return client.post(path, content=json.dumps(body), headers=headers)


def faults(problem: dict[str, Any]) -> tuple[Any, set[tuple[str, str]]]:
    errors = problem.get("errors", ())
    return problem.get("detail"), {(error["field"], error["detail"]) for error in errors}


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (lambda inputs: inputs[1:], f"{CONTRACT.fields[0].name} is required and missing"),
        (lambda inputs: [*inputs, inputs[0]], "is there more than once"),
        (lambda inputs: [*inputs, inputs[0] | {"name": "unknown"}], "unknown is not a field of this API"),
        (lambda inputs: [inputs[0] | {"datatype": "BYTES"}, *inputs[1:]], "must be of datatype INT64 or"),
        (lambda inputs: [*inputs[:-1], inputs[-1] | {"shape": [2]}], "must be of shape [1] or [1, 1]"),
        (lambda inputs: [inputs[0] | {"shape": [1, 13]}, *inputs[1:]], "must be of shape [1] or [1, 1]"),
        (lambda inputs: [*inputs[:-1], inputs[-1] | {"data": []}], "has 0 values, and its shape says 1"),
        (lambda _: [], "at least 1 value"),
        (lambda inputs: [inputs[0] | {"shape": [10_001]}, *inputs[1:]], "at most 10,000"),
        (lambda _: "rows", "not an inference request"),
    ],
)  # fmt: skip
def test_a_tensor_at_fault_is_named(client: TestClient, path: str, change: Any, detail: str) -> None:
    response = infer(client, path, change(tensors([EXAMPLE])))
    assert response.status_code == 422
    assert detail in response.json()["error"]


def test_the_query_string_asks_for_contributions_too(client: TestClient, path: str) -> None:
    response = client.post(
        f"{path}/infer?explain=true", json={"inputs": tensors([EXAMPLE])}, headers=AUTHORIZED
    )
    asked = infer(client, path, tensors([EXAMPLE]), outputs=[{"name": "contributions"}])
    assert list(outputs(response)) == ["propensity", "decision", "contributions"]
    assert outputs(response)["contributions"] == outputs(asked)["contributions"]


def test_an_empty_id_is_repeated_and_none_is_not_made_up(client: TestClient, path: str) -> None:
    assert infer(client, path, tensors([EXAMPLE]), id="").json()["id"] == ""
    assert "id" not in infer(client, path, tensors([EXAMPLE]), outputs=None).json()


def test_binary_tensors_are_refused_with_the_way_out(client: TestClient, path: str) -> None:
    first, *others = tensors([EXAMPLE])
    binary = {name: first[name] for name in ("name", "datatype", "shape")}
    stated = json.dumps({"inputs": [binary | {"parameters": {"binary_data_size": 8}}, *others]})
    # Without Content-Type, as tritonclient sends it.
    response = client.post(f"{path}/infer", content=stated.encode() + bytes(8), headers=AUTHORIZED)
    assert response.status_code == 415
    assert "binary_data=False" in response.json()["error"]
    # As KServe's client sends it.
    headers = AUTHORIZED | {"Content-Type": "application/octet-stream"}
    declared = client.post(f"{path}/infer", content=stated.encode() + bytes(8), headers=headers)
    assert declared.status_code == 415
    assert "binary_data=False" in declared.json()["error"]


def test_bodies_are_bounded_and_strict_as_elsewhere(client: TestClient, path: str) -> None:
    def status(content: bytes) -> tuple[int, str]:
        response = client.post(f"{path}/infer", content=content, headers=AUTHORIZED)
        return response.status_code, response.json()["type"].rpartition("#")[2]

    assert status(b" " * (CONTRACT.limits.body_bytes + 1)) == (413, "large-body")
    assert status(b"[" * 100_000) == (400, "unreadable-body")
    assert status(b'{"inputs": [], "inputs": []}') == (400, "unreadable-body")
    assert status(b'{"inputs": [{"name": "\xff"}]}') == (400, "unreadable-body")
    many = tensors([EXAMPLE] * 10_000)
    assert len(outputs(infer(client, path, many))["propensity"]["data"]) == 10_000
    digits = tensors([EXAMPLE, EXAMPLE])
    digits[0]["data"][1] = 10**400
    assert outputs(infer(client, path, digits))["propensity"]["data"][1] is None


def test_concurrent_requests_are_merged_counted_and_logged_under_their_path(
    server: str, path: str, applications: list[dict[str, Any]]
) -> None:
    rows = applications[:200]
    bodies = [{"inputs": tensors([row])} for row in rows]
    counter = f'bentoml_service_request_total{{endpoint="{path}/infer"'
    calls_before, requests_before = histogram(server, "predict_batch")
    answers = asyncio.run(at_once(server, f"{path}/infer", bodies))
    calls_after, requests_after = histogram(server, "predict_batch")
    batch = httpx2.post(f"{server}/v1/predict_batch", json={"applications": rows}, headers=AUTHORIZED)
    expected = [each["propensity"] for each in batch.json()["predictions"]]
    assert [answer["outputs"][0]["data"] for answer in answers] == [[each] for each in expected]
    assert requests_after - requests_before == len(rows)
    assert calls_after - calls_before < len(rows)
    metrics = httpx2.get(f"{server}/metrics", headers=METRICS_AUTHORIZED).text
    (line,) = [each for each in metrics.splitlines() if each.startswith(counter) and '"200"' in each]
    assert float(line.rpartition(" ")[2]) >= len(rows)


def test_a_server_that_drains_is_alive_and_not_ready(
    client: TestClient, app: PredictionApp, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.drain, "has_begun", True)
    assert client.get("/v2/health/live").status_code == 200
    for closed in ("/v2/health/ready", f"{path}/ready"):
        response = client.get(closed, headers=AUTHORIZED)
        assert response.status_code == 503
        assert "about to stop" in response.json()["error"]
    assert infer(client, path, tensors([EXAMPLE])).status_code == 200


def test_an_unknown_output_is_refused(client: TestClient, path: str) -> None:
    response = infer(client, path, tensors([EXAMPLE]), outputs=[{"name": "probability"}])
    assert response.status_code == 422
    assert "there are propensity, decision, contributions" in response.json()["error"]


def test_an_output_that_is_asked_for_again_and_again_is_given_once(client: TestClient, path: str) -> None:
    response = infer(client, path, tensors([EXAMPLE]), outputs=[{"name": "decision"}] * 1_000)
    assert [each["name"] for each in response.json()["outputs"]] == ["decision"]


def test_health_is_open_and_the_rest_needs_a_token(client: TestClient, path: str) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    ready = client.get(f"{path}/ready", headers=AUTHORIZED).json()
    assert ready == {"name": path.rpartition("/")[2], "ready": True}
    for closed in ("/v2", path, f"{path}/ready"):
        refused = client.get(closed)
        assert refused.status_code == 401
        assert "send a token" in refused.json()["error"]
        assert client.get(closed, headers=AUTHORIZED).status_code == 200
    assert client.post(f"{path}/infer", json={"inputs": tensors([EXAMPLE])}).status_code == 401


def test_the_metadata_say_what_to_send(client: TestClient, path: str, tag: str) -> None:
    metadata = client.get(path, headers=AUTHORIZED).json()
    assert metadata["versions"] == [tag.partition(":")[2]]
    sent = [{name: each[name] for name in ("name", "datatype")} for each in tensors([EXAMPLE])]
    assert [{name: each[name] for name in ("name", "datatype")} for each in metadata["inputs"]] == sent
    asked = [{"name": each["name"]} for each in metadata["outputs"]]
    found = outputs(infer(client, path, tensors([EXAMPLE]), outputs=asked))
    assert list(found) == ["propensity", "decision", "contributions"]
    for each in metadata["outputs"]:
        assert (each["datatype"], len(each["shape"])) == (
            found[each["name"]]["datatype"], len(found[each["name"]]["shape"]),
        )  # fmt: skip


def test_the_python_of_the_page_runs(server: str, applications: list[dict[str, Any]]) -> None:
    block, _ = re.findall(r"```python\n(.*?)```", (ROOT / "docs/inference.md").read_text(), re.DOTALL)
    rows = applications[:3]
    names: dict[str, Any] = {"url": server, "token": PREDICT_TOKEN, "rows": rows}
    exec(compile(block, "inference.md", "exec"), names)
    expected = httpx2.post(
        f"{server}/v1/predict_batch", json={"applications": rows}, headers=AUTHORIZED
    ).json()
    assert names["propensities"] == [each["propensity"] for each in expected["predictions"]]
    assert names["decisions"] == [each["decision"] for each in expected["predictions"]]


SENT = """
import json, sys
host, token, rows = *sys.argv[1:3], json.loads(sys.argv[3])
"""

_, TRITON = re.findall(r"```python\n(.*?)```", (ROOT / "docs/inference.md").read_text(), re.DOTALL)
TRITON += """
wanted = [triton.InferRequestedOutput("contributions")]
print(json.dumps({
    "propensities": propensities.tolist(),
    "decisions": decisions.tolist(),
    "ready": [
        client.is_server_live(), client.is_server_ready(),
        client.is_model_ready("propensity", headers=headers),
    ],
    "contributions": client.infer("propensity", inputs, headers=headers, outputs=wanted)
    .as_numpy("contributions").shape,
}))
"""

KSERVE = """
import asyncio
from kserve import InferInput, InferRequest, InferenceRESTClient, RESTConfig


async def main():
    url, headers = f"http://{host}", {"Authorization": f"Bearer {token}"}
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    kinds = {int: "INT64", float: "FP64", bool: "BOOL", str: "BYTES"}
    inputs = [
        InferInput(name, [len(rows)], kinds[type(value)], [row[name] for row in rows])
        for name, value in rows[0].items()
    ]
    request = InferRequest(model_name="propensity", infer_inputs=inputs)
    answer = await client.infer(url, request, model_name="propensity", headers=headers)
    try:
        await client.infer(url, request, model_name="propensity")
    except Exception as error:
        refused = str(error)
    print(json.dumps({
        "propensities": answer.get_output_by_name("propensity").data,
        "decisions": answer.get_output_by_name("decision").data,
        "ready": [
            await client.is_server_live(url), await client.is_server_ready(url),
            await client.is_model_ready(url, "propensity", headers=headers),
        ],
        "refused": refused,
    }))


asyncio.run(main())
"""

MLSERVER = """
import urllib.request
import pandas as pd
from mlserver.codecs import PandasCodec
from mlserver.types import InferenceResponse

frame = pd.DataFrame({name: pd.Series([row[name] for row in rows]) for name in rows[0]})
texts = frame.columns[[isinstance(value, str) for value in rows[0].values()]]
request = PandasCodec.encode_request(frame.astype(dict.fromkeys(texts, object)))
request = urllib.request.Request(
    f"http://{host}/v2/models/propensity/infer", request.model_dump_json().encode(),
    {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
)
answer = urllib.request.urlopen(request).read()
found = PandasCodec.decode_response(InferenceResponse.model_validate_json(answer))
print(json.dumps({
    "propensities": found["propensity"].tolist(),
    "decisions": found["decision"].tolist(),
}))
"""


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("client", "script", "more"),
    [
        ("tritonclient[http]==2.73.0", TRITON, {"ready": [True] * 3, "contributions": [20, 13]}),
        (
            "kserve==0.21.0",
            KSERVE,
            {
                "ready": [True] * 3,
                "refused": "send a token: `Authorization: Bearer TOKEN`, '401 Unauthorized' for url"
                " '{server}{path}/infer'",
            },
        ),
        ("mlserver==1.7.1", MLSERVER, {}),
    ],
    ids=["tritonclient", "kserve", "mlserver"],
)
def test_clients_of_other_platforms_get_the_same_answers(
    server: str,
    path: str,
    client: str,
    script: str,
    more: dict[str, Any],
    applications: list[dict[str, Any]],
    tmp_path: Path,
) -> None:
    """Each in an environment of its own: they need other versions of what the tests need."""
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, tmp_path], check=True)
    python = tmp_path / "bin/python"
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, client], check=True)
    rows = [row for row in applications if None not in row.values()][:20]
    sent = [urlsplit(server).netloc, PREDICT_TOKEN, json.dumps(rows)]
    ran = subprocess.run(
        [python, "-c", SENT + script, *sent], capture_output=True, text=True, check=False
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    ours = httpx2.post(f"{server}/v1/predict_batch", json={"applications": rows}, headers=AUTHORIZED)
    predictions = ours.json()["predictions"]
    if "refused" in more:
        more = more | {"refused": more["refused"].format(server=server, path=path)}
    assert json.loads(ran.stdout.splitlines()[-1]) == {
        "propensities": [each["propensity"] for each in predictions],
        "decisions": [each["decision"] for each in predictions],
        **more,
    }
