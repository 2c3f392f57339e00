"""What schemathesis needs to know of this API's formats; loaded by its command, see test_conformance.py."""

from __future__ import annotations

from typing import Any

import pyarrow
import schemathesis

from propensity.formats.media_types import ArrowStream, NdJson


@schemathesis.serializer(NdJson.media_type)
def write_text(_: Any, value: Any) -> bytes:
    """Whatever was generated, as it is."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@schemathesis.deserializer(ArrowStream.media_type)
def read_stream(_: Any, response: Any) -> Any:
    """The rows of an answer."""
    return pyarrow.ipc.open_stream(response.content).read_all().to_pylist()
