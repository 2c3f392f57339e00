"""Conformance: the served Bento's responses to generated requests, checked against its OpenAPI document."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from conftest import AUTHORIZED, METRICS_AUTHORIZED, PREDICT_TOKEN, ROOT
from demonstration import EXAMPLE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from propensity.access.authorization import LIVE, READY

SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))

CONFIGURATION = """
[[operations]]
# By contract, an invalid application gets a problem in its place, and the batch is answered 200.
include-name = "POST /v1/predict_batch"
checks.negative_data_rejection.enabled = false

[[operations]]
# The same; and no schema can say that there is a tensor for each field, all of one length.
include-path-regex = "^/v2/.*/infer$"
checks.negative_data_rejection.enabled = false
checks.positive_data_acceptance.enabled = false
"""


@pytest.mark.parametrize(
    ("headers", "examples", "at_least"),
    [
        pytest.param(AUTHORIZED, 40, 400, id="predict"),
        pytest.param(METRICS_AUTHORIZED, 8, 120, id="metrics"),
        pytest.param({}, 8, 120, id="no token"),
        pytest.param(AUTHORIZED, 800, 2_000, id="predict, thousands", marks=pytest.mark.fuzz),
        pytest.param(METRICS_AUTHORIZED, 100, 600, id="metrics, hundreds", marks=pytest.mark.fuzz),
        pytest.param({}, 100, 600, id="no token, hundreds", marks=pytest.mark.fuzz),
    ],
)
def test_every_answer_conforms_to_the_document(
    server: str, tmp_path: Path, headers: dict[str, str], examples: int, at_least: int
) -> None:
    """Stateless: operations have no links, since the service keeps nothing from one request to the next."""
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    options = [option for name, value in headers.items() for option in ("--header", f"{name}: {value}")]
    hooks = {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}
    done = subprocess.run(
        [SCHEMATHESIS, "run", f"{server}/docs.json", "--url", server, "--max-examples", str(examples),
         "--request-timeout", "60", "--seed", "20261124", "--no-color", *options],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=1_800,
        env=os.environ | hooks,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    (generated,) = re.findall(r"([\d,]+) generated", done.stdout)
    assert int(generated.replace(",", "")) >= at_least, done.stdout[-3_000:]


def raw(server: str, request: bytes) -> bytes:
    """The beginning of the response to bytes that no HTTP library would send."""
    url = urlsplit(server)
    with socket.create_connection((url.hostname, url.port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while b"\r\n" not in answer:
            piece = connection.recv(65_536)
            if not piece:
                break
            answer += piece
        return answer


OPEN = ["/", "/docs.json", "/schema.json", "/problems", "/try", "/livez", "/readyz", "/healthz", LIVE, READY]
CLOSED = [
    "/v1/predict", "/v1/predict_batch", "/v1/model", "/metrics", "/v2", "/v2/models/propensity",
    "/v2/models/propensity/infer",
]  # fmt: skip


def encoded(path: str, places: set[int]) -> str:
    """A path with some of its characters percent-encoded."""
    return "".join(
        f"%{ord(character):02x}" if place in places else character for place, character in enumerate(path)
    )


PATHS = st.one_of(
    st.builds(encoded, st.sampled_from(CLOSED), st.sets(st.integers(0, 12), max_size=6)),
    st.builds(
        lambda before, path, after: before + path + after,
        st.sampled_from(
            ["", "/", "//", "/.", "/./", "/static_content/..", "/livez/..", "http://h", "/%2e%2e"]
        ),
        st.sampled_from(CLOSED),
        st.sampled_from(
            ["", "/", "?", "?x=/livez", "#/livez", ";/livez", "%00", "%2f", "/../livez", "\\", "."]
        ),
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30).map(lambda text: f"/{text}"),
)
TOKENS = st.one_of(
    st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=60),
    st.sampled_from(
        [
            "Bearer", "Bearer ", f"Bearer {PREDICT_TOKEN}x", f"Bearer {PREDICT_TOKEN[:-1]}",
            f"Bearer {PREDICT_TOKEN},", f"Bearer {PREDICT_TOKEN}\u00a0", f"Basic {PREDICT_TOKEN}",
            f"Bearer\t{PREDICT_TOKEN}", f"Bearer {PREDICT_TOKEN.upper()}", f"Bearer {'x' * 20_000}",
            f"Bearer {PREDICT_TOKEN} {PREDICT_TOKEN}", f"Bearer={PREDICT_TOKEN}", PREDICT_TOKEN,
        ]
    ),
)  # fmt: skip
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            ["Authorization", "authorization", "AUTHORIZATION", "Authorization ", "X-Authorization", "Cookie"]
        ),
        TOKENS,
    ),
    max_size=3,
)  # fmt: skip
METHODS = st.sampled_from(
    ["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "get", "post"]
)
BODY = json.dumps(EXAMPLE).encode()


REQUESTS = st.tuples(METHODS, PATHS, HEADERS, st.sampled_from(["1.1", "1.0"]))
Request = tuple[str, str, list[tuple[str, str]], str]
WITH_FIXTURES = [HealthCheck.function_scoped_fixture]


@settings(max_examples=300, deadline=None, suppress_health_check=WITH_FIXTURES)
@given(request_=REQUESTS)
def test_nothing_of_the_api_is_ever_answered_without_a_valid_token(server: str, request_: Request) -> None:
    assert_nothing_is_answered(server, request_)


@pytest.mark.fuzz
@settings(max_examples=6_000, deadline=None, suppress_health_check=WITH_FIXTURES)
@given(request_=REQUESTS)
def test_none_of_thousands_of_requests_is_answered_without_a_valid_token(
    server: str, request_: Request
) -> None:
    assert_nothing_is_answered(server, request_)


def assert_nothing_is_answered(server: str, request_: Request) -> None:
    method, path, headers, version = request_
    lines = [
        f"{method} {path} HTTP/{version}", "Host: service", "Connection: close",
        "Content-Type: application/json", f"Content-Length: {len(BODY)}",
        *(f"{name}: {value}" for name, value in headers),
    ]  # fmt: skip
    answer = raw(server, "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + BODY)
    if answer[9:10] == b"2":
        # Open paths may be read, under their name or an encoding of it; nothing else.
        decoded = unquote(re.split("[?#]", path)[0])
        assert decoded in OPEN or decoded.startswith(("/static_content/", "/try/")), (answer[:15], decoded)


def test_the_property_would_notice_an_answer(server: str) -> None:
    """With the token, the same bytes are answered 200: the requests above were not refused for their form."""
    head = b"POST /v1/predict HTTP/1.1\r\nHost: service\r\nContent-Type: application/json\r\n"
    rest = b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
    token = f"Authorization: Bearer {PREDICT_TOKEN}\r\n".encode()
    assert raw(server, head + token + rest)[9:12] == b"200"
    assert raw(server, head + rest)[9:12] == b"401"
    assert raw(server, head.replace(b"/v1/predict", b"/v1/%70redict") + token + rest)[9:12] == b"200"
