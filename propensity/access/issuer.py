"""The issuer of JWTs: verifies the access tokens of an OpenID Connect provider against its published keys.

Used where `PROPENSITY_JWT_ISSUER` is set; docs/serving.md lists the settings.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt

from propensity import __version__
from propensity.access.authorization import SCOPES, Caller, DisbeliefError, TokenScope
from propensity.contract.problem import RETRY, Kind, ProblemError
from propensity.http.request_metrics import report_stale
from propensity.settings import SettingError, unreadable, whole_number

_OF_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_OF_KEYS: Mapping[tuple[str, str | None], tuple[str, ...]] = {
    ("RSA", None): _OF_RSA,
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
    ("OKP", "Ed448"): ("EdDSA",),
}
"""Algorithms of a key that states none, by its type and curve (RFC 7518, 6; RFC 8037)."""

ALGORITHMS = (*_OF_RSA, "ES256", "ES384", "ES512", "EdDSA")
"""Algorithms whose signatures only the issuer can make; those with a shared secret are left out."""

MAX_TRIED_KEYS = 4
"""Keys to try for a JWT that does not name the key that signed it."""

MAX_TOKEN = 8_192
"""Characters that a JWT may have."""

KEYS_SECONDS = 60.0
"""Seconds until the keys are reloaded; for so long a key that the issuer has withdrawn is still believed."""

KEYS_RETRY_SECONDS = 5.0
"""Minimum seconds between two reloads, however many tokens name unknown keys."""

MAX_KEYS_BYTES = 256 * 1024
KEYS_TIMEOUT_SECONDS = 5.0

_UNREADABLE = (OSError, ValueError, RecursionError, HTTPException)

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

logger = logging.getLogger("bentoml.propensity")


class Keys:
    """The public keys of an issuer (JWKS), from a file or a URL: cached, and reloaded from time to time.

    While they can't be reloaded, the previous ones stay in use; a metric and the log say so. PyJWT's client
    reads no files, blocks the event loop, and refuses all tokens while it can't reload.
    """

    def __init__(self, source: str) -> None:
        """Read the keys, if they are in a file.

        Args:
            source: a path, or an https URL (http on this machine only).

        Raises:
            SettingError: the source is another kind of URL, or a file that can't be used.
        """
        self._source = source
        url = urlsplit(source)
        self._is_url = "://" in source
        is_safe = url.scheme == "https" or (url.scheme == "http" and url.hostname in _LOOPBACK)
        if self._is_url and not is_safe:
            raise SettingError(f"PROPENSITY_JWT_KEYS is {source!r}; keys come from a file or an https URL")
        self._keys: Sequence[_Key] = ()
        self._read_at = self._tried_at = float("-inf")
        self._reading = asyncio.Lock()
        self._background: asyncio.Task[None] | None = None
        if not self._is_url:
            try:
                self._keys = _keys(self._fetch())
            except _UNREADABLE as error:
                raise SettingError(f"PROPENSITY_JWT_KEYS: {source}: {unreadable(error)}") from error

    async def candidates(self, name: object, algorithm: str) -> list[jwt.PyJWK]:
        """The keys that may have signed a JWT, at most `MAX_TRIED_KEYS`.

        Args:
            name: the `kid` that the JWT states; None for any key.
            algorithm: the algorithm that the JWT states.

        Raises:
            ProblemError: 503, no keys could be read so far.
            DisbeliefError: no key has the name, or none fits the algorithm.
        """
        is_old = time.monotonic() - self._read_at > KEYS_SECONDS
        if self._keys and is_old and (self._background is None or self._background.done()):
            # In the background: no request waits for it.
            self._background = asyncio.create_task(self._read())
        if not self._of(name):
            await self._read()
        if not self._keys:
            raise ProblemError.of(Kind.KEYS_UNAVAILABLE, "the issuer's keys can not be had; try again", RETRY)
        keys = self._of(name)
        if not keys:
            raise DisbeliefError("no key of the issuer has the name (kid) that it gives")
        fitting = [key.by_algorithm[algorithm] for key in keys if algorithm in key.by_algorithm]
        if not fitting:
            raise DisbeliefError(f"the key that it names does not sign with {algorithm}")
        return fitting[:MAX_TRIED_KEYS]

    def _of(self, name: object) -> Sequence[_Key]:
        return self._keys if name is None else [key for key in self._keys if key.name == name]

    async def _read(self) -> None:
        async with self._reading:
            if time.monotonic() - self._tried_at < KEYS_RETRY_SECONDS:
                return
            self._tried_at = time.monotonic()
            try:
                self._keys = _keys(await asyncio.to_thread(self._fetch))
            except _UNREADABLE as error:
                report_stale("keys", True)
                kept = "those read before stay valid" if self._keys else "JWTs are answered 503 until then"
                logger.error("keys of the issuer, %s: %s; %s", self._source, unreadable(error), kept)  # noqa: TRY400
            else:
                report_stale("keys", False)
                self._read_at = self._tried_at

    def _fetch(self) -> bytes:
        if not self._is_url:
            return Path(self._source).read_bytes()
        # Servers on this machine are called directly, whatever proxy is configured.
        direct = [urllib.request.ProxyHandler({})] if urlsplit(self._source).hostname in _LOOPBACK else []
        opener = urllib.request.build_opener(_NoRedirects(), *direct)
        # Some issuers refuse the User-Agent that urllib sends.
        about = {"User-Agent": f"propensity-bento/{__version__}", "Accept": "application/json"}
        request = urllib.request.Request(self._source, headers=about)  # noqa: S310 — as configured
        with opener.open(request, timeout=KEYS_TIMEOUT_SECONDS) as answer:
            content: bytes = answer.read(MAX_KEYS_BYTES + 1)
        if len(content) > MAX_KEYS_BYTES:
            raise ValueError(f"more than {MAX_KEYS_BYTES:,} bytes")
        return content


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirects: keys come only from the configured place."""

    def redirect_request(self, *_: Any) -> None:
        """Make no other request."""


@dataclass(frozen=True)
class _Key:
    """A public key of the issuer, by each algorithm that it may have signed with."""

    name: str | None
    by_algorithm: Mapping[str, jwt.PyJWK]


def _keys(content: bytes) -> list[_Key]:
    document = json.loads(content.decode("utf-8-sig"))
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("not a JSON Web Key Set")  # noqa: TRY004 — handled with the other reasons
    keys = [key for each in document["keys"] if (key := _key(each)) is not None]
    if not keys:
        raise ValueError("no public key for signatures in it")
    return keys


def _key(published: Any) -> _Key | None:
    """The key of a JWK; None if it does not verify accepted signatures. The other keys are still used."""
    if not isinstance(published, dict):
        return None
    # A member that is null counts as absent.
    published = {name: value for name, value in published.items() if value is not None}
    operations = published.get("key_ops", ["verify"])
    if published.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    curve = None if published.get("kty") == "RSA" else str(published.get("crv"))
    possible = _OF_KEYS.get((str(published.get("kty")), curve), ())
    by_algorithm = {}
    for algorithm in possible:
        if published.get("alg", algorithm) == algorithm:
            try:
                by_algorithm[algorithm] = jwt.PyJWK(published, algorithm=algorithm)
            except (jwt.PyJWTError, ValueError, TypeError):
                return None
    return _Key(published.get("kid"), by_algorithm) if by_algorithm else None


@dataclass(frozen=True)
class Claims:
    """How to read the claims of an issuer.

    Attributes:
        audience: the claim that says whom a JWT is made for.
        scopes: the claims that say what its bearer may do; `a.b` is the member b of the claim a.
        values: scopes of this API by the value that stands for them in these claims.
    """

    audience: str
    scopes: tuple[str, ...]
    values: Mapping[str, TokenScope]

    @classmethod
    def from_environment(cls) -> Claims:
        """The configured claims."""
        values: dict[str, TokenScope] = {}
        for scope in SCOPES:
            values |= dict.fromkeys(_listed(f"PROPENSITY_JWT_{scope.upper()}", scope), scope)
        return cls(
            os.environ.get("PROPENSITY_JWT_AUDIENCE_CLAIM") or "aud",
            _listed("PROPENSITY_JWT_SCOPE_CLAIMS", "scope,scp"),
            values,
        )

    def scopes_of(self, claims: Mapping[str, Any]) -> frozenset[TokenScope]:
        """What the bearer may do; claims are texts with spaces (RFC 9068), or lists, as of some issuers."""
        scopes: set[TokenScope] = set()
        for name in self.scopes:
            claim = claims.get(name)
            if claim is None and "." in name:
                claim = claims
                for part in name.split("."):
                    claim = claim.get(part) if isinstance(claim, dict) else None
            values = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else []
            scopes |= {
                self.values[value] for value in values if isinstance(value, str) and value in self.values
            }
        return frozenset(scopes)


def _listed(setting: str, default: str) -> tuple[str, ...]:
    given = os.environ.get(setting) or default
    return tuple(name.strip() for name in given.split(",") if name.strip())


class Issuer:
    """Accepts the JWTs of one issuer for one audience."""

    def __init__(
        self,
        issuer: str,
        audience: str,
        keys: Keys,
        *,
        algorithms: tuple[str, ...],
        leeway_seconds: int,
        claims: Claims,
    ) -> None:
        """Create an issuer.

        Args:
            issuer: the claim `iss` of its JWTs.
            audience: the audience that a JWT must be made for.
            keys: the issuer's keys.
            algorithms: the algorithms that are accepted.
            leeway_seconds: seconds by which the clocks may differ.
            claims: how to read the claims.
        """
        self._claims = claims
        self._issuer = issuer
        self._audience = audience
        self._keys = keys
        self._algorithms = algorithms
        self._leeway_seconds = leeway_seconds

    @classmethod
    def from_environment(cls) -> Issuer | None:
        """The configured issuer, if any.

        Raises:
            SettingError: it is configured only in part, or wrongly.
        """
        names = ("PROPENSITY_JWT_ISSUER", "PROPENSITY_JWT_AUDIENCE", "PROPENSITY_JWT_KEYS")
        values = [os.environ.get(name, "") for name in names]
        if not any(values):
            return None
        if not all(values):
            missing = ", ".join(name for name, value in zip(names, values, strict=True) if not value)
            raise SettingError(f"{missing}: not set; for JWTs set {', '.join(names)}, or none of them")
        issuer, audience, source = values
        algorithms = _listed("PROPENSITY_JWT_ALGORITHMS", "RS256,ES256")
        unknown = [name for name in algorithms if name not in ALGORITHMS]
        if unknown:
            raise SettingError(
                f"PROPENSITY_JWT_ALGORITHMS names {', '.join(map(repr, unknown))}; it may name"
                f" {', '.join(ALGORITHMS)}"
            )
        leeway = whole_number("PROPENSITY_JWT_LEEWAY_SECONDS", 30, at_least=0)
        return cls(
            issuer,
            audience,
            Keys(source),
            algorithms=algorithms,
            leeway_seconds=leeway,
            claims=Claims.from_environment(),
        )

    async def caller(self, token: str) -> Caller | None:
        """The caller that a JWT names; None if the token is not a JWT.

        Raises:
            DisbeliefError: the JWT is not believed.
            ProblemError: 503, no keys could be read so far.
        """
        if token.count(".") != 2:  # noqa: PLR2004 — header, claims, signature
            return None
        if len(token) > MAX_TOKEN:
            raise DisbeliefError(f"it is longer than {MAX_TOKEN:,} characters")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise DisbeliefError("its header can't be read") from None
        algorithm = header.get("alg")
        if algorithm not in self._algorithms:
            raise DisbeliefError(f"its algorithm is not one of {', '.join(self._algorithms)}")
        for key in await self._keys.candidates(header.get("kid"), algorithm):
            try:
                claims = self._verified(token, key)
                break
            except jwt.InvalidSignatureError:
                continue
            except jwt.PyJWTError as error:
                raise DisbeliefError(self._why(error)) from None
        else:
            raise DisbeliefError("its signature is not one of the issuer's keys")
        # Cognito and Keycloak mark the tokens that are meant for the user's own application.
        if claims.get("token_use", "access") != "access" or claims.get("typ") in {"ID", "Refresh", "Offline"}:
            raise DisbeliefError("it is not an access token")
        return Caller(f"jwt:{claims['sub']}", self._claims.scopes_of(claims))

    def _verified(self, token: str, key: jwt.PyJWK) -> dict[str, Any]:
        is_usual = self._claims.audience == "aud"
        claims = jwt.decode(
            token,
            key,
            algorithms=list(self._algorithms),
            issuer=self._issuer,
            audience=self._audience if is_usual else None,
            leeway=self._leeway_seconds,
            options={
                "require": ["exp", "iat", "iss", self._claims.audience, "sub"],
                "verify_aud": is_usual,
            },
        )
        audiences = claims[self._claims.audience]
        if self._audience not in (audiences if isinstance(audiences, list) else [audiences]):
            raise jwt.InvalidAudienceError
        return claims

    def _why(self, error: jwt.PyJWTError) -> str:
        """Why a JWT is not believed, in our own words: no part of a token must get into a log."""
        if isinstance(error, jwt.MissingRequiredClaimError):
            return f"it has no claim {error.claim}"
        if isinstance(error, jwt.InvalidAudienceError):
            return f"it is not made for {self._audience} (claim {self._claims.audience})"
        if isinstance(error, jwt.InvalidIssuerError):
            return f"it is not by {self._issuer} (claim iss)"
        return next((why for kind, why in _WHY.items() if isinstance(error, kind)), "it can't be read")


_WHY = {
    jwt.ExpiredSignatureError: "it has expired (claim exp)",
    jwt.ImmatureSignatureError: "it is not valid yet (claims iat, nbf); compare the clocks",
}
