"""Settings of the service, from environment variables; docs/serving.md lists them."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

from bentoml.exceptions import BentoMLException


class SettingError(BentoMLException):
    """A setting that can't be used; the message names it and its valid values."""


def whole_number(name: str, default: int, at_least: int, at_most: int | None = None) -> int:
    """Return a setting that is a whole number.

    Raises:
        SettingError: it is set to anything else.
    """
    value = os.environ.get(name, str(default))
    is_number = value.isascii() and value.isdecimal()
    if not is_number or int(value) < at_least or (at_most is not None and int(value) > at_most):
        limit = "" if at_most is None else f" and at most {at_most}"
        raise SettingError(f"{name} is {value!r}; it must be a whole number, at least {at_least}{limit}")
    return int(value)


def check_names() -> None:
    """Check that every `PROPENSITY_` variable is a setting, since a misspelt one would do nothing.

    Raises:
        SettingError: one is not; the message names the nearest setting.
    """
    for name in sorted(os.environ):
        if name.startswith("PROPENSITY_") and name not in NAMES and not _OF_A_SERVICE.fullmatch(name):
            nearest = difflib.get_close_matches(name.upper(), NAMES, n=1, cutoff=0)[0]
            raise SettingError(f"{name} is set, but there is no such setting; the nearest is {nearest}")


def resolve_paths() -> None:
    """Make the paths in settings absolute, since workers start in other folders."""
    for name in PATHS:
        value = os.environ.get(name)
        if value and "://" not in value:
            os.environ[name] = str(Path(value).absolute())


def one_of(name: str, default: str, *values: str) -> str:
    """Return a setting that is one of some words.

    Raises:
        SettingError: it is set to anything else.
    """
    value = os.environ.get(name, default)
    if value not in values:
        raise SettingError(f"{name} is {value!r}; it must be one of {', '.join(values)}")
    return value


def unreadable(error: Exception) -> str:
    """Return why the file of a setting can't be read, and the remedy if it is known."""
    if isinstance(error, PermissionError):
        return (
            f"the service runs as uid {os.geteuid()} and may not read it; make that user its owner (chown),"
            " let it read the file (chmod; in Kubernetes, fsGroup), or run as its owner (docker run --user)"
        )
    if isinstance(error, IsADirectoryError):
        return "it is a folder; name the file in it"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8; save it as UTF-8"
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def tracing() -> dict[str, object]:
    """Return BentoML's tracing settings: spans go to the OTLP endpoint of OpenTelemetry's variables, if set.

    Raises:
        SettingError: the share of requests to trace is not a number from 0 to 1.
    """
    if not (os.environ.get(_OTLP) or os.environ.get(_OTLP_TRACES)):
        return {}
    share = os.environ.get(_SHARE, "1")
    if not re.fullmatch(r"(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", share, re.ASCII | re.I) or float(share) > 1:
        raise SettingError(f"{_SHARE} is {share!r}; it must be the share of requests to trace, such as 0.05")
    return {
        "exporter_type": "otlp",
        "otlp": {"protocol": "http"},
        "sample_rate": float(share),
        "excluded_urls": "livez,readyz,healthz,v2/health,metrics",
    }


def model_tag(name: str) -> str:
    """Return a setting that is the tag of an imported model; empty if it is not set.

    Raises:
        SettingError: it is set to anything else.
    """
    value = os.environ.get(name, "")
    if value and not re.fullmatch("[a-z][a-z0-9_-]*:(latest|[0-9a-f]{12})", value):
        raise SettingError(
            f"{name} is {value!r}; it must be a model tag, as import_model.py prints it, or NAME:latest"
        )
    return value


NAMES = frozenset(
    {
        "PROPENSITY_ALLOW",
        "PROPENSITY_CHALLENGER",
        "PROPENSITY_DRAIN_SECONDS",
        "PROPENSITY_JWT_ALGORITHMS",
        "PROPENSITY_JWT_AUDIENCE",
        "PROPENSITY_JWT_AUDIENCE_CLAIM",
        "PROPENSITY_JWT_ISSUER",
        "PROPENSITY_JWT_KEYS",
        "PROPENSITY_JWT_LEEWAY_SECONDS",
        "PROPENSITY_JWT_METRICS",
        "PROPENSITY_JWT_PREDICT",
        "PROPENSITY_JWT_SCOPE_CLAIMS",
        "PROPENSITY_KEEP_ALIVE_SECONDS",
        "PROPENSITY_LOG_FOLDER",
        "PROPENSITY_LOG_KEY",
        "PROPENSITY_LOG_LEVEL",
        "PROPENSITY_LOG_OMIT",
        "PROPENSITY_LOG_PSEUDONYMS",
        "PROPENSITY_LOG_ROWS",
        "PROPENSITY_LOG_SECONDS",
        "PROPENSITY_MAX_LATENCY_MS",
        "PROPENSITY_MAX_MERGED_ROWS",
        "PROPENSITY_MODEL",
        "PROPENSITY_MODEL_KEY",
        "PROPENSITY_PAGE",
        "PROPENSITY_RATE_LIMIT",
        "PROPENSITY_RATE_LIMIT_REDIS",
        "PROPENSITY_SIGNING_KEY",
        "PROPENSITY_TOKENS_FILE",
        "PROPENSITY_WORKERS",
        # Read by `make` and Compose, which pass them on to containers.
        "PROPENSITY_IMAGE",
        "PROPENSITY_USER",
    }
)
"""Every setting whose name begins with `PROPENSITY_`."""

PATHS = (
    "PROPENSITY_ALLOW",
    "PROPENSITY_TOKENS_FILE",
    "PROPENSITY_MODEL_KEY",
    "PROPENSITY_SIGNING_KEY",
    "PROPENSITY_LOG_FOLDER",
    "PROPENSITY_LOG_KEY",
    "PROPENSITY_JWT_KEYS",
    "BENTOML_HOME",
    "BENTOML_CONFIG",
    "SSL_CERT_FILE",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
)
"""Settings that are paths."""

_OF_A_SERVICE = re.compile(
    r"PROPENSITY_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""Variables that Kubernetes sets in pods for a Service called `propensity` or `propensity-...`."""

_OTLP, _OTLP_TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_SHARE = "OTEL_TRACES_SAMPLER_ARG"

MODEL = model_tag("PROPENSITY_MODEL")
"""Tag of the model that is served; empty for the only one in the store."""

CHALLENGER_MODEL = model_tag("PROPENSITY_CHALLENGER")
"""Tag of the model that is compared with it; empty for none."""

LOG_LEVEL = one_of("PROPENSITY_LOG_LEVEL", "info", "debug", "info", "warning", "error")
"""Least level of the service's own log lines; the lines of requests are always written."""

HAS_PAGE = one_of("PROPENSITY_PAGE", "on", "on", "off") == "on"
"""Whether the page at `/try` is served."""

WORKERS = whole_number("PROPENSITY_WORKERS", 1, at_least=1)
"""Processes that predict; each uses one core and loads its own model."""

MAX_MERGED_ROWS = whole_number("PROPENSITY_MAX_MERGED_ROWS", 512, at_least=2)
"""Single predictions that one model call may merge."""

MAX_LATENCY_MS = whole_number("PROPENSITY_MAX_LATENCY_MS", 10_000, at_least=1)
"""Milliseconds to predict a request; after that it is answered 503."""

KEEP_ALIVE_SECONDS = whole_number("PROPENSITY_KEEP_ALIVE_SECONDS", 3_660, at_least=1)
"""Seconds that a connection may be idle, unless `bentoml serve --timeout-keep-alive` sets them.

Gateways keep an idle connection for an hour at most (Envoy). The service must keep it longer, or it could
close it while a request is on its way."""

DRAIN_SECONDS = whole_number("PROPENSITY_DRAIN_SECONDS", 5, at_least=0, at_most=15)
"""Seconds that a worker goes on answering after SIGTERM while it reports that it is not ready.

BentoML's supervisor kills it after 30 s, and the last request needs time, too."""
