"""Stand-ins: what the rehearsal makes in place of the objects that a pickle describes.

They hold data and execute nothing. Some check what they are given, because the real object would believe it:
numpy takes the bytes of a pickle for pointers if a data type claims so, and reads beyond a list that is too
short; Arrow reads where offsets point to; hashing a tuple in a tuple in a tuple ends the process.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import numpy as np

from propensity.model.allow_list import Use


class RehearsalError(Exception):
    """The pickle must not be loaded; the message says why."""


class Named:
    """A class or function that a pickle names."""

    def __init__(self, module: str, name: str, use: Use) -> None:
        self.module = module
        self.name = name
        self.use = use

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Made:
    """What a call, or the creation of an instance, would have made."""

    def __init__(self, by: Named, arguments: tuple[Any, ...] = ()) -> None:
        self.by = by
        self.arguments = arguments
        self.is_built = False

    def build(self, state: Any) -> None:
        """Take the state that the pickle gives.

        Raises:
            RehearsalError: no pickler writes such a state.
        """
        # Its first state could have replaced the method that takes a second one.
        require(not self.is_built, f"gives {self.by} a state twice")
        self.is_built = True
        self._check(state)

    def _check(self, state: Any) -> None:
        """Check a state, in stand-ins for classes that would believe it."""

    def kept(self, state: Any) -> list[Any]:
        """Return what an object keeps of its state, as it is."""
        return [state]


class Instance(Made):
    """An instance of a listed class, whose state is its attributes."""

    def _check(self, state: Any) -> None:
        require(type(state) is dict, f"gives {self.by} a state that is no dictionary")
        for name in state:
            # Such as __reduce_ex__, which pickling it again would call.
            require(
                type(name) is str and not (name.startswith("__") and name.endswith("__")),
                f"gives {self.by} the attribute {name!r:.80}",
            )


class Dtype(Made):
    """A data type of numpy: a simple one, or a record of simple ones."""

    _SIMPLE = re.compile(r"[biufcmMOSUV]\d{1,9}")

    def __init__(self, by: Named, arguments: tuple[Any, ...]) -> None:
        super().__init__(by, arguments)
        match arguments:
            case (str(name), False | 0, True | 1) if self._SIMPLE.fullmatch(name):
                self.kind = name[0]
                self.itemsize = np.dtype(name).itemsize
            case _:
                refuse("makes an unusual data type of numpy")
        self.is_record = False

    @property
    def holds_objects(self) -> bool:
        """Whether its items are objects, not numbers or text."""
        return self.kind == "O"

    def _check(self, state: Any) -> None:
        match state:
            case (3, str(), None, names, fields, int(itemsize), int(), int(flags)):
                pass
            case (4, str(), None, None as names, None as fields, int(itemsize), int(), int(flags), tuple()):
                require(self.kind in "mM", "gives a data type of numpy a unit")
            case _:
                refuse("gives a data type of numpy an unusual state")
        self.is_record = names is not None
        require(
            itemsize in (-1, self.itemsize)
            and (flags == _OBJECT_FLAGS if self.holds_objects else flags & _HOLDS_POINTERS == 0)
            and (fields is None if names is None else self._fits(names, fields)),
            "gives a data type of numpy a state that does not fit",
        )

    def kept(self, state: Any) -> list[Any]:
        """Return what a data type keeps: its fields."""
        return [state[4]]

    def _fits(self, names: Any, fields: Any) -> bool:
        return (
            self.kind == "V"
            and type(names) is tuple
            and type(fields) is dict
            and list(names) == list(fields)
            and all(self._is_within(field) for field in fields.values())
        )

    def _is_within(self, field: Any) -> bool:
        match field:
            case (Dtype(holds_objects=False, is_record=False, itemsize=itemsize), int(offset)):
                return 0 <= offset <= self.itemsize - int(itemsize)
        return False


_OBJECT_FLAGS = 63
_HOLDS_POINTERS = 7
"""Flags of numpy's data types: of objects; and the three that say of items that they are pointers."""


class Array(Made):
    """An array of numpy, or a scalar."""

    def __init__(self, by: Named, arguments: tuple[Any, ...] = ()) -> None:
        super().__init__(by, arguments)
        self.shape: tuple[int, ...] = (0,)

    def _check(self, state: Any) -> None:
        match state:
            case (1, shape, dtype, _, content):
                self.fill(shape, dtype, content)
            case _:
                refuse("gives an array an unusual state")

    def fill(self, shape: Any, dtype: Any, content: Any) -> None:
        """Check that the content has as many items as the shape says.

        Raises:
            RehearsalError: it has not.
        """
        require(
            type(dtype) is Dtype and type(shape) is tuple and all(type(n) is int and n >= 0 for n in shape),
            "makes an array of an unusual shape or data type",
        )
        self.shape = shape
        if dtype.holds_objects:
            fits = type(content) is list and len(content) == math.prod(shape)
        else:
            fits = type(content) in {bytes, bytearray} and len(content) == math.prod(shape) * dtype.itemsize
        require(fits, "makes an array whose content is not of its shape")


class MaskedArray(Array):
    """An array of numpy with a mask."""

    def _check(self, state: Any) -> None:
        match state:
            case (_, shape, dtype, _, content, bytes(mask), _):
                self.fill(shape, dtype, content)
                require(len(mask) == math.prod(shape), "makes a mask that is not of its array's shape")
            case _:
                refuse("gives a masked array an unusual state")


class Partial(Made):
    """A function with arguments, as HistGradientBoosting keeps `check_array`."""

    def _check(self, state: Any) -> None:
        match state:
            case (Named() as function, (), dict(), None | {}) if str(function) == _CHECK_ARRAY:
                pass
            case _:
                refuse("makes a partial function of another function than check_array")

    def kept(self, state: Any) -> list[Any]:
        """Return what a partial function keeps: the arguments."""
        return [state[2]]


_CHECK_ARRAY = "sklearn.utils.validation.check_array"


def refuse(refusal: str) -> NoReturn:
    """Refuse a pickle.

    Raises:
        RehearsalError: always.
    """
    raise RehearsalError(f"the pickle {refusal}, which no pickler writes")


def require(holds: bool, refusal: str) -> None:
    """Refuse a pickle unless something holds.

    Raises:
        RehearsalError: it does not.
    """
    if not holds:
        refuse(refusal)


def require_keys(keys: Iterable[Any]) -> None:
    """Refuse keys of a dictionary, or members of a set, that nest: to hash them could end the process.

    Raises:
        RehearsalError: one does.
    """
    for key in keys:
        parts = key if type(key) is tuple else (key,)
        require(all(_is_plain(part) for part in parts), "has a key that no estimator has")


def _is_plain(key: Any) -> bool:
    return (
        key is None
        or type(key) in {str, int, float, bool, bytes, complex, frozenset, Named}
        or (type(key) is Array and str(key.by) == "numpy._core.multiarray.scalar")
        or (isinstance(key, Made) and key.by.use == Use.ANY)
    )


def call(function: Named, arguments: tuple[Any, ...]) -> Any:
    """Return what stands in for the result of a call.

    Raises:
        RehearsalError: no pickler writes such a call.
    """
    return _CALLS.get(str(function), Made)(function, arguments)


def _encode(_function: Named, arguments: tuple[Any, ...]) -> bytes:
    match arguments:
        case (str(text), "latin1"):
            return text.encode("latin1")
    refuse("calls _codecs.encode for another encoding")


def _bytes(_function: Named, arguments: tuple[Any, ...]) -> bytes:
    require(arguments == (), "calls builtins.bytes with an argument")
    return b""


def _bytearray(_function: Named, arguments: tuple[Any, ...]) -> bytearray:
    match arguments:
        case () | (bytes(),):
            return bytearray(*arguments)
    refuse("calls builtins.bytearray without bytes")


def _set(function: Named, arguments: tuple[Any, ...]) -> Made:
    match arguments:
        case (list(members),):
            require_keys(members)
            return Made(function, arguments)
    refuse(f"calls {function} without a list")


def _ordered_dictionary(function: Named, arguments: tuple[Any, ...]) -> Made:
    require(arguments == (), f"calls {function} with an argument")
    return Made(function, arguments)


def _reconstruct(function: Named, arguments: tuple[Any, ...]) -> Array:
    match arguments:
        case (Named(module="numpy", name="ndarray"), (0,), b"b" | "b"):
            return Array(function, arguments)
    refuse(f"calls {function} with unusual arguments")


def _masked_reconstruct(function: Named, arguments: tuple[Any, ...]) -> MaskedArray:
    match arguments:
        case (Named(module="numpy.ma", name="MaskedArray"), Named(module="numpy", name="ndarray"), (0,), "b"):
            return MaskedArray(function, arguments)
    refuse(f"calls {function} with unusual arguments")


def _from_buffer(function: Named, arguments: tuple[Any, ...]) -> Array:
    match arguments:
        case (content, Dtype(holds_objects=False) as dtype, shape, *_):
            return _filled(function, arguments, shape, dtype, content)
    refuse("makes an array of objects from bytes")


def _scalar(function: Named, arguments: tuple[Any, ...]) -> Array:
    match arguments:
        case (Dtype(holds_objects=False) as dtype, content):
            return _filled(function, arguments, (), dtype, content)
    refuse("makes a scalar of objects from bytes")


def _filled(function: Named, arguments: Any, shape: Any, dtype: Dtype, content: Any) -> Array:
    array = Array(function, arguments)
    array.fill(shape, dtype, content)
    array.is_built = True
    return array


def _tree(function: Named, arguments: tuple[Any, ...]) -> Made:
    match arguments:
        case (int(), Array(shape=(count,)), int(outputs)) if count == outputs:
            return Made(function, arguments)
    refuse(f"calls {function} with unusual arguments")


def _partial(function: Named, arguments: tuple[Any, ...]) -> Partial:
    match arguments:
        case (Named() as of,) if str(of) == _CHECK_ARRAY:
            return Partial(function, arguments)
    refuse("makes a partial function of another function than check_array")


def _index(function: Named, arguments: tuple[Any, ...]) -> Made:
    match arguments:
        case (Named(module="pandas", name="Index" | "RangeIndex"), dict(parts)) if parts.keys() <= {
            "data",
            "name",
            "start",
            "stop",
            "step",
        }:
            return Made(function, arguments)
    refuse(f"calls {function} with unusual arguments")


def _arrow_buffer(function: Named, arguments: tuple[Any, ...]) -> Made:
    match arguments:
        case (bytes() | bytearray(),):
            return Made(function, arguments)
    refuse(f"calls {function} without bytes")


def _arrow_text(function: Named, arguments: tuple[Any, ...]) -> Made:
    match arguments:
        case ((Made(arguments=("large_string",)), int(length), int(), 0, [valid, starts, text], [], None),):
            if length:
                offsets = np.frombuffer(_content(starts), np.int64, length + 1)
                require(
                    bool(offsets[0] >= 0 and (np.diff(offsets) >= 0).all())
                    and int(offsets[-1]) <= len(_content(text))
                    and (valid is None or 8 * len(_content(valid)) >= length),
                    "makes an Arrow array whose text is outside it",
                )
            return Made(function, arguments)
    refuse("makes an unusual Arrow array")


def _content(buffer: Any) -> Any:
    match buffer:
        case None:
            return b""
        case Made(arguments=(bytes() | bytearray() as content,)):
            return content
    refuse("makes an Arrow array without buffers")


_CALLS: dict[str, Callable[[Named, tuple[Any, ...]], Any]] = {
    "_codecs.encode": _encode,
    "builtins.bytearray": _bytearray,
    "builtins.bytes": _bytes,
    "builtins.frozenset": _set,
    "builtins.set": _set,
    "collections.OrderedDict": _ordered_dictionary,
    "functools.partial": _partial,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy._core.numeric._frombuffer": _from_buffer,
    "numpy.dtype": Dtype,
    "numpy.ma.core._mareconstruct": _masked_reconstruct,
    "pandas.core.indexes.base._new_Index": _index,
    "pyarrow.lib._restore_array": _arrow_text,
    "pyarrow.lib.py_buffer": _arrow_buffer,
    "sklearn.tree._tree.Tree": _tree,
}
"""Calls whose arguments are checked."""
