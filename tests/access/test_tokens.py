"""Tokens: the file decides who may call, and everything else is closed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import (
    AUTHORIZED,
    METRICS_AUTHORIZED,
    METRICS_TOKEN,
    PREDICT_TOKEN,
    ROOT,
    TOKEN_LINES,
    another_user,
    token_line,
)
from demonstration import EXAMPLE
from gate import Gate
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from propensity.access import authorization
from propensity.access.authorization import OPEN_PATHS, Caller
from propensity.access.tokens import Tokens, TokensError, new_token
from service import Propensity

pytestmark = pytest.mark.usefixtures("stale_here_alone")

CLOSED = [
    "/v1/predict",
    "/v1/predict_batch",
    "/v1/model",
    "/metrics",
    "/nope",
    "/v1",
    "/livez/",
    "/docs.json/x",
]


@pytest.fixture
def tokens_file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(TOKEN_LINES)
    return path


def replace(path: Path, content: str) -> None:
    """Replace a file by another of the same name, as mounted secrets are replaced."""
    other = path.with_suffix(".new")
    other.write_text(content)
    other.replace(path)


def scopes(tokens: Tokens, token: str) -> frozenset[str]:
    caller = asyncio.run(tokens.caller(token))
    return caller.scopes if caller else frozenset()


def test_a_token_has_the_scopes_of_its_lines(tokens_file: Path) -> None:
    tokens_file.write_text(
        f"# two lines, one token\n\n{TOKEN_LINES}{token_line('scoring', 'metrics', PREDICT_TOKEN)}"
    )
    tokens = Tokens(tokens_file)
    assert scopes(tokens, PREDICT_TOKEN) == {"predict", "metrics"}
    assert scopes(tokens, METRICS_TOKEN) == {"metrics"}
    assert scopes(tokens, "another") == set()


def test_a_file_of_a_windows_editor_is_read(tokens_file: Path) -> None:
    tokens_file.write_bytes(b"\xef\xbb\xbf" + TOKEN_LINES.replace("\n", "\r\n").encode())
    assert scopes(Tokens(tokens_file), PREDICT_TOKEN) == {"predict"}


def test_a_file_that_may_not_be_read_says_who_would_read_it(tokens_file: Path) -> None:
    tokens_file.chmod(0)
    with another_user() as uid, pytest.raises(TokensError) as caught:
        Tokens(tokens_file)
    assert f"runs as uid {uid} and may not read it; make that user its owner (chown)" in str(caught.value)
    assert "tokens new" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.mkdir(), "it is a folder; name the file in it"),
        (lambda path: path.write_text(TOKEN_LINES, encoding="utf-16"), "not UTF-8; save it as UTF-8"),
        (lambda path: path.touch(), "holds no token, and the API is never open; add one with"),
        (lambda path: path.parent.exists(), "No such file or directory; add one with"),
    ],
    ids=["folder", "UTF-16", "empty", "absent"],
)
def test_a_file_that_is_none_is_named_with_the_way_out_that_fits(
    tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    make(tmp_path / "tokens")
    with pytest.raises(TokensError, match=re.escape(f"tokens file {tmp_path}/tokens: {said}")):
        Tokens(tmp_path / "tokens")


def test_a_token_is_rotated_without_a_restart(tokens_file: Path) -> None:
    tokens = Tokens(tokens_file)
    replace(tokens_file, token_line("scoring", "predict", "new"))
    assert scopes(tokens, "new") == {"predict"}
    assert scopes(tokens, PREDICT_TOKEN) == set()


@pytest.mark.parametrize("broken", ["", "nonsense\n", "scoring:predict:123\n", f"scoring:admin:{'0' * 64}\n"])
def test_a_file_that_turns_bad_leaves_the_last_good_tokens(
    tokens_file: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = Tokens(tokens_file)
    replace(tokens_file, broken)
    for _ in range(3):
        assert scopes(tokens, PREDICT_TOKEN) == {"predict"}
    assert [record.message.endswith("the tokens read before stay valid") for record in caplog.records] == [
        True
    ]
    replace(tokens_file, token_line("scoring", "predict", "new"))
    assert scopes(tokens, "new") == {"predict"}


def test_a_file_that_goes_away_leaves_the_last_good_tokens(tokens_file: Path) -> None:
    tokens = Tokens(tokens_file)
    tokens_file.unlink()
    assert scopes(tokens, PREDICT_TOKEN) == {"predict"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no token, and the API is never open"),
        ("# nothing\n\n", "holds no token"),
        (TOKEN_LINES + "scoring:predict\n", "line 3: not name:scope:sha256"),
        (f"scoring:predict:{'0' * 64}:x", "line 1: not name:scope:sha256"),
        (f"scoring:predict:{'G' * 64}", "line 1: not name:scope:sha256"),
        (f"scoring:admin:{'0' * 64}", "line 1: unknown scope 'admin'; the scopes are predict, metrics"),
        (f"a b:predict:{'0' * 64}", "line 1: not name:scope:sha256"),
    ],
)
def test_a_file_that_can_not_be_used_says_which_line(tokens_file: Path, content: str, message: str) -> None:
    tokens_file.write_text(content)
    with pytest.raises(TokensError, match=message):
        Tokens(tokens_file)


def test_without_tokens_there_is_no_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PROPENSITY_TOKENS_FILE")
    with pytest.raises(TokensError, match="PROPENSITY_TOKENS_FILE is not set, and the API is never open"):
        Propensity.to_asgi()  # type: ignore[attr-defined]
    monkeypatch.setenv("PROPENSITY_TOKENS_FILE", str(tmp_path / "absent"))
    with pytest.raises(TokensError, match="absent: No such file or directory"):
        Propensity.to_asgi()  # type: ignore[attr-defined]


def test_a_new_token_is_kept_as_a_hash_alone(tokens_file: Path) -> None:
    tokens_file.write_text(TOKEN_LINES.rstrip("\n"))
    token = new_token(tokens_file, "team", ["predict", "metrics", "predict"])
    assert token not in tokens_file.read_text()
    digest = hashlib.sha256(token.encode()).hexdigest()
    assert tokens_file.read_text() == f"{TOKEN_LINES}team:predict:{digest}\nteam:metrics:{digest}\n"
    assert scopes(Tokens(tokens_file), token) == {"predict", "metrics"}


def tokens_command(path: Path | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PROPENSITY_TOKENS_FILE"}
    if path is not None:
        environment["PROPENSITY_TOKENS_FILE"] = str(path)
    return subprocess.run(
        [sys.executable, "-m", "propensity", "tokens", *arguments],
        capture_output=True, text=True, check=False, cwd=ROOT, env=environment,
    )  # fmt: skip


def test_the_command_prints_a_token_that_works(tmp_path: Path) -> None:
    done = tokens_command(tmp_path / "folder/tokens", "new", "team", "--scope", "predict")
    assert (done.returncode, done.stderr) == (0, "")
    assert scopes(Tokens(tmp_path / "folder/tokens"), done.stdout.strip()) == {"predict"}


def test_the_command_refuses_with_one_line(tmp_path: Path) -> None:
    for done in (
        tokens_command(tmp_path / "tokens", "new", "a:b", "--scope", "predict"),
        tokens_command(None, "new", "team", "--scope", "predict"),
        tokens_command(tmp_path, "new", "team", "--scope", "predict"),
    ):
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert done.stderr.startswith("propensity tokens: ")


@pytest.mark.parametrize("path", CLOSED)
def test_without_a_token_everything_else_is_closed(client: TestClient, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"):
        answer = client.request(method, path, json=EXAMPLE, follow_redirects=False)
        assert answer.status_code == 401, method
        assert answer.headers["www-authenticate"] == 'Bearer realm="propensity"'
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", sorted(OPEN_PATHS))
def test_health_and_documentation_are_open(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"Authorization": "Bearer wrong"}, "invalid_token"),
        ({"Authorization": "Bearer "}, "invalid_request"),
        ({"Authorization": PREDICT_TOKEN}, "invalid_request"),
        ({"Authorization": "Basic cHJlZGljdC10b2tlbjo="}, "invalid_request"),
        ({"Authorization": f"Bearer {PREDICT_TOKEN} x"}, "invalid_request"),
        ({"Authorization": "Bearer " + "x" * 10_000}, "invalid_token"),
        ({"Authorization": f"Bearer {PREDICT_TOKEN.upper()}"}, "invalid_token"),
    ],
)
def test_what_is_no_valid_token_is_refused(client: TestClient, headers: dict[str, str], error: str) -> None:
    answer = client.post("/v1/predict", json=EXAMPLE, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == f'Bearer realm="propensity", error="{error}"'
    assert answer.json()["status"] == 401


def test_two_authorization_headers_are_refused(client: TestClient) -> None:
    headers = [("Authorization", f"Bearer {PREDICT_TOKEN}"), ("Authorization", "Bearer wrong")]
    for order in (headers, headers[::-1]):
        assert client.post("/v1/predict", json=EXAMPLE, headers=order).status_code == 401


def test_the_scheme_is_read_in_any_case(client: TestClient) -> None:
    for scheme in ("bearer", "BEARER", "Bearer"):
        headers = {"Authorization": f"{scheme} {PREDICT_TOKEN}"}
        assert client.post("/v1/predict", json=EXAMPLE, headers=headers).status_code == 200


def test_a_missing_scope_is_forbidden(client: TestClient) -> None:
    metrics = client.get("/metrics", headers=AUTHORIZED)
    predict = client.post("/v1/predict", json=EXAMPLE, headers=METRICS_AUTHORIZED)
    assert (metrics.status_code, predict.status_code) == (403, 403)
    assert metrics.headers["www-authenticate"].endswith('error="insufficient_scope", scope="metrics"')
    assert predict.headers["www-authenticate"].endswith('error="insufficient_scope", scope="predict"')
    assert predict.json()["detail"] == "this token lacks the scope predict"
    assert client.get("/metrics", headers=METRICS_AUTHORIZED).status_code == 200


def test_a_web_socket_is_refused(client: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/v1/predict"):
        pass


def everything_is_here() -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """An application that answers 200 to anything that reaches it."""
    app = Starlette()
    app.router.default = PlainTextResponse("inside")
    return app


HEADER_VALUE = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=60)


@given(
    path=st.text(max_size=30)
    | st.sampled_from([*CLOSED, "//docs.json", "/docs.json ", "/%64ocs.json", "/DOCS.json"]),
    method=st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "CONNECT", "get", "X"]),
    headers=st.lists(
        st.tuples(st.sampled_from(["authorization", "Authorization", "x-token"]), HEADER_VALUE), max_size=3
    ),
)
def test_nothing_passes_without_a_valid_token(
    path: str, method: str, headers: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tokens_path = tmp_path_factory.getbasetemp() / "tokens-of-the-property"
    if not tokens_path.exists():
        tokens_path.write_text(TOKEN_LINES)
    statuses = []

    async def send(message: dict[str, object]) -> None:
        statuses.append(message.get("status"))

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http", "method": method, "path": path, "query_string": b"",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
    }  # fmt: skip
    gate = Gate(everything_is_here(), [Tokens(tokens_path)])
    asyncio.run(gate(scope, receive, send))  # type: ignore[arg-type]
    is_open = path in OPEN_PATHS or path.startswith(("/static_content/", "/try/"))
    assert statuses[0] == (200 if is_open else 401)


class Counting:
    """An authority that knows one token, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.known = "known"

    async def caller(self, token: str) -> Caller | None:
        self.asked += 1
        return Caller("team", frozenset({"predict"})) if token == self.known else None


def test_a_token_that_was_believed_is_believed_for_half_a_second_without_being_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(authorization, "time", SimpleNamespace(monotonic=lambda: now))
    authority = Counting()
    client = TestClient(Gate(everything_is_here(), [authority]))

    def status(token: str) -> int:
        return client.get("/v1/model", headers={"Authorization": f"Bearer {token}"}).status_code

    assert [status("known") for _ in range(3)] == [200] * 3
    assert authority.asked == 1
    assert [status("unknown") for _ in range(2)] == [401] * 2
    assert authority.asked == 3, "what is not believed is looked at each time"
    authority.known = "another"
    assert status("known") == 200
    now += authorization.BELIEF_SECONDS
    assert [status("known"), status("another")] == [401, 200]


def test_no_more_tokens_are_remembered_than_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorization, "MAX_BELIEVED", 2)
    monkeypatch.setattr(authorization, "BELIEF_SECONDS", 60)

    class Everybody:
        async def caller(self, token: str) -> Caller | None:
            return Caller(token, frozenset({"predict"}))

    gate = Gate(everything_is_here(), [Everybody()])
    client = TestClient(gate)
    for number in range(5):
        headers = {"Authorization": f"Bearer token-{number}"}
        assert client.get("/v1/model", headers=headers).status_code == 200
    assert len(gate.authorization._believed) == 2
