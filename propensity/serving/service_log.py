"""The log of the service: a line of JSON for each event, on standard output, whoever writes it.

BentoML's lines, uvicorn's, the supervisor's, warnings and what nobody caught: each is one line with `time`,
`level`, `logger` and `message`, and with the traceback as `exception` where there is one. The lines of
requests are written by `access_log.py`.
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
    """Makes a line of a record."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
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
        Whether it is.
    """
    # The name of BentoML's handler for servers; its commands, and tests, have others.
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
    # What BentoML and this product raise on purpose says all that there is to say.
    trace: Any = None if isinstance(error, BentoMLException) else error
    logger.critical("%s", " ".join(f"{error}".split()) or type(error).__name__, exc_info=trace)
