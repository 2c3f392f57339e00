"""The protocol, over raw sockets: one response per request, and no part of a body is taken for a request."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from conftest import PREDICT_TOKEN
from demonstration import EXAMPLE
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from propensity.contract.limits import MAX_HEAD_BYTES
from propensity.http import protocol
from propensity.http.drain import Drain
from propensity.http.protocol import Protocol
from propensity.settings import KEEP_ALIVE_SECONDS

INNER = b"GET /inner HTTP/1.1\r\nHost: service\r\n\r\n"
"""The body of the requests below: if it is taken for a request, there is one response too many."""

LAST = b"GET /last HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n"


@dataclass
class Echo:
    """A server with `Protocol` in this process, which answers with the request and keeps the requests."""

    drain: Drain = field(default_factory=Drain)
    asked: list[dict[str, Any]] = field(default_factory=list)
    connections: set[Any] = field(default_factory=set)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the request itself; `/early` without reading its body."""
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        asked = {"method": scope["method"], "path": scope["path"], "headers": headers, "body": ""}
        self.asked.append(asked)
        is_whole = scope["path"] == "/early"
        while not is_whole:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            asked["body"] += message["body"].decode("latin-1")
            is_whole = not message["more_body"]
        content = json.dumps(asked).encode()
        length = (b"content-length", b"%d" % len(content))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": content})

    def __enter__(self) -> Echo:
        config = Config(self.app, interface="asgi3", log_config=None)
        config.load()
        new_loop = config.get_loop_factory()
        assert new_loop is not None
        self.loop = new_loop()
        state = ServerState()
        self.connections = state.connections
        connect = partial(Protocol, config, state, {}, drain=self.drain)
        self._server = self.loop.run_until_complete(
            self.loop.create_server(lambda: connect(_loop=self.loop), "127.0.0.1", 0)
        )
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        for connection in list(self.connections):
            connection.transport.abort()
        self._server.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as echo:
        yield echo


@dataclass(frozen=True)
class Answer:
    """One response on a connection."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)


def connect(url: str) -> socket.socket:
    connection = socket.create_connection((urlsplit(url).hostname, urlsplit(url).port))
    connection.settimeout(30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def received(connection: socket.socket) -> list[Answer]:
    """All responses until the server closes."""
    content = b""
    while piece := connection.recv(65_536):
        content += piece
    answers = []
    while content:
        head, _, content = content.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = int(headers.get("content-length", "0"))
        answers.append(Answer(int(status[9:12]), headers, content[:length]))
        content = content[length:]
    return answers


def hear(connection: socket.socket, end: bytes) -> None:
    """Wait for a response that ends like this."""
    content = b""
    while not content.endswith(end):
        piece = connection.recv(65_536)
        assert piece, content
        content += piece


def talk(url: str, *segments: bytes) -> list[Answer]:
    """Send segments one after the other, and return the responses."""
    with connect(url) as connection:
        for number, segment in enumerate(segments):
            if number:
                time.sleep(0.0005 if len(segments) > 10 else 0.01)  # or they'd arrive as one
            try:
                connection.sendall(segment)
            except (BrokenPipeError, ConnectionResetError):
                break
        return received(connection)


def post(*headers: str, path: str = "/", version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "Host: service", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


LENGTH = f"Content-Length: {len(INNER)}"
CHUNKED = "Transfer-Encoding: chunked"

OFFERS = {
    "h2c": ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAA"],
    "h2c, no settings": ["Connection: Upgrade", "Upgrade: h2c"],
    "after the length": ["Upgrade: h2c", "Connection: keep-alive, Upgrade"],
    "odd tokens": ["CONNECTION: ,, upGRADE ,x", "UPGRADE: H2C, IRC/6.9,TLS/1.0"],
    "two lines each": ["Connection: Upgrade", "Upgrade: h2c", "Connection: x", "Upgrade: websocket"],
    "nothing": ["Connection: Upgrade", "Upgrade:"],
    "token alone": ["Connection: Upgrade"],
    "header alone": ["Upgrade: h2c"],
    "websocket": [
        "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: chat", "Origin: http://service",
    ],
}  # fmt: skip


def cut(how: str, head: bytes, body: bytes) -> list[bytes]:
    return {
        "one segment": [head + body + LAST],
        "head, body": [head, body + LAST],
        "in the middle of the head": [head[:40], head[40:] + body[:7], body[7:], LAST],
    }[how]


@pytest.mark.parametrize("how", ["one segment", "head, body", "in the middle of the head"])
@pytest.mark.parametrize("framing", [LENGTH, CHUNKED])
@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS.keys())
def test_an_offer_to_upgrade_is_passed_over_and_its_body_read(
    echo: Echo, offer: list[str], framing: str, how: str
) -> None:
    head = post(framing, *offer) if offer[0].startswith("Connection") else post(*offer, framing)
    body = INNER if framing == LENGTH else chunked(INNER)
    first, last = talk(echo.url, *cut(how, head, body))
    assert (first.json["method"], first.json["path"]) == ("POST", "/")
    assert first.json["body"].encode() == INNER
    assert last.json["path"] == "/last"
    assert len(echo.asked) == 2


@pytest.mark.parametrize("offer", [OFFERS["h2c"], OFFERS["websocket"]])
def test_an_offer_that_arrives_byte_by_byte_is_passed_over_too(echo: Echo, offer: list[str]) -> None:
    for framing, body in ((LENGTH, INNER), (CHUNKED, chunked(INNER))):
        whole = post(framing, *offer) + body + LAST
        first, last = talk(echo.url, *(whole[place : place + 1] for place in range(len(whole))))
        assert first.json["body"].encode() == INNER
        assert last.json["path"] == "/last"


def test_offers_in_a_pipeline_are_answered_in_order(echo: Echo) -> None:
    offering = post(LENGTH, *OFFERS["h2c"], path="/offer") + INNER
    plain = post(LENGTH, path="/plain") + INNER
    bare = b"GET /bare HTTP/1.1\r\nHost: service\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"
    requests = [plain, offering, bare, offering, plain, LAST]
    for segments in (requests, [b"".join(requests)]):
        answers = [answer.json for answer in talk(echo.url, *segments)]
        paths = [answer["path"] for answer in answers]
        assert paths == ["/plain", "/offer", "/bare", "/offer", "/plain", "/last"]
        assert [answer["body"].encode() for answer in answers] == [INNER, INNER, b"", INNER, INNER, b""]


@pytest.mark.parametrize(
    "headers",
    [
        ["Connection: close, Upgrade", "Upgrade: h2c"],
        ["Connection: Upgrade", "Upgrade: h2c", "Connection: close"],
    ],
)
def test_an_offer_on_a_connection_that_is_to_close_is_the_last(echo: Echo, headers: list[str]) -> None:
    (only,) = talk(echo.url, post(LENGTH, *headers) + INNER + LAST)
    assert only.json["body"].encode() == INNER
    assert only.headers["connection"] == "close"


def test_an_offer_of_http_1_0_is_passed_over_too(echo: Echo) -> None:
    (only,) = talk(echo.url, post(LENGTH, *OFFERS["h2c"], version="1.0"), INNER + LAST)
    assert only.json["body"].encode() == INNER


def test_what_else_a_head_says_survives_an_offer(echo: Echo) -> None:
    given = ['X-One: a, b;c="d"', "X-Two: \xe9", "X-Three:", "Accept: */*"]
    first, _ = talk(echo.url, post(LENGTH, *given, *OFFERS["h2c"], path="/a%20b?c=%2F") + INNER + LAST)
    assert first.json["path"] == "/a b"
    headers = first.json["headers"]
    found = [headers[name] for name in ("x-one", "x-two", "x-three", "accept")]
    assert found == ['a, b;c="d"', "\xe9", "", "*/*"]
    assert "upgrade" not in headers


def test_a_body_that_waits_for_100_continue_is_asked_for_in_spite_of_an_offer(echo: Echo) -> None:
    with connect(echo.url) as connection:
        connection.sendall(post(LENGTH, "Expect: 100-continue", *OFFERS["h2c"]))
        assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(INNER)
        (answer,) = received(connection)
    assert answer.json["body"].encode() == INNER


def test_an_answer_in_the_place_of_100_continue_ends_the_connection(echo: Echo) -> None:
    """Otherwise the next request of a client that then withholds the body would be read as that body."""
    (answer,) = talk(echo.url, post(LENGTH, "Expect: 100-continue", path="/early"), INNER)
    assert answer.headers["connection"] == "close"
    assert len(echo.asked) == 1


READ = {
    "chunk extensions": (CHUNKED, b'26;a=b;c="d e"\r\n%b\r\n0;x\r\n\r\n'),
    "upper-case digits": (CHUNKED, b"0000026\r\n%b\r\n000\r\n\r\n"),
    "trailers": (CHUNKED, b"26\r\n%b\r\n0\r\nX-Trailer: x\r\n\r\n"),
    "trailers that offer": (CHUNKED, b"26\r\n%b\r\n0\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
    "tab before the coding": ("Transfer-Encoding:\tchunked", b"26\r\n%b\r\n0\r\n\r\n"),
    "case of the coding": ("transfer-ENCODING: CHUNKED ", b"26\r\n%b\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize(("framing", "body"), READ.values(), ids=READ.keys())
def test_a_body_is_read_to_its_end_and_no_further(echo: Echo, framing: str, body: bytes) -> None:
    assert len(INNER) == 0x26
    first, last = talk(echo.url, post(framing) + body % INNER, LAST)
    assert first.json["body"].encode() == INNER
    assert last.json["path"] == "/last"


MALFORMED = {
    "length and coding": post("Content-Length: 4", CHUNKED),
    "coding and length": post(CHUNKED, "Content-Length: 4"),
    "two lengths": post("Content-Length: 2", "Content-Length: 38"),
    "the same length twice": post(LENGTH, LENGTH),
    "a list of lengths": post("Content-Length: 2, 2"),
    "a signed length": post("Content-Length: +38"),
    "a negative length": post("Content-Length: -1"),
    "a hexadecimal length": post("Content-Length: 0x26"),
    "an empty length": post("Content-Length:"),
    "an endless length": post("Content-Length: 99999999999999999999"),
    "a coding that is not chunked": post("Transfer-Encoding: xchunked"),
    "a coding after chunked": post("Transfer-Encoding: chunked, identity"),
    "identity": post("Transfer-Encoding: identity"),
    "a quoted coding": post('Transfer-Encoding: "chunked"'),
    "chunked twice": post(CHUNKED, CHUNKED),
    "line feeds alone": post(LENGTH).replace(b"\r\n", b"\n"),
    "one line feed alone": post("X-One: a\nX-Two: b", LENGTH),
    "a carriage return alone": post("X-One: a\rX-Two: b", LENGTH),
    "a folded line": post("X-One: a\r\n b", LENGTH),
    "a folded coding": post("Transfer-Encoding:\r\n chunked"),
    "a folded length": post("Content-Length:\r\n 38"),
    "a space before the colon": post("Content-Length : 38"),
    "a space before the first header": post().replace(b"Host", b" Host"),
    "a name with a control character": post("X\x01: a", LENGTH),
    "a value with a zero byte": post("X-One: a\x00b", LENGTH),
    "no name": post(": a", LENGTH),
    "no version": b"POST /\r\nHost: service\r\n\r\n",
    "an unknown version": post(LENGTH, version="1.2"),
    "version 0.9": post(LENGTH, version="0.9"),
    "version 2": post(LENGTH, version="2.0"),
    "HTTP/2 without asking": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0",
    "a tunnel": b"CONNECT service:80 HTTP/1.1\r\nHost: service\r\n\r\n",
    "a tunnel with a body": b"CONNECT service:80 HTTP/1.1\r\nHost: service\r\n%b\r\n\r\n" % LENGTH.encode(),
    "a tunnel that offers": b"CONNECT / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "an unknown method": post(LENGTH).replace(b"POST", b"FOO"),
    "a target that is no path": post(LENGTH, path="service:80"),
    "a target outside of ASCII": post(LENGTH, path="/\xe9"),
    "an offer to a target that is no path": post(LENGTH, *OFFERS["h2c"], path="service:80"),
    "TLS": bytes.fromhex("16030100f8010000f40303"),
    "a chunk without its end": post(CHUNKED) + b"26\r\n%bXX0\r\n\r\n" % INNER,
    "a chunk that ends in a line feed": post(CHUNKED) + b"26\n%b\n0\n\n" % INNER,
    "a prefixed chunk size": post(CHUNKED) + b"0x26\r\n%b\r\n0\r\n\r\n" % INNER,
    "a chunk size and a space": post(CHUNKED) + b"26 \r\n%b\r\n0\r\n\r\n" % INNER,
    "an endless chunk size": post(CHUNKED) + b"10000000000000026\r\n%b\r\n0\r\n\r\n" % INNER,
    "a line feed in a chunk extension": post(CHUNKED) + b"26;\n%b\r\n0\r\n\r\n" % INNER,
    "an open quote in a chunk extension": post(CHUNKED) + b'26;a="\r\n%b\r\n0\r\n\r\n' % INNER,
    "a length among the trailers": post(CHUNKED) + b"26\r\n%b\r\n0\r\nContent-Length: 5\r\n\r\n" % INNER,
    "a coding among the trailers": post(CHUNKED) + b"26\r\n%b\r\n0\r\nTransfer-Encoding: x\r\n\r\n" % INNER,
}  # fmt: skip


@pytest.mark.parametrize("how", ["alone", "with an offer", "after another", "in one segment with others"])
@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_malformed_gets_one_problem_and_nothing_after_it_is_read(
    echo: Echo, sent: bytes, how: str
) -> None:
    if how == "with an offer":
        offer = "\r\n".join(["Host: service", *OFFERS["h2c"]]).encode()
        sent = sent.replace(b"Host: service", offer)
    before = [post(LENGTH, path="/before") + INNER] if how.startswith("after") else []
    segments = [*before, sent, INNER + LAST]
    if how == "in one segment with others":
        before = [post(LENGTH, path="/before") + INNER] * 2
        segments = [b"".join([*before, sent, INNER, LAST])]
    *earlier, refused = talk(echo.url, *segments)
    assert [answer.json["path"] for answer in earlier] == ["/before"] * len(before)
    assert refused.status == 400
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["connection"] == "close"
    assert re.fullmatch("[0-9a-f]{32}", refused.headers["x-request-id"])
    assert refused.json["title"] == "Not a valid HTTP request"
    assert refused.json["type"] == "about:blank"
    assert refused.json["detail"].startswith("not a request of HTTP/1.1: ")
    paths = [asked["path"] for asked in echo.asked if asked["path"] != "/"]
    assert paths == ["/before"] * len(before)


def test_a_body_that_turns_out_malformed_after_its_answer_gets_no_second_one(echo: Echo) -> None:
    with connect(echo.url) as connection:
        connection.sendall(post(CHUNKED, path="/early"))
        while not echo.asked:
            time.sleep(0.01)
        connection.sendall(b"not a chunk\r\n" + LAST)
        (only,) = received(connection)
    assert only.json["path"] == "/early"


def test_trailers_are_not_headers(echo: Echo) -> None:
    trailing = b"26\r\n%b\r\n0\r\nAuthorization: Bearer x\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n" % INNER
    for segments in ([post(CHUNKED) + trailing, LAST], [post(CHUNKED), trailing, LAST]):
        first, _ = talk(echo.url, *segments)
        assert first.json["headers"] == {"host": "service", "transfer-encoding": "chunked"}


@pytest.mark.parametrize("offer", [[], OFFERS["h2c"]], ids=["plain", "with an offer"])
def test_a_head_is_bounded_however_it_arrives(echo: Echo, offer: list[str]) -> None:
    def padded(by: int) -> bytes:
        return post(*offer, f"X-Padding: {'x' * (by - 200)}", LENGTH)

    fits, exceeds = padded(MAX_HEAD_BYTES) + INNER, padded(MAX_HEAD_BYTES + 500) + INNER
    first, _ = talk(echo.url, fits + LAST)
    assert first.json["body"].encode() == INNER
    many = [f"X-{number}: {'y' * 90}" for number in range(MAX_HEAD_BYTES // 90)]
    long_path = post(*offer, LENGTH, path="/" + "z" * MAX_HEAD_BYTES)
    for head in (exceeds, post(*many, *offer, LENGTH) + INNER, long_path + INNER):
        for segments in ([head + LAST], [head[:1_000], head[1_000:30_000], head[30_000:], LAST]):
            (refused,) = talk(echo.url, *segments)
            assert refused.status == 431
            assert refused.json["title"] == "The headers are too large"
            assert "65,536 bytes" in refused.json["detail"]


@pytest.mark.parametrize("tail", [b"26;%b\r\n", b"26\r\n" + INNER + b"\r\n0\r\nX-Trailer: %b\r\n\r\n"])
def test_extensions_and_trailers_are_bounded_too(echo: Echo, tail: bytes) -> None:
    pieces = [b"x" * 30_000] * 3
    before, _, after = tail.partition(b"%b")
    (refused,) = talk(echo.url, post(CHUNKED) + before, *pieces, after, LAST)
    assert refused.status == 431


def test_a_large_body_is_no_large_head(echo: Echo) -> None:
    body = b"b" * 300_000
    plain = post(f"Content-Length: {len(body)}") + body
    first, second, _ = talk(echo.url, plain + post(CHUNKED, *OFFERS["h2c"]) + chunked(body) + LAST)
    assert len(first.json["body"]) == len(second.json["body"]) == 300_000


def test_a_head_that_trickles_is_given_up(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    with connect(echo.url) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
        connection.setblocking(False)
        is_open = True
        while is_open:
            try:
                connection.sendall(b"x")
                is_open = connection.recv(1) != b""
            except BlockingIOError:
                time.sleep(0.02)
            except (BrokenPipeError, ConnectionResetError):
                is_open = False
    assert echo.asked == []


def protocol_of(timeout_keep_alive: int) -> Protocol:
    echo = Echo()
    config = Config(echo.app, interface="asgi3", log_config=None, timeout_keep_alive=timeout_keep_alive)
    loop = asyncio.new_event_loop()
    loop.close()
    return Protocol(config, ServerState(), {}, loop, drain=echo.drain)


def test_a_connection_may_be_idle_for_longer_than_any_gateway_keeps_it() -> None:
    unset = Config("service:app").timeout_keep_alive
    assert protocol_of(unset).timeout_keep_alive == KEEP_ALIVE_SECONDS == 3_660
    assert protocol_of(30).timeout_keep_alive == 30


def test_an_idle_connection_is_closed_in_the_end(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "KEEP_ALIVE_SECONDS", 0.2)
    with connect(echo.url) as silent, connect(echo.url) as used:
        used.sendall(post(LENGTH, *OFFERS["h2c"]) + INNER)
        assert received(silent) == []
        assert len(received(used)) == 1


def test_one_connection_too_many_ends_the_one_that_is_idle_for_longest(
    echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "MAX_CONNECTIONS", 3)
    with connect(echo.url) as busy, connect(echo.url) as oldest, connect(echo.url) as younger:
        busy.sendall(post(LENGTH))
        while not echo.asked:
            time.sleep(0.01)
        for connection in (oldest, younger):
            connection.sendall(INNER)
            hear(connection, b'"body": ""}')
            time.sleep(0.01)  # the event loop counts milliseconds
        with connect(echo.url) as newest:
            newest.sendall(INNER)
            hear(newest, b'"body": ""}')
            assert received(oldest) == []
            younger.sendall(INNER)
            hear(younger, b'"body": ""}')
            busy.sendall(INNER)
            hear(busy, b'service\\r\\n\\r\\n"}')


def test_a_drain_closes_idle_connections_and_lets_the_others_have_their_answer(
    echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "_DRAINING_KEEP_ALIVE", 0.1)
    with connect(echo.url) as idle, connect(echo.url) as silent, connect(echo.url) as busy:
        idle.sendall(INNER)
        hear(idle, b'"body": ""}')
        busy.sendall(post(LENGTH))
        while len(echo.asked) < 2:
            time.sleep(0.01)
        echo.drain.has_begun = True
        for connection in list(echo.connections):
            echo.loop.call_soon_threadsafe(connection.drain)
        assert received(idle) == received(silent) == []
        with connect(echo.url) as late:
            late.sendall(INNER)
            busy.sendall(INNER)
            assert [answer.status for answer in received(late)] == [200]
            assert [answer.status for answer in received(busy)] == [200]


AUTHORIZATION = f"Authorization: Bearer {PREDICT_TOKEN}"
JSON = "Content-Type: application/json"
BODY = json.dumps(EXAMPLE).encode()


def test_the_served_bento_reads_the_body_of_an_offer_and_nothing_behind_it(server: str) -> None:
    smuggled = f"GET /v1/model HTTP/1.1\r\nHost: service\r\n{AUTHORIZATION}\r\n\r\n".encode()
    for offer in OFFERS.values():
        for body, status in ((smuggled, 400), (BODY, 200)):
            head = post(AUTHORIZATION, JSON, f"Content-Length: {len(body)}", *offer, path="/v1/predict")
            for segments in ([head + body + LAST], [head, body + LAST], [head, body, LAST]):
                first, last = talk(server, *segments)
                assert first.status == status, first
                assert last.status == 401


def test_the_served_bento_refuses_a_tunnel_and_other_protocols(server: str) -> None:
    for sent in (MALFORMED["a tunnel"], MALFORMED["HTTP/2 without asking"], MALFORMED["length and coding"]):
        (refused,) = talk(server, sent + LAST)
        assert refused.status == 400
        assert refused.json["title"] == "Not a valid HTTP request"


@pytest.mark.parametrize(
    "lines",
    [[], ["Host: a", "Host: a"], ["Host: a", "Host: b"], ["Host:"], ["Host: a b"], ["Host: a/b"],
     ["Host: a:x"], ["Host: u@a"], ["Host: a, b"], ["Host: \xe9"], ["Host: [::1"]],
)  # fmt: skip
def test_a_request_names_its_host_once(server: str, lines: list[str]) -> None:
    for version in ("1.1", "1.0") if lines else ("1.1",):
        for path in ("/readyz", "/v1/predict", "/nowhere"):
            given = [*lines, AUTHORIZATION, "Connection: close"]
            head = "\r\n".join([f"GET {path} HTTP/{version}", *given, "", ""])
            (refused,) = talk(server, head.encode("latin-1"))
            assert refused.status == 400, refused
            assert refused.headers["content-type"] == "application/problem+json"
            assert "one header `Host: NAME`" in refused.json["detail"]


@pytest.mark.parametrize(
    ("version", "lines"),
    [("1.0", []), ("1.1", ["Host: a_b.example:8080"]), ("1.1", ["host: [::1]:80"]),
     ("1.1", ["HOST:  10.0.0.1 "]), ("1.1", ["Host: a:"]), ("1.0", ["Host: a"])],
)  # fmt: skip
def test_a_host_that_is_one_is_taken(server: str, version: str, lines: list[str]) -> None:
    head = "\r\n".join([f"GET /readyz HTTP/{version}", *lines, "Connection: close", "", ""])
    (answer,) = talk(server, head.encode())
    assert answer.status == 200


CLIENT = """
import java.net.URI;
import java.net.http.*;

public class Client {
    public static void main(String[] given) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (boolean waits : new boolean[] {false, true, false}) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(given[0])).expectContinue(waits)
                .header("Authorization", "Bearer " + given[1]).header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(given[2])).build();
            HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.version() + " " + answer.statusCode() + " " + answer.body());
        }
    }
}
"""


def test_a_java_client_predicts_with_its_defaults(server: str, tmp_path: Path) -> None:
    if shutil.which("javac") is None:
        pytest.skip("no JDK (apt install openjdk-17-jdk-headless)")
    source = tmp_path / "Client.java"
    source.write_text(CLIENT)
    done = subprocess.run(
        ["java", str(source), f"{server}/v1/predict", PREDICT_TOKEN, BODY.decode()],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [line[:12] for line in done.stdout.splitlines()] == ["HTTP_1_1 200"] * 3


def test_curl_predicts_when_it_offers_http_2(server: str) -> None:
    done = subprocess.run(
        ["curl", "--http2", "--silent", "--show-error", "--header", AUTHORIZATION, "--header", JSON,
         "--data", BODY, f"{server}/v1/predict", f"{server}/v1/predict"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b'"decision"') == 2
