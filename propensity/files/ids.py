"""Ids: the types that can name a row, and how CSV and JSON spell them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def can_name(kind: pa.DataType) -> bool:
    """Return whether every output format can write ids of this type."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_span = pa.types.is_duration(kind) or pa.types.is_interval(kind)
    is_simple = (
        pa.types.is_primitive(kind)
        or pa.types.is_null(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or _is_bytes(kind)
    )
    return isinstance(kind, pa.UuidType) or (is_simple and not is_span)


def spell(ids: pa.Array) -> pa.Array:
    """Return ids as CSV and JSON can hold them.

    Whole numbers, booleans and texts stay as they are. Floats that are not finite become missing values;
    decimals, dates and times become text (times with a zone in UTC); bytes become hexadecimal text.
    """
    if pa.types.is_dictionary(ids.type):
        ids = ids.dictionary_decode()
    kind = ids.type
    if pa.types.is_floating(kind):
        ids = ids.cast(pa.float64())
        return pc.if_else(pc.is_finite(ids), ids, pa.scalar(None, pa.float64()))
    if isinstance(kind, pa.UuidType):
        return pa.array([None if uuid is None else str(uuid) for uuid in ids.to_pylist()], pa.string())
    if _is_bytes(kind):
        return pa.array([None if value is None else value.hex() for value in ids.to_pylist()], pa.string())
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        # Cast through the number: not every machine knows the names of time zones.
        texts = ids.cast(pa.int64()).cast(pa.timestamp(kind.unit)).cast(pa.string())
        return pc.binary_join_element_wise(texts, "Z", "")
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return ids
    return ids.cast(pa.string())


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )
