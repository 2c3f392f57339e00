"""Tokens: the callers of the API and their scopes, in a file that the service reloads when it changes.

Callers hold a token, the file its SHA-256. Each line is `name:scope:sha256`; a token with two scopes has two
lines. Empty lines and lines that start with # are skipped.

    PROPENSITY_TOKENS_FILE=tokens propensity tokens new scoring-team --scope predict

prints a new token, once, and appends its lines.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from bentoml.exceptions import BentoMLException

from propensity.access.authorization import SCOPES, Caller, TokenScope
from propensity.http.request_metrics import report_stale
from propensity.settings import unreadable

FILE_VARIABLE = "PROPENSITY_TOKENS_FILE"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LINE = re.compile(rf"({_NAME.pattern}):([^:]*):([0-9a-f]{{64}})")

logger = logging.getLogger("bentoml.propensity")


class TokensError(BentoMLException):
    """A tokens file that can't be used; the message names the line and the way out."""


def _read(path: Path) -> dict[bytes, Caller]:
    """The callers of a tokens file by the digest of their token."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte-order mark
    except FileNotFoundError as error:
        raise TokensError(f"tokens file {path}: {error.strerror}; {_HOW_TO}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise TokensError(f"tokens file {path}: {unreadable(error)}") from error
    callers: dict[bytes, Caller] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        where = f"tokens file {path}, line {number}"
        if match is None:
            raise TokensError(f"{where}: not name:scope:sha256; {_HOW_TO}")
        name, scope, sha256 = match.groups()
        if scope not in SCOPES:
            raise TokensError(f"{where}: unknown scope {scope!r}; the scopes are {', '.join(SCOPES)}")
        digest = bytes.fromhex(sha256)
        known = callers.get(digest, Caller(name, frozenset()))
        callers[digest] = Caller(known.name, known.scopes | {scope})
    if not callers:
        raise TokensError(f"tokens file {path}: holds no token, and the API is never open; {_HOW_TO}")
    return callers


_HOW_TO = f"add one with `{FILE_VARIABLE}=FILE propensity tokens new NAME --scope predict`"


class Tokens:
    """The tokens of a file, reloaded when it changes; if the file turns bad, the last good tokens stay."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version = self._current_version()
        self._callers = _read(path)

    @classmethod
    def from_environment(cls) -> Tokens:
        """The tokens of the file that `PROPENSITY_TOKENS_FILE` names.

        Raises:
            TokensError: the variable is not set, or the file can't be used.
        """
        path = os.environ.get(FILE_VARIABLE)
        if not path:
            raise TokensError(f"{FILE_VARIABLE} is not set, and the API is never open; {_HOW_TO}")
        return cls(Path(path))

    async def caller(self, token: str) -> Caller | None:
        """The caller that a token belongs to; None if the token is not in the file."""
        self._refresh()
        digest = hashlib.sha256(token.encode()).digest()
        owner = None
        # Compare with all of them, in constant time: the time taken must tell nothing about any.
        for sha256, caller in self._callers.items():
            if hmac.compare_digest(sha256, digest):
                owner = caller
        return owner

    def _refresh(self) -> None:
        version = self._current_version()
        if version == self._version:
            return
        self._version = version
        try:
            self._callers = _read(self._path)
        except TokensError as error:
            report_stale("tokens", True)
            logger.error("%s; the tokens read before stay valid", error)  # noqa: TRY400 — no trace: it is the file
        else:
            report_stale("tokens", False)
            logger.info("tokens file %s: reloaded", self._path)

    def _current_version(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size


def new_token(path: Path, name: str, scopes: Sequence[TokenScope]) -> str:
    """Make a token, append its lines to the tokens file, and return the token, which is stored nowhere.

    Args:
        path: the tokens file.
        name: the name of the caller.
        scopes: what the caller may do.

    Raises:
        TokensError: the name is not allowed, or the file can't be written.
    """
    if not _NAME.fullmatch(name):
        raise TokensError(f"{name!r}: a name is letters, digits, dots, dashes and underscores")
    token = secrets.token_urlsafe(32)
    digest = hashlib.sha256(token.encode()).hexdigest()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        with path.open("a", encoding="utf-8") as file:
            if before and not before.endswith("\n"):
                file.write("\n")
            file.writelines(f"{name}:{scope}:{digest}\n" for scope in dict.fromkeys(scopes))
    except OSError as error:
        raise TokensError(f"tokens file {path}: {error.strerror}") from error
    return token


def run(name: str, scopes: Sequence[TokenScope]) -> None:
    """Run the command `tokens new`."""
    path = os.environ.get(FILE_VARIABLE)
    if not path:
        sys.exit(f"propensity tokens: {FILE_VARIABLE} is not set; it names the file that the hash goes into")
    try:
        print(new_token(Path(path), name, scopes))
    except TokensError as error:
        sys.exit(f"propensity tokens: {error}")
