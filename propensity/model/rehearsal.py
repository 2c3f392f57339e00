"""The rehearsal of a pickle: its instructions are carried out on stand-ins, so that nothing of it runs.

A pickle is refused unless each name in it is on the allow-list and is used as listed there, and unless all
else is what Python's own pickler writes for data and objects: no instruction that only attackers use, no
second state, no attribute of a class or function changed, no bytes that numpy would take for pointers. One
rehearsal finds all names that are not listed.

The machine is the one that loads the pickle afterwards: Python's own, written in Python. (The faster one is
written in C, and two machines may read one file in two ways.)
"""

from __future__ import annotations

import pickle  # nosec B403
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, BinaryIO, ClassVar

from propensity.model.allow_list import MAPPINGS, VARIABLE, Use
from propensity.model.stand_ins import (
    Instance,
    Made,
    Named,
    RehearsalError,
    call,
    refuse,
    require,
    require_keys,
)

_Machine: Any = pickle._Unpickler


class _Restricted(_Machine):  # type: ignore[misc]
    """What rehearsal and loader have in common."""

    dispatch: ClassVar[dict[int, Any]] = dict(_Machine.dispatch)

    def __init__(self, stream: BinaryIO, allowed: Mapping[tuple[str, str], Use]) -> None:
        super().__init__(stream)
        self.stream = stream
        self.allowed = allowed

    def canonical(self, module: str, name: str) -> tuple[str, str]:
        """Return a name as Python 3 spells it: protocols below 3 spell it as Python 2 did."""
        if self.proto < 3:  # noqa: PLR2004
            return NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        return module, name


class Loader(_Restricted):
    """Loads a pickle that was rehearsed: finds what is on the allow-list, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a class or function that is on the allow-list.

        Raises:
            RehearsalError: it is not.
        """
        module, name = self.canonical(module, name)
        if (module, name) not in self.allowed:
            raise RehearsalError(f"the pickle names {module}.{name}, which is not on the allow-list")
        return getattr(import_module(module), name)

    def restored(self, instance: Any) -> Any:
        """Return what takes the place of an instance that was given its state."""
        if type(instance).__module__.startswith("scipy.sparse."):
            instance.check_format()  # Its compiled code writes where its indices point to.
        return instance

    def _load_build(self) -> None:
        self.load_build()
        self.stack[-1] = self.restored(self.stack[-1])

    dispatch: ClassVar[dict[int, Any]] = _Restricted.dispatch | {pickle.BUILD[0]: _load_build}


class Rehearsal(_Restricted):
    """Rehearses a pickle.

    Attributes:
        unlisted: the names that are not on the allow-list, in the order of the pickle.
        version: that of scikit-learn which the pickle's outermost estimator states, if any does.
    """

    def __init__(self, stream: BinaryIO, allowed: Mapping[tuple[str, str], Use]) -> None:
        super().__init__(stream, allowed)
        self.unlisted: dict[tuple[str, str], None] = {}
        self.version: str | None = None
        self._kept: dict[int, Any] = {}

    def find_class(self, module: str, name: str) -> Named:
        """Return a stand-in for a class or function, and note whether it is listed."""
        module, name = self.canonical(module, name)
        use = self.allowed.get((module, name))
        if use is None:
            self.unlisted[module, name] = None
        return Named(module, name, Use.ANY if use is None else use)

    def call(self, function: Any, arguments: Any) -> Any:
        """Return a stand-in for the result of a call."""
        require(type(function) is Named and type(arguments) is tuple, "calls what it has made")
        self._permit(Use.CALL, function, "calls")
        return call(function, arguments)

    def create(self, of: Any, arguments: Any) -> Any:
        """Return a stand-in for a new instance of a class."""
        require(type(of) is Named and type(arguments) is tuple, "creates an instance of what it has made")
        if Use.CALL in of.use:
            return call(of, arguments)
        self._permit(Use.CREATE, of, "creates")
        require(arguments == (), f"creates {of} with arguments")
        return Instance(of)

    def build(self, made: Any, state: Any) -> Any:
        """Give a stand-in its state, and return what takes its place."""
        require(isinstance(made, Made), "changes a class, or a function")
        self.hold(state)
        made.build(state)
        # What an object keeps was checked, and may not change afterwards.
        self._kept.update((id(kept), kept) for kept in made.kept(state))
        if type(state) is dict and type(version := state.get("_sklearn_version")) is str:
            self.version = version  # The outermost comes last.
        return made

    def hold(self, *values: Any) -> None:
        """Check that what an object or a container keeps is data, or may be held."""
        for value in values:
            if type(value) is Named:
                self._permit(Use.HOLD, value, "keeps")

    def _permit(self, use: Use, named: Named, does: str) -> None:
        if use not in named.use:
            raise RehearsalError(
                f"the pickle {does} {named}, and the allow-list has it for another use only; if your pipeline"
                f" needs that, review it, and write its name into the file that {VARIABLE} names"
            )

    def _load_call(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self.call(self.stack[-1], arguments)

    def _load_create(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self.create(self.stack[-1], arguments)

    def _load_create_with_names(self) -> None:
        require(self.stack.pop() == {}, "creates an instance with named arguments")
        self._load_create()

    def _load_build(self) -> None:
        state = self.stack.pop()
        self.stack[-1] = self.build(self.stack[-1], state)

    def _load_append(self) -> None:
        self._append(self.stack.pop())

    def _load_appends(self) -> None:
        self._append(*self.pop_mark())

    def _append(self, *values: Any) -> None:
        self.hold(*values)
        target = self._changed()
        require(type(target) is list or _is_own(target), "appends to what is no list")
        if type(target) is list:
            target.extend(values)

    def _load_item(self) -> None:
        value = self.stack.pop()
        self._set_items(self.stack.pop(), value)

    def _load_items(self) -> None:
        self._set_items(*self.pop_mark())

    def _set_items(self, *items: Any) -> None:
        target = self._changed()
        is_mapping = type(target) is dict or (
            isinstance(target, Made) and (target.by.module, target.by.name) in MAPPINGS
        )
        require(is_mapping or _is_own(target), "sets items of what is no dictionary")
        found = self._dictionary(items)
        if type(target) is dict:
            target.update(found)

    def _load_dictionary(self) -> None:
        self.append(self._dictionary(self.pop_mark()))

    def _dictionary(self, items: Any) -> dict[Any, Any]:
        self.hold(*items)
        require_keys(items[::2])
        return dict(zip(items[::2], items[1::2], strict=True))

    def _load_members(self) -> None:
        members = self.pop_mark()
        self.hold(*members)
        require_keys(members)
        target = self._changed()
        require(type(target) is set, "adds to what is no set")
        target.update(members)

    def _changed(self) -> Any:
        target = self.stack[-1]
        require(id(target) not in self._kept, "changes what an object has taken")
        return target

    def _load_frozenset(self) -> None:
        members = self.pop_mark()
        self.hold(*members)
        require_keys(members)
        self.append(frozenset(members))

    def _load_class_by_name(self) -> None:
        module, name = (self.readline()[:-1].decode("ascii", "replace") for _ in range(2))
        self.find_class(module, name)
        self._refuse()

    def _refuse(self) -> None:
        refuse("has an instruction for an older or another program")

    def _load_bytearray(self) -> None:
        size = int.from_bytes(self.read(8), "little")
        content = self.read(size)  # The machine itself would first take as much memory as the pickle says.
        require(len(content) == size, "ends within a bytearray")
        self.append(bytearray(content))

    dispatch: ClassVar[dict[int, Any]] = _Restricted.dispatch | {
        opcode[0]: load
        for opcode, load in (
            (pickle.REDUCE, _load_call),
            (pickle.NEWOBJ, _load_create),
            (pickle.NEWOBJ_EX, _load_create_with_names),
            (pickle.BUILD, _load_build),
            (pickle.APPEND, _load_append),
            (pickle.APPENDS, _load_appends),
            (pickle.SETITEM, _load_item),
            (pickle.SETITEMS, _load_items),
            (pickle.DICT, _load_dictionary),
            (pickle.ADDITEMS, _load_members),
            (pickle.FROZENSET, _load_frozenset),
            (pickle.BYTEARRAY8, _load_bytearray),
            (pickle.INST, _load_class_by_name),
            (pickle.OBJ, _refuse),
            (pickle.EXT1, _refuse),
            (pickle.EXT2, _refuse),
            (pickle.EXT4, _refuse),
            (pickle.PERSID, _refuse),
            (pickle.BINPERSID, _refuse),
            (pickle.NEXT_BUFFER, _refuse),
            (pickle.READONLY_BUFFER, _refuse),
        )
    }


def _holding(load: Callable[[Any], None]) -> Callable[[Rehearsal], None]:
    """Return the instruction that makes a list or tuple, with a check of what it keeps."""

    def checked(rehearsal: Rehearsal) -> None:
        load(rehearsal)
        rehearsal.hold(*rehearsal.stack[-1])

    return checked


Rehearsal.dispatch |= {
    opcode[0]: _holding(Rehearsal.dispatch[opcode[0]])
    for opcode in (pickle.LIST, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3)
}


def _is_own(made: Any) -> bool:
    """Say whether something was made by a class of the user's own list, or of none."""
    return isinstance(made, Made) and made.by.use == Use.ANY
