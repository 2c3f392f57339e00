"""The service log: one line of JSON per event on standard output.

It takes the events of BentoML, uvicorn and the supervisor, warnings and uncaught errors. A line has `time`,
`level`, `logger` and `message`, and `exception` where there is a traceback. The lines of requests come from
`access_log.py`.
"""

from __future__ import annotations

import json
import logging
import logging.config
import sys
import threading
from datetime import UTC, datetime
from typing import Any

from bentoml.exceptions import BentoMLException

from propensity.settings import LOG_LEVEL

logger = logging.getLogger("bentoml.propensity")


class JsonFormatter(logging.Formatter):
    """Formats a record as a line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, separators=(",", ":"))


def configure() -> bool:
    """Write lines of JSON from now on, if this process is `bentoml serve` or a worker of it.

    Returns:
        Whether this process is one of them.
    """
    # The name of BentoML's log handler in servers; its other commands, and tests, have others.
    if not any(handler.name == "tracehandler" for handler in logging.getLogger("bentoml").handlers):
        return False
    level = logging.getLevelNamesMapping()[LOG_LEVEL.upper()]
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": JsonFormatter}},
            "handlers": {
                "lines": {
                    "class": "logging.StreamHandler",
                    "formatter": "json",
                    "stream": "ext://sys.stdout",
                }
            },
            "loggers": {
                "bentoml": {"level": level, "propagate": True},
                "uvicorn": {"level": max(level, logging.WARNING), "propagate": True},
                "circus": {"level": max(level, logging.WARNING), "propagate": True},
            },
            "root": {"handlers": ["lines"], "level": max(level, logging.WARNING)},
        }
    )
    logging.captureWarnings(True)
    sys.excepthook = lambda _, error, __: _log(error)
    threading.excepthook = lambda caught: _log(caught.exc_value)
    sys.unraisablehook = lambda caught: _log(caught.exc_value)
    return True


def _log(error: BaseException | None) -> None:
    # Errors that BentoML or this product raises on purpose are clear without a traceback.
    trace: Any = None if isinstance(error, BentoMLException) else error
    logger.critical("%s", " ".join(f"{error}".split()) or type(error).__name__, exc_info=trace)
