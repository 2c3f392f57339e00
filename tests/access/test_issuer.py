"""JWTs: which ones are believed, and how the issuer's keys are loaded. The key server is a real one."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from conftest import AUTHORIZED, ROOT
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from demonstration import EXAMPLE
from gate import Gate
from servers import eventually, serving
from starlette.testclient import TestClient

from propensity import __version__
from propensity.access import issuer as issuer_module
from propensity.access.authorization import Caller, DisbeliefError
from propensity.access.configuration import authorities
from propensity.access.issuer import ALGORITHMS, Claims, Issuer, Keys
from propensity.access.tokens import TokensError
from propensity.contract.problem import ProblemError
from propensity.http.access_log import AccessLog
from propensity.http.exchange import EXCHANGE
from propensity.settings import SettingError

pytestmark = pytest.mark.usefixtures("stale_here_alone")

ISSUER = "https://login.bank.example"
AUDIENCE = "propensity"


class Signer:
    """A private key of the issuer, and its public key as published."""

    def __init__(self, name: str | None, algorithm: str = "RS256") -> None:
        self.algorithm = algorithm
        self.name = name
        self.private: Any
        if algorithm == "RS256":
            self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            published = jwt.algorithms.RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        else:
            self.private = ec.generate_private_key(ec.SECP256R1())
            published = jwt.algorithms.ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        self.published: dict[str, Any] = {**published, "use": "sig"} | ({"kid": name} if name else {})

    def token(self, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A JWT that is believed, except for the claims that are given."""
        now = int(time.time())
        whole = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": "scoring-batch", "iat": now, "exp": now + 300,
            "scope": "predict",
        } | claims  # fmt: skip
        kept = {name: value for name, value in whole.items() if value is not None}
        named = {"kid": self.name} if self.name else {}
        return jwt.encode(kept, self.private, self.algorithm, headers=named | (headers or {}))


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer("2026-11")


@pytest.fixture(scope="module")
def other() -> Signer:
    return Signer("2026-12", "ES256")


class KeyServer:
    """Publishes keys at a URL, counts the requests, and fails when told to."""

    def __init__(self) -> None:
        self.signers: list[Signer] = []
        self.asked = 0
        self.agents: list[str | None] = []
        self.status = 200
        self.content: bytes | None = None
        world = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                world.asked += 1
                world.agents.append(self.headers["User-Agent"])
                content = world.content or jwks(*world.signers)
                self.send_response(world.status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def jwks(*signers: Signer) -> bytes:
    return json.dumps({"keys": [signer.published for signer in signers]}).encode()


@pytest.fixture
def key_server() -> Iterator[KeyServer]:
    server = KeyServer()
    yield server
    server.stop()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets time pass between two loads of the keys."""
    passed = 0.0

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return time.monotonic() + passed

    def let_pass(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    monkeypatch.setattr(issuer_module, "time", Clock)
    return let_pass


@pytest.fixture
def keys_file(tmp_path: Path, signer: Signer, other: Signer) -> Path:
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks(signer, other))
    return path


def issuer(source: str, algorithms: tuple[str, ...] = ("RS256", "ES256")) -> Issuer:
    return Issuer(
        ISSUER, AUDIENCE, Keys(source), algorithms=algorithms, leeway_seconds=30,
        claims=Claims.from_environment(),
    )  # fmt: skip


async def believed(issuer: Issuer, token: str) -> Caller | None:
    try:
        return await issuer.caller(token)
    except DisbeliefError:
        return None


def ask(issuer: Issuer, token: str) -> Caller | None:
    return asyncio.run(believed(issuer, token))


def test_a_jwt_of_the_issuer_names_its_caller_and_scopes(
    keys_file: Path, signer: Signer, other: Signer
) -> None:
    believing = issuer(str(keys_file))
    expected = Caller("jwt:scoring-batch", frozenset({"predict"}))
    assert ask(believing, signer.token()) == expected
    assert ask(believing, other.token()) == expected
    for scopes in (
        {"scope": "openid predict metrics"},
        {"scope": None, "scp": ["predict", "metrics", 7, "x"]},
    ):
        caller = ask(believing, signer.token(**scopes))
        assert caller is not None
        assert caller.scopes == {"predict", "metrics"}
    for nothing in (
        {"scope": None},
        {"scope": ""},
        {"scope": "admin"},
        {"scope": 7},
        {"scope": {"predict": 1}},
    ):
        caller = ask(believing, signer.token(**nothing))
        assert caller is not None
        assert caller.scopes == frozenset()


def forged(signer: Signer, **header: Any) -> str:
    """A JWT whose header is changed after it was signed."""
    _, claims, signature = signer.token().split(".")
    encoded = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    return f"{encoded}.{claims}.{signature}"


def test_what_is_not_to_be_believed_is_not(keys_file: Path, signer: Signer, other: Signer) -> None:
    believing = issuer(str(keys_file))
    now = int(time.time())
    public = signer.private.public_key().public_numbers().n.to_bytes(256, "big")
    tokens = {
        "expired": signer.token(exp=now - 31),
        "not yet valid": signer.token(nbf=now + 60),
        "issued in the future": signer.token(iat=now + 60),
        "never expires": signer.token(exp=None),
        "of no known age": signer.token(iat=None),
        "of nobody": signer.token(sub=None),
        "for another audience": signer.token(aud="payments"),
        "for no audience": signer.token(aud=None),
        "by another issuer": signer.token(iss="https://login.bank.example.evil"),
        "by no issuer": signer.token(iss=None),
        "by another key of the same name": Signer(signer.name).token(),
        "by an unknown key": Signer("2020-01").token(),
        "by a key without a name": Signer(None).token(),
        "by one key in the name of another": other.token(headers={"kid": signer.name}),
        "without a signature": forged(signer, alg="none", kid=signer.name),
        "with the public key as a secret": jwt.encode(
            {"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "iat": now, "exp": now + 60}, public, "HS256",
            headers={"kid": signer.name},
        ),
        "with an unknown critical extension": signer.token(headers={"crit": ["x"], "x": 1}),
        "with a name that is no text": forged(signer, alg="RS256", kid=["2026-11"]),
        "without an algorithm": forged(signer, kid=signer.name),
        "changed": signer.token()[:-10] + "AAAAAAAAAA",
        "too long": signer.token(more="x" * 8_192),
        "nothing of the kind": "a.b.c",
        "dots": "..",
        "no JWT": "predict-token",
    }  # fmt: skip
    taken = [name for name, token in tokens.items() if ask(believing, token) is not None]
    assert taken == []


def test_clocks_may_differ_by_the_leeway(keys_file: Path, signer: Signer) -> None:
    now = int(time.time())
    assert ask(issuer(str(keys_file)), signer.token(exp=now - 20)) is not None
    assert ask(issuer(str(keys_file)), signer.token(iat=now + 20, nbf=now + 20)) is not None


def test_only_the_algorithms_that_are_allowed_are_believed(
    keys_file: Path, signer: Signer, other: Signer
) -> None:
    believing = issuer(str(keys_file), ("ES256",))
    assert ask(believing, other.token()) is not None
    assert ask(believing, signer.token()) is None


@pytest.mark.parametrize(
    "change",
    [
        {"claims": {"exp": 1}, "why": "it has expired (claim exp)"},
        {"claims": {"nbf": 2**40}, "why": "it is not valid yet (claims iat, nbf); compare the clocks"},
        {"claims": {"aud": "payments"}, "why": "it is not made for propensity (claim aud)"},
        {"claims": {"iss": "x"}, "why": f"it is not by {ISSUER} (claim iss)"},
        {"claims": {"sub": None}, "why": "it has no claim sub"},
        {"headers": {"kid": "2020\n-01"}, "why": "no key of the issuer has the name (kid) that it gives"},
        {"headers": {"kid": "2026-12"}, "why": "the key that it names does not sign with RS256"},
    ],
    ids=lambda change: change["why"],
)
def test_why_a_jwt_is_refused_is_logged_and_its_caller_is_told_nothing(
    keys_file: Path, signer: Signer, change: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    token = signer.token(headers=change.get("headers"), **change.get("claims", {}))
    gate = Gate(answering, [issuer(str(keys_file))])
    answer = TestClient(gate).get("/v1/model", headers={"Authorization": f"Bearer {token}"})
    AccessLog([]).write(gate.exchanges)
    assert answer.json()["detail"] == "this token is not valid (any more)"
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["disbelief"] == change["why"]
    assert token.split(".")[1] not in line


def published(private: Any, **members: Any) -> dict[str, Any]:
    made: Any = jwt.algorithms.OKPAlgorithm
    if isinstance(private, rsa.RSAPrivateKey):
        made = jwt.algorithms.RSAAlgorithm
    elif isinstance(private, ec.EllipticCurvePrivateKey):
        made = jwt.algorithms.ECAlgorithm
    return {**made.to_jwk(private.public_key(), as_dict=True), **members}


CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def claims() -> dict[str, Any]:
    now = int(time.time())
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "s", "iat": now, "exp": now + 60, "scope": "predict"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("named", [True, False], ids=["named", "nameless"])
def test_a_key_that_states_no_algorithm_is_good_for_each_of_its_type(
    tmp_path: Path, rsa_key: rsa.RSAPrivateKey, algorithm: str, named: bool
) -> None:
    private: Any = rsa_key
    if algorithm in CURVES:
        private = ec.generate_private_key(CURVES[algorithm])
    elif algorithm == "EdDSA":
        private = ed25519.Ed25519PrivateKey.generate()
    # Other keys of the set, which could not have signed this, or can't even be read.
    strangers = [
        published(ec.generate_private_key(ec.SECP256K1()), kid="k"),
        {"kty": "new", "kid": "k"},
        {"kty": "RSA", "n": "x", "kid": "k"},
        "not even a key",
        published(rsa_key, kid="k", use="enc"),
        published(rsa_key, kid="k", key_ops=["encrypt"]),
    ]
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [*strangers, published(private, **({"kid": "k"} if named else {}))]}))
    token = jwt.encode(claims(), private, algorithm, headers={"kid": "k"} if named else {})
    assert ask(issuer(str(path), ALGORITHMS), token) is not None
    others = tuple(each for each in ALGORITHMS if each != algorithm)
    assert ask(issuer(str(path), others), token) is None


@pytest.mark.parametrize(
    "odd",
    [
        {"kty": "RSA", "key_ops": 5},
        {"kty": "RSA", "key_ops": True},
        {"kty": "EC", "crv": ["P-256"]},
        {"kty": "OKP", "crv": {}},
        {"kty": ["RSA"]},
        {"kty": "RSA", "n": 7, "e": "AQAB"},
        {"kty": "RSA", "alg": ["RS256"]},
        [],
        None,
    ],
    ids=str,
)
def test_a_key_that_is_malformed_costs_the_others_nothing(
    tmp_path: Path, key_server: KeyServer, signer: Signer, odd: object
) -> None:
    content = json.dumps({"keys": [odd, signer.published, odd]}).encode()
    (tmp_path / "jwks.json").write_bytes(content)
    key_server.content = content
    for source in (str(tmp_path / "jwks.json"), key_server.url):
        assert ask(issuer(source), signer.token()) is not None


def test_a_member_of_a_key_that_is_null_is_not_stated(tmp_path: Path, signer: Signer) -> None:
    path = tmp_path / "jwks.json"
    nulls = {"use": None, "alg": None, "key_ops": None}
    # With a byte-order mark, as some editors save files.
    path.write_text(json.dumps({"keys": [signer.published | nulls]}), encoding="utf-8-sig")
    assert ask(issuer(str(path)), signer.token()) is not None


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff\xfe{"], ids=["nested", "UTF-16"])
def test_what_is_no_key_set_is_refused_at_the_start_and_answered_503_later(
    tmp_path: Path, key_server: KeyServer, signer: Signer, content: bytes
) -> None:
    (tmp_path / "jwks.json").write_bytes(content)
    with pytest.raises(SettingError, match=r"PROPENSITY_JWT_KEYS: .*jwks\.json: "):
        Keys(str(tmp_path / "jwks.json"))
    key_server.content = content
    with pytest.raises(ProblemError) as caught:
        ask(issuer(key_server.url), signer.token())
    assert caught.value.problem.status == 503


def test_a_folder_in_the_place_of_the_keys_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="it is a folder; name the file in it"):
        Keys(str(tmp_path))


def test_one_name_may_stand_for_two_algorithms_and_a_stated_one_is_the_only_one(
    tmp_path: Path, rsa_key: rsa.RSAPrivateKey
) -> None:
    path = tmp_path / "jwks.json"
    keys = [published(rsa_key, kid="k", alg=algorithm) for algorithm in ("RS512", "RS256")]
    path.write_text(json.dumps({"keys": keys}))
    believing = issuer(str(path), ALGORITHMS)
    taken = [
        algorithm
        for algorithm in ALGORITHMS[:6]
        if ask(believing, jwt.encode(claims(), rsa_key, algorithm, headers={"kid": "k"}))
    ]
    assert taken == ["RS256", "RS512"]


def test_a_jwt_that_names_no_key_is_tried_with_those_that_fit(tmp_path: Path, signer: Signer) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks(Signer("a"), Signer("b", "ES256"), signer))
    nameless = jwt.encode(claims(), signer.private, "RS256")
    assert ask(issuer(str(path)), nameless) is not None
    assert ask(issuer(str(path)), Signer(None).token()) is None


def test_the_issuer_is_told_who_asks(key_server: KeyServer, signer: Signer) -> None:
    key_server.signers = [signer]
    assert ask(issuer(key_server.url), signer.token()) is not None
    assert key_server.agents == [f"propensity-bento/{__version__}"]


PAGE = (ROOT / "docs/serving.md").read_text()
SHAPES: dict[str, dict[str, Any]] = {
    "Entra ID": {"aud": "API-ID", "roles": ["Propensity.Predict"], "ver": "2.0", "azp": "x"},
    "Auth0": {"aud": ["https://propensity.bank.example", "x"], "permissions": ["predict"], "gty": "x"},
    "Cognito": {"client_id": "CLIENT-ID", "scope": "openid propensity/predict", "token_use": "access"},
    "Keycloak": {
        "aud": "propensity",
        "scope": "email",
        "realm_access": {"roles": ["predict"]},
        "typ": "Bearer",
    },
}
"""The claims in which the access tokens of these issuers differ."""


@pytest.mark.parametrize("name", SHAPES)
def test_access_tokens_are_read_with_the_settings_that_the_page_gives_for_their_issuer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rsa_key: rsa.RSAPrivateKey, name: str
) -> None:
    (block,) = re.findall(rf"^{name}, .*:\n\n<!-- .* -->\n```sh\n([^`]*)```", PAGE, re.MULTILINE)
    for line in block.splitlines():
        setting, _, value = line.removeprefix("export ").partition("=")
        monkeypatch.setenv(setting, value)
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [published(rsa_key, kid="k", use="sig")]}))
    monkeypatch.setenv("PROPENSITY_JWT_KEYS", str(tmp_path / "jwks.json"))
    believing = Issuer.from_environment()
    assert believing is not None
    now = int(time.time())
    common = {"iss": os.environ["PROPENSITY_JWT_ISSUER"], "sub": "s", "iat": now, "exp": now + 60}

    def caller(**changed: Any) -> Caller | None:
        made = {name: value for name, value in (common | SHAPES[name] | changed).items() if value is not None}
        return ask(believing, jwt.encode(made, rsa_key, "RS256", headers={"kid": "k"}))

    assert caller() == Caller("jwt:s", frozenset({"predict"}))
    # For another audience, for none, and tokens that are meant for the user's own application.
    assert caller(aud="other", client_id="other") is None
    assert caller(aud=None, client_id=None) is None
    assert caller(token_use="id") is None
    assert caller(typ="ID") is None


def test_keys_without_names_serve_where_there_is_one(tmp_path: Path) -> None:
    nameless = Signer(None)
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks(nameless))
    assert ask(issuer(str(path)), nameless.token()) is not None


def test_keys_are_kept_and_a_new_one_is_fetched_when_it_is_first_used(
    key_server: KeyServer, signer: Signer, other: Signer, clock: Callable[[float], None]
) -> None:
    key_server.signers = [signer]
    believing = issuer(key_server.url)
    for _ in range(20):
        assert ask(believing, signer.token()) is not None
    assert key_server.asked == 1
    key_server.signers = [other]
    clock(issuer_module.KEYS_RETRY_SECONDS)
    assert ask(believing, other.token()) is not None
    assert ask(believing, signer.token()) is None, "it was withdrawn"
    assert key_server.asked == 2


def test_unknown_keys_do_not_make_the_service_ask_all_the_time(
    key_server: KeyServer, signer: Signer, clock: Callable[[float], None]
) -> None:
    key_server.signers = [signer]
    believing = issuer(key_server.url)
    for number in range(50):
        assert ask(believing, signer.token(headers={"kid": f"unknown-{number}"})) is None
    assert key_server.asked == 1
    clock(issuer_module.KEYS_RETRY_SECONDS)
    ask(believing, signer.token(headers={"kid": "unknown"}))
    assert key_server.asked == 2


def test_keys_are_read_anew_now_and_then_and_nobody_waits_for_it(
    key_server: KeyServer, signer: Signer, other: Signer, clock: Callable[[float], None]
) -> None:
    key_server.signers = [signer, other]
    believing = issuer(key_server.url)

    async def main() -> None:
        assert await believing.caller(signer.token()) is not None
        key_server.signers = [other]
        clock(issuer_module.KEYS_SECONDS + 1)
        assert await believing.caller(signer.token()) is not None, "still by the old keys"
        for _ in range(100):
            if key_server.asked == 2:
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert await believed(believing, signer.token()) is None

    asyncio.run(main())
    assert key_server.asked == 2


@pytest.mark.parametrize(
    ("status", "content"),
    [(500, None), (302, None), (200, b"not JSON"), (200, b"[]"), (200, b'{"keys": []}'),
     (200, b" " * 300_000), (200, b'{"keys": [{"kty": "oct", "kid": "2026-11", "k": "c2VjcmV0"}]}')],
)  # fmt: skip
def test_keys_that_can_not_be_read_leave_the_last_good_ones(
    key_server: KeyServer, signer: Signer, clock: Callable[[float], None], caplog: pytest.LogCaptureFixture,
    status: int, content: bytes | None,
) -> None:  # fmt: skip
    key_server.signers = [signer]
    believing = issuer(key_server.url)
    assert ask(believing, signer.token()) is not None
    key_server.status, key_server.content = status, content
    clock(issuer_module.KEYS_RETRY_SECONDS)
    assert ask(believing, Signer("new").token()) is None
    assert key_server.asked == 2
    assert ask(believing, signer.token()) is not None
    assert caplog.records[-1].message.endswith("those read before stay valid")


def test_without_any_keys_callers_are_told_to_try_again_and_nobody_gets_in(
    key_server: KeyServer, signer: Signer, clock: Callable[[float], None]
) -> None:
    key_server.status = 500
    believing = issuer(key_server.url)
    for _ in range(3):
        with pytest.raises(ProblemError) as caught:
            ask(believing, signer.token())
        assert caught.value.problem.status == 503
        assert caught.value.problem.type == "../problems#keys-unavailable"
        assert caught.value.headers == {"Retry-After": "1"}
    assert key_server.asked == 1
    key_server.status, key_server.signers = 200, [signer]
    clock(issuer_module.KEYS_RETRY_SECONDS)
    assert ask(believing, signer.token()) is not None


def configure(monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"PROPENSITY_JWT_{name}", value)


def test_the_issuer_is_asked_after_the_tokens_file_or_alone(
    monkeypatch: pytest.MonkeyPatch, keys_file: Path, signer: Signer
) -> None:
    configure(monkeypatch, ISSUER=ISSUER, AUDIENCE=AUDIENCE, KEYS=str(keys_file))
    both = authorities()
    monkeypatch.delenv("PROPENSITY_TOKENS_FILE")
    alone = authorities()
    assert [len(both), len(alone)] == [2, 1]
    jwt_headers = {"Authorization": f"Bearer {signer.token()}"}
    for asked, static in ((both, 200), (alone, 401)):
        client = TestClient(Gate(answering, asked))
        assert client.get("/v1/model", headers=jwt_headers).status_code == 200
        assert client.get("/v1/model", headers=AUTHORIZED).status_code == static
        assert client.get("/metrics", headers=jwt_headers).status_code == 403
        assert client.get("/v1/model").status_code == 401


async def answering(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope[EXCHANGE].caller.encode()})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ISSUER": ISSUER}, "PROPENSITY_JWT_AUDIENCE, PROPENSITY_JWT_KEYS: not set; for JWTs set"),
        ({"KEYS": "/absent"}, "PROPENSITY_JWT_ISSUER, PROPENSITY_JWT_AUDIENCE: not set"),
        (
            {"ISSUER": ISSUER, "AUDIENCE": "a", "KEYS": "/absent"},
            "PROPENSITY_JWT_KEYS: /absent: .*No such file",
        ),
        (
            {"ISSUER": ISSUER, "AUDIENCE": "a", "KEYS": "http://bank.example/k"},
            "come from a file or an https URL",
        ),
        (
            {"ISSUER": ISSUER, "AUDIENCE": "a", "KEYS": "ftp://localhost/k"},
            "come from a file or an https URL",
        ),
        (
            {"ISSUER": ISSUER, "AUDIENCE": "a", "KEYS": "https://h/k", "ALGORITHMS": "RS256,HS256"},
            "names 'HS256'",
        ),
        ({"ISSUER": ISSUER, "AUDIENCE": "a", "KEYS": "https://h/k", "ALGORITHMS": "none"}, "names 'none'"),
        (
            {"ISSUER": ISSUER, "AUDIENCE": "a", "KEYS": "https://h/k", "LEEWAY_SECONDS": "-1"},
            "a whole number",
        ),
    ],
)
def test_an_issuer_that_is_configured_wrongly_is_refused(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], message: str
) -> None:
    configure(monkeypatch, **settings)
    with pytest.raises(SettingError, match=message):
        authorities()


def test_without_issuer_and_file_the_api_stays_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROPENSITY_TOKENS_FILE")
    with pytest.raises(TokensError, match="the API is never open"):
        authorities()


def test_the_served_bento_takes_jwts_and_follows_the_rotation_of_keys(
    bento: Path, tmp_path: Path, key_server: KeyServer, signer: Signer, other: Signer
) -> None:
    key_server.signers = [signer]
    environment = {
        "PROPENSITY_JWT_ISSUER": ISSUER,
        "PROPENSITY_JWT_AUDIENCE": AUDIENCE,
        "PROPENSITY_JWT_KEYS": key_server.url,
    }
    with serving(bento, tmp_path, environment) as served:

        def status(headers: dict[str, str]) -> int:
            return httpx2.post(f"{served.url}/v1/predict", json=EXAMPLE, headers=headers).status_code

        assert status(AUTHORIZED) == 200
        assert status({"Authorization": f"Bearer {signer.token()}"}) == 200
        assert status({"Authorization": f"Bearer {other.token()}"}) == 401
        key_server.signers = [other]
        # Unknown keys make the service read them anew, though not at once again.
        with_other = {"Authorization": f"Bearer {other.token()}"}
        assert eventually(lambda: status(with_other), lambda status: status == 200) == 200
        assert status({"Authorization": f"Bearer {signer.token()}"}) == 401
        expected = ["scoring", "jwt:scoring-batch", None, "jwt:scoring-batch", None]

        def callers() -> list[str | None]:
            """One after the other: several requests of one count once."""
            lines = [line.get("caller") for line in served.requests() if line["path"] == "/v1/predict"]
            return [caller for caller, _ in itertools.groupby(lines)]

        assert eventually(callers, lambda callers: callers == expected) == expected
        assert "eyJ" not in served.log.read_text()
