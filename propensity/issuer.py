"""The issuer of JWTs: verifies the access tokens of an OpenID Connect provider against its published keys.

On where `PROPENSITY_JWT_ISSUER` is set; docs/serving.md lists the settings.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt

from propensity.authorization import SCOPES, Caller
from propensity.metrics import report_stale
from propensity.problem import RETRY, Kind, ProblemError
from propensity.settings import SettingError, whole_number

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures that only the issuer can make; a secret that both sides know is not among them."""

MAX_TOKEN = 8_192
"""Characters of a JWT."""

KEYS_SECONDS = 60.0
"""After which the keys are read anew: so long a key that the issuer has withdrawn goes on being believed."""

KEYS_RETRY_SECONDS = 5.0
"""Between two readings at least, whoever sends tokens with unknown keys."""

MAX_KEYS_BYTES = 256 * 1024
KEYS_TIMEOUT_SECONDS = 5.0

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

logger = logging.getLogger("bentoml.propensity")


class Keys:
    """The public keys of an issuer (JWKS), from a file or a URL: kept, and read anew now and then.

    If they can not be read, those that were read before stay; a metric and the log say so.
    """

    def __init__(self, source: str) -> None:
        """The keys at a place.

        Args:
            source: a path, or an https URL (http on this machine only).

        Raises:
            SettingError: it is another kind of URL, or a file that can't be used.
        """
        self._source = source
        url = urlsplit(source)
        self._is_url = "://" in source
        is_safe = url.scheme == "https" or (url.scheme == "http" and url.hostname in _LOOPBACK)
        if self._is_url and not is_safe:
            raise SettingError(f"PROPENSITY_JWT_KEYS is {source!r}; keys come from a file or an https URL")
        self._keys: Mapping[str | None, jwt.PyJWK] = {}
        self._read_at = self._tried_at = float("-inf")
        self._reading = asyncio.Lock()
        self._background: asyncio.Task[None] | None = None
        if not self._is_url:
            try:
                self._keys = _keys(self._fetch())
            except (OSError, ValueError, jwt.PyJWTError) as error:
                raise SettingError(f"PROPENSITY_JWT_KEYS: {source}: {error}") from error

    async def key(self, name: str | None) -> jwt.PyJWK | None:
        """The key of this name (`kid`); without a name, the only one there is.

        Raises:
            ProblemError: 503, no keys could be read so far.
        """
        is_old = time.monotonic() - self._read_at > KEYS_SECONDS
        if self._keys and is_old and (self._background is None or self._background.done()):
            # Nobody waits for this one.
            self._background = asyncio.create_task(self._read())
        if name not in self._keys:
            await self._read()
        if not self._keys:
            raise ProblemError.of(Kind.KEYS_UNAVAILABLE, "the issuer's keys can not be had; try again", RETRY)
        return self._keys.get(name)

    async def _read(self) -> None:
        async with self._reading:
            if time.monotonic() - self._tried_at < KEYS_RETRY_SECONDS:
                return
            self._tried_at = time.monotonic()
            try:
                self._keys = _keys(await asyncio.to_thread(self._fetch))
            except (OSError, ValueError, jwt.PyJWTError) as error:
                report_stale("keys", True)
                kept = "those read before stay valid" if self._keys else "JWTs are answered 503 until then"
                logger.error("keys of the issuer, %s: %s; %s", self._source, error, kept)  # noqa: TRY400
            else:
                report_stale("keys", False)
                self._read_at = self._tried_at

    def _fetch(self) -> bytes:
        if not self._is_url:
            return Path(self._source).read_bytes()
        opener = urllib.request.build_opener(_NoRedirects())
        with opener.open(self._source, timeout=KEYS_TIMEOUT_SECONDS) as answer:
            content: bytes = answer.read(MAX_KEYS_BYTES + 1)
        if len(content) > MAX_KEYS_BYTES:
            raise ValueError(f"more than {MAX_KEYS_BYTES:,} bytes")
        return content


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Keys come from the place that was configured and from no other."""

    def redirect_request(self, *_: Any) -> None:
        """No other request."""


def _keys(content: bytes) -> dict[str | None, jwt.PyJWK]:
    document = json.loads(content)
    if not isinstance(document, dict):
        raise ValueError("not a JSON Web Key Set")  # noqa: TRY004 — handled with the other reasons
    keys = [
        key
        for key in jwt.PyJWKSet.from_dict(document).keys
        if key.key_type != "oct" and key.public_key_use in {None, "sig"}
    ]
    if not keys:
        raise ValueError("no public key for signatures in it")
    only: dict[str | None, jwt.PyJWK] = {None: keys[0]} if len(keys) == 1 else {}
    return only | {key.key_id: key for key in keys}


class Issuer:
    """Takes the JWTs of one issuer for one audience."""

    def __init__(
        self, issuer: str, audience: str, keys: Keys, algorithms: tuple[str, ...], leeway_seconds: int
    ) -> None:
        """An issuer.

        Args:
            issuer: the claim `iss`.
            audience: one of the claim `aud`.
            keys: of the issuer.
            algorithms: that are believed.
            leeway_seconds: by which the clocks may differ.
        """
        self._issuer = issuer
        self._audience = audience
        self._keys = keys
        self._algorithms = algorithms
        self._leeway_seconds = leeway_seconds

    @classmethod
    def from_environment(cls) -> Issuer | None:
        """The issuer that is configured, if one is.

        Raises:
            SettingError: it is configured in part only, or wrongly.
        """
        names = ("PROPENSITY_JWT_ISSUER", "PROPENSITY_JWT_AUDIENCE", "PROPENSITY_JWT_KEYS")
        values = [os.environ.get(name, "") for name in names]
        if not any(values):
            return None
        if not all(values):
            missing = ", ".join(name for name, value in zip(names, values, strict=True) if not value)
            raise SettingError(f"{missing}: not set; for JWTs set {', '.join(names)}, or none of them")
        issuer, audience, source = values
        algorithms = tuple(os.environ.get("PROPENSITY_JWT_ALGORITHMS", "RS256,ES256").split(","))
        unknown = [name for name in algorithms if name not in ALGORITHMS]
        if unknown:
            raise SettingError(
                f"PROPENSITY_JWT_ALGORITHMS names {', '.join(map(repr, unknown))}; there are"
                f" {', '.join(ALGORITHMS)}"
            )
        leeway = whole_number("PROPENSITY_JWT_LEEWAY_SECONDS", 30, at_least=0)
        return cls(issuer, audience, Keys(source), algorithms, leeway)

    async def caller(self, token: str) -> Caller | None:
        """Who the JWT speaks of; None, if it is none or is not to be believed.

        Raises:
            ProblemError: 503, no keys could be read so far.
        """
        if token.count(".") != 2 or len(token) > MAX_TOKEN:  # noqa: PLR2004 — header, claims, signature
            return None
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in self._algorithms:
                return None
            key = await self._keys.key(header.get("kid"))
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=list(self._algorithms),
                issuer=self._issuer,
                audience=self._audience,
                leeway=self._leeway_seconds,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError:
            return None
        return Caller(f"jwt:{claims['sub']}", _scopes(claims))


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Of the claim `scope` (RFC 9068), or `scp`, as some issuers call it."""
    given = claims.get("scope", claims.get("scp", ""))
    names = given.split() if isinstance(given, str) else given if isinstance(given, list) else []
    return frozenset(name for name in names if name in SCOPES)
