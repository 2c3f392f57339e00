"""The stream that `joblib.dump` writes: a pickle, with the bytes of each array after the place that names it.

Rehearsal and loader read it themselves: joblib is not asked, which would also read files that a stream names.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from propensity.model.allow_list import Use
from propensity.model.rehearsal import Loader, Rehearsal
from propensity.model.stand_ins import Array, Dtype, Instance, Named, RehearsalError, refuse, require

_WRAPPER = ("joblib.numpy_pickle", "NumpyArrayWrapper")
_OLD_WRAPPERS = {
    (module, name)
    for module in ("joblib.numpy_pickle", "joblib.numpy_pickle_compat")
    for name in ("NDArrayWrapper", "ZNDArrayWrapper")
}


class JoblibRehearsal(Rehearsal):
    """Rehearses a stream of joblib, or a pickle.

    Attributes:
        has_arrays: whether it is a stream of joblib, and no pickle.
    """

    has_arrays = False

    def find_class(self, module: str, name: str) -> Named:
        """Return a stand-in for a class or function, and note whether it is listed.

        Raises:
            RehearsalError: it stands for an array in a file of its own.
        """
        if (module, name) == _WRAPPER:
            return Named(module, name, Use.CREATE)
        if (module, name) in _OLD_WRAPPERS:
            raise RehearsalError(
                "a joblib before 0.10 wrote it, with its arrays in files beside it; load it there, and write"
                " it again with `pickle.dump(pipeline, file)`"
            )
        return super().find_class(*_array_class(module, name))

    def build(self, made: Any, state: Any) -> Any:
        """Give a stand-in its state, and return what takes its place: of a wrapper, the array after it."""
        made = super().build(made, state)
        if type(made) is Instance and (made.by.module, made.by.name) == _WRAPPER:
            self.has_arrays = True
            return self._array(made, state)
        return made

    def _array(self, made: Instance, state: Any) -> Array:
        match state:
            case {"shape": tuple(shape), "dtype": Dtype() as dtype, "order": "C" | "F"}:
                require(all(type(n) is int and n >= 0 for n in shape), "has an array of an unusual shape")
            case _:
                refuse("describes an array of joblib as joblib does not")
        array = Array(made.by)
        array.is_built = True
        array.shape = shape
        if dtype.holds_objects:
            nested = Rehearsal(self.stream, self.allowed)
            nested.unlisted = self.unlisted
            found = nested.load()
            require(
                type(found) is Array and found.is_built and found.shape == shape,
                "has another array than it says",
            )
        else:
            self._skip(_padding(self.stream, state))
            self._skip(math.prod(shape) * dtype.itemsize)
        return array

    def _skip(self, size: int) -> None:
        while size > 0:
            part = self.stream.read(min(size, _CHUNK))
            require(bool(part), "ends within an array")
            size -= len(part)


class JoblibLoader(Loader):
    """Loads a stream of joblib that was rehearsed."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a class or function that is on the allow-list.

        Raises:
            RehearsalError: it is not.
        """
        return _Wrapper if (module, name) == _WRAPPER else super().find_class(*_array_class(module, name))

    def restored(self, instance: Any) -> Any:
        """Return what takes the place of an instance that was given its state: of a wrapper, its array."""
        if type(instance) is not _Wrapper:
            return super().restored(instance)
        shape, dtype = instance.shape, instance.dtype
        if dtype.hasobject:
            return Loader(self.stream, self.allowed).load()
        self.stream.read(_padding(self.stream, vars(instance)))
        content = bytearray(self.stream.read(math.prod(shape) * dtype.itemsize))
        array = np.frombuffer(content, dtype).reshape(shape, order=instance.order)
        return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


class _Wrapper:
    """Takes the state of joblib's wrapper."""

    shape: tuple[int, ...]
    order: Any
    dtype: Any


def _array_class(module: str, name: str) -> tuple[str, str]:
    """Return the class of an array: joblib also notes whether it was mapped into memory, where it was."""
    return ("numpy", "ndarray") if (module, name) == ("numpy", "memmap") else (module, name)


def _padding(stream: Any, state: dict[str, Any]) -> int:
    """Return how many bytes align the array; those of joblib before 1.2 are not aligned."""
    if state.get("numpy_array_alignment_bytes") is None:
        return 0
    return int.from_bytes(stream.read(1), "little")


_CHUNK = 2**20
