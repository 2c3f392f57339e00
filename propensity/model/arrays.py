"""Arrays as bytes: what compiled forms are stored as, an .npz file without pickle."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray[Any, Any]]


def pack(arrays: Arrays) -> bytes:
    """Return named arrays as bytes."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def unpack(content: bytes) -> dict[str, Any]:
    """Return the named arrays that `pack` wrote.

    Raises:
        ValueError: the bytes are no such file, or an array of it needs pickle.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)
