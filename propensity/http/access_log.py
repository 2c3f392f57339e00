"""The access log: one line of JSON per request on standard output: who called what, never the content.

Lines are written together: a write for each request takes a third of the time of a small prediction. A worker
that is killed loses the lines of its last tenth of a second.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from propensity.http.exchange import Exchange

SHORT = 256
"""Characters of a path, and of the name of a client, up to which they are remembered."""

_FIRST_ERROR = 400
"""The lowest status that is logged of health checks and scrapes too."""

_quoted = json.JSONEncoder().encode
"""A text as JSON; for texts much faster than `json.dumps`."""

logger = logging.getLogger("bentoml.propensity")


class AccessLog:
    """Writes the lines of exchanges."""

    def __init__(self, skip_paths: Iterable[str]) -> None:
        """Create a log.

        Args:
            skip_paths: paths of which only errors are logged.
        """
        self._skip_paths = frozenset(skip_paths)
        self._is_failing = False

    def write(self, exchanges: Sequence[Exchange]) -> None:
        """Write the lines of exchanges that have ended."""
        since_1970 = time.time() - time.perf_counter()
        lines = "".join(
            _line(exchange, since_1970)
            for exchange in exchanges
            if exchange.path not in self._skip_paths or exchange.status >= _FIRST_ERROR
        )
        if not lines:
            return
        try:
            sys.stdout.write(lines)
            sys.stdout.flush()
        except OSError as error:  # such as a full disk; predictions do not depend on the log
            if not self._is_failing:
                logger.error("access log: %s; lines are lost", error)  # noqa: TRY400 — the trace says no more
            self._is_failing = True
        else:
            self._is_failing = False


@lru_cache(maxsize=16)
def _time(second: int) -> str:
    """A second since 1970 as the beginning of an ISO timestamp; many lines have the same."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=1_024)
def _who_and_what(client: tuple[Any, Any], caller: str | None, method: str, path: str) -> str:
    """The part of a line that many have in common."""
    host, port = client
    known = "" if caller is None else f',"caller":{_quoted(caller)}'
    return f'{_quoted(f"{host}:{port}")}{known},"method":{_quoted(method)},"path":{_quoted(path)}'


def _line(exchange: Exchange, since_1970: float) -> str:
    second, part = divmod(exchange.began + exchange.seconds + since_1970, 1)
    rows = "" if exchange.rows is None else f',"rows":{exchange.rows}'
    model = "" if exchange.model is None else f',"model":"{exchange.model}"'
    problem = "" if exchange.problem is None else f',"problem":"{exchange.problem}"'
    disbelief = "" if exchange.disbelief is None else f',"disbelief":{_quoted(exchange.disbelief)}'
    trace = "" if exchange.trace is None else f',"trace_id":"{exchange.trace}"'
    is_short = len(exchange.path) <= SHORT and len(str(exchange.client[0])) <= SHORT
    tell = _who_and_what if is_short else _who_and_what.__wrapped__
    who_and_what = tell(exchange.client, exchange.caller, exchange.method, exchange.path)
    # By hand: json takes three times as long for a dict; msgspec, no faster, writes other bytes for
    # milliseconds and for characters beyond ASCII.
    return (
        f'{{"time":"{_time(int(second))}.{int(part * 1_000):03d}+00:00",'
        f'"request_id":"{exchange.request_id.decode()}","client":{who_and_what},"status":{exchange.status},'
        f'"ms":{exchange.seconds * 1_000:.3f}{rows}{model}{problem}{disbelief}{trace}}}\n'
    )
