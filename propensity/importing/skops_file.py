"""Files of skops: what they name is checked against the allow-list before skops constructs any of it.

skops trusts more than the allow-list does, so its own audit comes after ours.
"""

from __future__ import annotations

import io
import json
import pickle  # nosec B403
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any
from zipfile import ZipFile

from propensity.importing.compression import most_bytes
from propensity.model import allow_list, gate
from propensity.model.allow_list import Use
from propensity.model.gate import GateError

_SCHEMA = "schema.json"


def is_zip(content: bytes) -> bool:
    """Say whether a file is a zip, as those of skops are."""
    return content.startswith(b"PK\x03\x04")


def to_pickle(content: bytes) -> bytes:
    """Return the model of a skops file as a pickle.

    Raises:
        GateError: it is no skops file, or must not be loaded, or skops is not installed.
    """
    try:
        skops = import_module("skops.io")
    except ImportError as error:
        raise GateError("to read a skops file, `.venv/bin/python -m pip install skops`") from error
    nodes = _nodes(content)
    allowed = gate.allowed()
    unlisted = [node for node in nodes if not _is_allowed(node, allowed)]
    if unlisted:
        raise gate.unlisted({_described(node, allowed): None for node in unlisted}, None)
    trusted = sorted({".".join(_name(node)) for node in nodes})
    # Python's pickler calls methods of what it pickles, which may fail as those that load.
    return bytes(gate.loaded(lambda: pickle.dumps(skops.loads(content, trusted=trusted), protocol=5)))


def _nodes(content: bytes) -> list[dict[str, Any]]:
    """Return the nodes of a skops file, each of which describes an object, after a check of what they read.

    Raises:
        GateError: it is no skops file, or larger than a model.
    """
    most = most_bytes(len(content))
    try:
        with ZipFile(io.BytesIO(content)) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
            _check_members(sizes, most)
            nodes = list(_walked(json.loads(archive.read(_SCHEMA))))
            files = [(node["__loader__"], str(node["file"])) for node in nodes if "file" in node]
            # Nodes may read one member many times, and a sparse matrix is a zip in the zip.
            _check_size(sum(sizes[name] for _, name in files), most)
            for loader, name in files:
                if loader == "SparseMatrixNode":
                    with ZipFile(io.BytesIO(archive.read(name))) as matrix:
                        _check_size(sum(member.file_size for member in matrix.infolist()), most)
    except GateError:
        raise
    except Exception as error:  # a broken zip can raise anything
        raise GateError(f"a zip, but no complete file of skops ({type(error).__name__})") from error
    return nodes


def _walked(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "__loader__" in schema:
            yield schema
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from _walked(part)


def _check_members(sizes: dict[str, int], most: int) -> None:
    _check_size(sum(sizes.values()), most)
    if any(name.startswith("/") or ".." in name for name in sizes):
        raise GateError("a zip with members outside it, which is no file of skops")


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise GateError("it decompresses to more than a model has")


def _name(node: dict[str, Any]) -> tuple[str, str]:
    return str(node.get("__module__")), str(node.get("__class__"))


def _is_allowed(node: dict[str, Any], allowed: Mapping[tuple[str, str], Use]) -> bool:
    loader, name = str(node["__loader__"]), _name(node)
    if loader in _NAMES:
        return ".".join(name) in _NAMES[loader]
    use = allowed.get(name, Use(0))
    return loader in _USES and (use == Use.ANY or bool(use & _USES[loader]))


def _described(node: dict[str, Any], allowed: Mapping[tuple[str, str], Use]) -> tuple[str, str]:
    """Return module and name, and with a listed name what is wrong with it."""
    loader, (module, name) = str(node["__loader__"]), _name(node)
    is_the_loader = (module, name) in allowed or loader not in {*_NAMES, *_USES}
    return module, f"{name} (as {loader})" if is_the_loader else name


_SPARSE = {
    f"{module}.{name}"
    for module in ("scipy.sparse._csc", "scipy.sparse._csr")
    for name in allow_list.PARTS[module].split()
}

_NAMES = {
    "BytearrayNode": {"builtins.bytearray"},
    "BytesNode": {"builtins.bytes"},
    "DTypeNode": {"numpy.dtype"},
    "DefaultDictNode": {"collections.defaultdict"},
    "DictNode": {"builtins.dict", "collections.OrderedDict", "sklearn.utils._bunch.Bunch"},
    "JsonNode": {"builtins.str"},
    "ListNode": {"builtins.list"},
    "MaskedArrayNode": {"numpy.ma.MaskedArray"},
    "NdArrayNode": {f"numpy.{name}" for name in allow_list.HELD["numpy"].split()},
    "PartialNode": {"functools.partial"},
    "RandomGeneratorNode": {"numpy.random._generator.Generator"},
    "RandomStateNode": {"numpy.random.mtrand.RandomState"},
    "SetNode": {"builtins.set"},
    "SliceNode": {"builtins.slice"},
    "SparseMatrixNode": _SPARSE,
    "TreeNode": {"sklearn.tree._tree.Tree"},
    "TupleNode": {"builtins.tuple", "sklearn.impute._iterative._ImputerTriplet"},
}
"""Loader of skops: what it may make."""

_USES = {
    "ConstructorFromReduceNode": Use(0),  # It calls a class with arguments: of the own file's alone.
    "FunctionNode": Use.HOLD,
    "LossNode": Use.CALL | Use.HOLD,
    "ObjectNode": Use.CREATE | Use.HOLD,
    "TypeNode": Use.HOLD,
}
"""Loader of skops: for which use the allow-list must have what it makes. Those of methods and operators are
missing here."""
