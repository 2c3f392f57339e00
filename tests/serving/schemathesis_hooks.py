"""Formats of this API for schemathesis, whose command loads this; see test_conformance.py."""

from __future__ import annotations

from typing import Any

import pyarrow
import schemathesis

from propensity.formats.media_types import ArrowStream, NdJson


@schemathesis.serializer(NdJson.media_type)
def write_text(_: Any, value: Any) -> bytes:
    """The generated value, unchanged."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@schemathesis.deserializer(ArrowStream.media_type)
def read_stream(_: Any, response: Any) -> Any:
    """The rows of a response."""
    return pyarrow.ipc.open_stream(response.content).read_all().to_pylist()
