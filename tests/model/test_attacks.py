"""Known attacks on who loads a model: each is refused, on import and on serving, before it executes anything.

Collected from what was published of pickle, joblib, skops and of the scanners for them (fickling, picklescan,
modelscan). An attack that works makes the folder `canary`, and `ATTACKS_THAT_WORK` are tried without a guard,
too.
"""

from __future__ import annotations

import bz2
import copyreg
import gzip
import hashlib
import io
import json
import lzma
import marshal
import os
import pickle
import re
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import scipy.stats
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from propensity.importing import artifact, compression
from propensity.model import gate
from propensity.model.gate import GateError

CANARY = "canary"
COMMAND = f"mkdir {CANARY}"
CODE = f"__import__('os').mkdir('{CANARY}')"


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(path: Path) -> str:
    """The refusal of a file on import, if serving refuses it, too, and nothing of it was executed."""
    with pytest.raises(GateError) as on_import:
        artifact.read(path)
    if path.is_file():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with pytest.raises(GateError):
            gate.load_pipeline(gate.checked_pickle(path, digest))
    assert not Path(CANARY).exists()
    message = str(on_import.value)
    assert message.isprintable()
    assert len(message) < 2_000
    return message


def written(content: bytes) -> Path:
    path = Path("model.pkl")
    path.write_bytes(content)
    return path


# The parts that the attacks are made of.

START = b"\x80\x04"
STOP = b"."


def text(value: str) -> bytes:
    encoded = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def named(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def tuple_of(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def called(function: bytes, *arguments: bytes) -> bytes:
    return function + tuple_of(*arguments) + b"R"


def data(value: Any) -> bytes:
    """A value as a pickle has it, without start and stop."""
    return pickle.dumps(value, 3)[2:-1]


MKDIR = named("posix", "mkdir")
FIRE = called(MKDIR, text(CANARY))
ARRAY = called(
    named("numpy._core.multiarray", "_reconstruct"), named("numpy", "ndarray"), data((0,)), data(b"b")
)
FITTED = pickle.dumps(LogisticRegression().fit([[0], [1]], [False, True]), 4)
ESTIMATOR = named("sklearn.linear_model._logistic", "LogisticRegression") + b")\x81"


def dtype(name: str, *state: bytes) -> bytes:
    made = called(named("numpy", "dtype"), text(name), b"\x89", b"\x88")
    return made + (tuple_of(*state) + b"b" if state else b"")


class Reducing:
    """Is pickled as a call."""

    def __init__(self, *reduced: Any) -> None:
        self.reduced = reduced

    def __reduce__(self) -> Any:
        return self.reduced


def nested_text(depth: int) -> bytes:
    """A tuple in a tuple in a tuple."""
    return b")" + b"\x85" * depth


def distribution() -> Any:
    made = type(scipy.stats.uniform)(name="uniform")
    made._parse_arg_template = CODE
    return made


ATTACKS_THAT_WORK = {
    # A function is called.
    "REDUCE os.system": called(named("posix", "system"), text(COMMAND)),
    "REDUCE os.system, by its public name": called(named("os", "system"), text(COMMAND)),
    "REDUCE os.mkdir": FIRE,
    "REDUCE eval": called(named("builtins", "eval"), text(CODE)),
    "REDUCE exec": called(named("builtins", "exec"), text(CODE)),
    "REDUCE subprocess": called(named("subprocess", "check_call"), data(COMMAND.split())),
    "REDUCE subprocess.Popen": called(
        named("subprocess", "Popen.wait"), called(named("subprocess", "Popen"), data(COMMAND.split()))
    ),
    "REDUCE runpy": called(named("runpy", "_run_code"), data(CODE), data({})),
    "REDUCE timeit": called(
        named("timeit", "timeit"), text(CODE), text("pass"), named("time", "perf_counter"), data(1)
    ),
    "REDUCE code.InteractiveInterpreter": called(
        named("code", "InteractiveInterpreter.runsource"),
        called(named("code", "InteractiveInterpreter")),
        text(CODE),
    ),
    "REDUCE pkgutil.resolve_name": called(
        called(named("pkgutil", "resolve_name"), text("os:system")), text(COMMAND)
    ),
    "REDUCE importlib and getattr": called(
        called(
            named("builtins", "getattr"),
            called(named("importlib", "import_module"), text("os")),
            text("mkdir"),
        ),
        text(CANARY),
    ),
    "REDUCE operator.methodcaller": called(
        called(named("operator", "methodcaller"), text("mkdir"), text(CANARY)),
        called(named("importlib", "import_module"), text("os")),
    ),
    "REDUCE functools.reduce": called(named("functools", "reduce"), MKDIR, data([CANARY, 0o777])),
    "REDUCE map, consumed by a list": called(
        named("builtins", "list"), called(named("builtins", "map"), MKDIR, data([CANARY]))
    ),
    "REDUCE functools.partial": called(called(named("functools", "partial"), MKDIR, text(CANARY))),
    "REDUCE numpy's f2py, which evaluates": called(named("numpy.f2py.crackfortran", "myeval"), text(CODE)),
    "REDUCE numpy's runstring": called(
        named("numpy.testing._private.utils", "runstring"), text(CODE), data({})
    ),
    "REDUCE code of its own": called(
        called(
            named("types", "FunctionType"),
            called(named("marshal", "loads"), data(marshal.dumps(compile(CODE, "x", "eval")))),
            data({}),
        )
    ),
    "REDUCE pathlib": called(named("pathlib", "Path.mkdir"), called(named("pathlib", "Path"), text(CANARY))),
    "REDUCE, and the result is dropped": FIRE + b"0" + data(1),
    "REDUCE before a good model": FIRE + b"0" + FITTED[2:-1],
    "REDUCE deep in a good model": FITTED[2:-1] + b"}" + text("sparsify") + FIRE + b"sb",
    # Instructions that call without REDUCE.
    "GLOBAL with the name in a line": b"cposix\nmkdir\n" + tuple_of(text(CANARY)) + b"R",
    "GLOBAL as Python 2 spelled it": b"0\x80\x02c__builtin__\neval\n"[1:] + tuple_of(text(CODE)) + b"R",
    "INST": b"(" + text(CANARY) + b"iposix\nmkdir\n",
    "OBJ": b"(" + MKDIR + text(CANARY) + b"o",
    "NEWOBJ": named("subprocess", "Popen") + b")\x81" + FIRE + b"0",
    "NEWOBJ_EX": named("pathlib", "PosixPath") + b")}\x92" + FIRE + b"0",
    # Names that a scanner of text misses.
    "dotted name": called(named("shutil", "os.mkdir"), text(CANARY)),
    "dotted name in a listed module": called(
        named("sklearn.linear_model._logistic", "inspect.os.mkdir"), text(CANARY)
    ),
    "dotted name in a listed module, from another": called(
        named("numpy", "_pytesttester.os.mkdir"), text(CANARY)
    ),
    "name from the memo, replaced there": (
        text("sklearn.pipeline")
        + b"q\x000"
        + text("Pipeline")
        + b"q\x010"
        + text("posix")
        + b"q\x000"
        + text("mkdir")
        + b"q\x010"
        + b"h\x00h\x01\x93"
        + tuple_of(text(CANARY))
        + b"R"
    ),
    "name from the memo, PUT beside MEMOIZE": (
        text("posix")
        + b"q\x05"
        + text("mkdir")
        + b"q\x06"
        + b"00"
        + text("sklearn.pipeline")
        + b"\x94"
        + text("Pipeline")
        + b"\x94"
        + b"00"
        + b"h\x05h\x06\x93"
        + tuple_of(text(CANARY))
        + b"R"
    ),
    "name of two strings, apart": text("posix") + b"\x8c\x05mkdir" + b"\x93" + tuple_of(text(CANARY)) + b"R",
    # A pickle in the pickle.
    "pickle.loads": called(named("_pickle", "loads"), data(START + FIRE + STOP)),
    "pickle.loads, by its public name": called(named("pickle", "loads"), data(START + FIRE + STOP)),
    "object array": ARRAY
    + tuple_of(data(1), data((1,)), data(np.dtype("O")), b"\x89", b"](" + FIRE + b"e")
    + b"b",
    "numpy scalar of an object": called(named("numpy._core.multiarray", "scalar"), data(np.dtype("O")), FIRE),
    # Classes that execute text of their state.
    "scipy distribution that executes its template": data(distribution()),
}
"""Name: the body of a pickle."""  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS_THAT_WORK)
def test_the_attack_works_where_nothing_guards(attack: str) -> None:
    """The control: or the next test would prove nothing."""
    try:
        pickle.loads(START + ATTACKS_THAT_WORK[attack] + STOP)
    except Exception as error:
        assert Path(CANARY).exists(), error
    assert Path(CANARY).exists()


@pytest.mark.parametrize("attack", ATTACKS_THAT_WORK)
def test_an_attack_that_works_is_refused_before_it_does(attack: str) -> None:
    assert "not on the allow-list" in refused(written(START + ATTACKS_THAT_WORK[attack] + STOP))


# Names that are listed, for what they are not listed for; and data that the libraries would believe.

ATTACKS_WITH_LISTED_NAMES = {
    "class called with a file name": (
        called(named("xgboost.core", "Booster"), data(None), data(()), text("/etc/passwd")),
        r"calls xgboost\.core\.Booster, and the allow-list has it for another use only",
    ),
    "class created with arguments": (
        named("lightgbm.basic", "Booster") + tuple_of(data(None), text("/etc/passwd")) + b"\x81",
        r"creates lightgbm\.basic\.Booster with arguments",
    ),
    "class created with named arguments": (
        named("lightgbm.basic", "Booster") + b")" + data({"model_file": "/etc/passwd"}) + b"\x92",
        "creates an instance with named arguments",
    ),
    "held function called": (called(named("numpy", "log"), data(1)), r"calls numpy\.log, and"),
    "function that loads, held for prediction": (
        ESTIMATOR + b"}" + text("predict") + named("numpy._core.multiarray", "scalar") + b"sb",
        r"keeps numpy\._core\.multiarray\.scalar, and",
    ),
    "class, held in a tuple in a list": (
        b"]" + tuple_of(named("xgboost.core", "Booster")) + b"a",
        r"keeps xgboost\.core\.Booster, and",
    ),
    "instance called": (called(ESTIMATOR, data(1)), "calls what it has made"),
    "method of a class replaced": (
        named("sklearn.pipeline", "Pipeline") + tuple_of(data(None), data({"predict": len})) + b"b",
        "names builtins.len",
    ),
    "method of a class replaced by a listed function": (
        named("sklearn.pipeline", "Pipeline")
        + tuple_of(data(None), b"}" + text("predict") + named("numpy", "log") + b"s")
        + b"b",
        "changes a class, or a function",
    ),
    "slots of an instance": (
        ESTIMATOR + tuple_of(data(None), data({"predict": 1})) + b"b",
        "a state that is no dictionary",
    ),
    "restoring method replaced, then called": (
        ESTIMATOR + b"}" + text("__setstate__") + named("numpy", "log") + b"sb" + data(1) + b"b",
        "the attribute '__setstate__'",
    ),
    "pickling method replaced": (
        ESTIMATOR + b"}" + text("__reduce_ex__") + named("numpy", "log") + b"sb",
        "the attribute '__reduce_ex__'",
    ),
    "two states": (ESTIMATOR + data({"C": 1}) + b"b" + data({"C": 2}) + b"b", "a state twice"),
    "call in the guise of a creation": (
        named("functools", "partial") + tuple_of(named("numpy", "log")) + b"\x81",
        "of another function than check_array",
    ),
    "bytes of any size, created": (
        named("builtins", "bytes") + data((2**40,)) + b"\x81",
        r"calls builtins\.bytes with",
    ),
    "set of nested tuples, created": (
        named("builtins", "frozenset") + tuple_of(b"](" + nested_text(50_000) + b"e") + b"\x81",
        "has a key that no estimator has",
    ),
    "state changed after it was taken": (
        ESTIMATOR + b"}q\x07b0h\x07" + text("__reduce_ex__") + named("numpy", "log") + b"s",
        "changes what an object has taken",
    ),
    "fields changed after they were taken": (
        dtype(
            "V8",
            data(3),
            text("|"),
            data(None),
            data(("a",)),
            b"}" + text("a") + tuple_of(dtype("f8"), data(0)) + b"sq\x07",
            data(8),
            data(1),
            data(0),
        )
        + b"0h\x07"
        + text("a")
        + tuple_of(dtype("O8"), data(0))
        + b"s",
        "changes what an object has taken",
    ),
    "arguments changed after they were taken": (
        called(named("functools", "partial"), named("sklearn.utils.validation", "check_array"))
        + tuple_of(named("sklearn.utils.validation", "check_array"), b")", b"}q\x07", data(None))
        + b"b0h\x07"
        + data("dtype")
        + data(1)
        + b"s",
        "changes what an object has taken",
    ),
    "items of an instance": (ESTIMATOR + data("x") + data(1) + b"s", "sets items of what is no dictionary"),
    "items of a class": (
        named("sklearn.utils._bunch", "Bunch") + data("x") + data(1) + b"s",
        "sets items of what is no",
    ),
    "appended to an instance": (ESTIMATOR + data(1) + b"a", "appends to what is no list"),
    "added to an instance": (ESTIMATOR + b"(" + data(1) + b"\x90", "adds to what is no set"),
    "partial function of another": (
        called(named("functools", "partial"), named("numpy", "log")),
        "of another function than check_array",
    ),
    "partial function, replaced by its state": (
        called(named("functools", "partial"), named("sklearn.utils.validation", "check_array"))
        + tuple_of(named("numpy", "log"), b")", b"}", data(None))
        + b"b",
        "of another function than check_array",
    ),
    "text encoded by any codec": (
        called(named("_codecs", "encode"), text("x"), text("zlib")),
        "for another encoding",
    ),
    "bytes of any size": (called(named("builtins", "bytes"), data(2**40)), r"calls builtins\.bytes with"),
    "bytearray of any size": (called(named("builtins", "bytearray"), data(2**40)), "without bytes"),
    "objects that are bytes": (
        ARRAY
        + tuple_of(
            data(1),
            data((1,)),
            dtype("O8", data(3), text("|"), *3 * [data(None)], data(-1), data(-1), data(0)),
            b"\x89",
            data(b"A" * 8),
        )
        + b"b",
        "a state that does not fit",
    ),
    "objects in the fields of a record": (
        dtype(
            "V8",
            data(3),
            text("|"),
            data(None),
            data(("a",)),
            b"}" + text("a") + tuple_of(dtype("O8"), data(0)) + b"s",
            data(8),
            data(1),
            data(0),
        ),
        "a state that does not fit",
    ),
    "fields outside their record": (
        dtype(
            "V8",
            data(3),
            text("|"),
            data(None),
            data(("a",)),
            b"}" + text("a") + tuple_of(dtype("f8"), data(1_000_000)) + b"s",
            data(8),
            data(1),
            data(0),
        ),
        "a state that does not fit",
    ),
    "data type that was an array's, changed": (
        dtype("f8") + b"q\x09" + tuple_of(*3 * [data(None)]) + b"b",
        "a data type of numpy an unusual state",
    ),
    "data type by a text that numpy parses": (
        called(named("numpy", "dtype"), text("O,O"), b"\x89", b"\x88"),
        "makes an unusual data type",
    ),
    "array of more objects than there are": (
        ARRAY + tuple_of(data(1), data((1_000,)), dtype("O8"), b"\x89", data([1])) + b"b",
        "whose content is not of its shape",
    ),
    "array of more numbers than there are": (
        called(
            named("numpy._core.numeric", "_frombuffer"),
            data(b"x" * 8),
            dtype("f8"),
            data((2**40,)),
            text("C"),
        ),
        "whose content is not of its shape",
    ),
    "array of another class": (
        called(
            named("numpy._core.multiarray", "_reconstruct"), named("pandas", "Index"), data((0,)), data(b"b")
        ),
        r"calls numpy\._core\.multiarray\._reconstruct with unusual arguments",
    ),
    "Arrow text outside its data": (
        called(
            named("pyarrow.lib", "_restore_array"),
            tuple_of(
                called(named("pyarrow.lib", "type_for_alias"), text("large_string")),
                data(1),
                data(0),
                data(0),
                b"]("
                + data(None)
                + called(named("pyarrow.lib", "py_buffer"), data(struct.pack("<qq", 0, 2**40)))
                + called(named("pyarrow.lib", "py_buffer"), data(b"a"))
                + b"e",
                data([]),
                data(None),
            ),
        ),
        "makes an Arrow array whose text is outside it",
    ),
    "tree with more outputs than counted": (
        called(named("sklearn.tree._tree", "Tree"), data(4), data(np.array([2])), data(1_000)),
        r"calls sklearn\.tree\._tree\.Tree with unusual arguments",
    ),
}
"""Name: the body of a pickle, and what the refusal says."""


@pytest.mark.parametrize("attack", ATTACKS_WITH_LISTED_NAMES)
def test_a_listed_name_is_of_use_for_nothing_else(attack: str) -> None:
    body, said = ATTACKS_WITH_LISTED_NAMES[attack]
    assert re.search(said, refused(written(START + body + STOP)))


def test_no_class_was_changed_by_a_refused_pickle() -> None:
    attack, _ = ATTACKS_WITH_LISTED_NAMES["method of a class replaced by a listed function"]
    predict = vars(Pipeline)["predict"]
    refused(written(START + attack + STOP))
    assert vars(Pipeline)["predict"] is predict


# Instructions and streams that no pickler writes.


@pytest.fixture
def registered() -> Iterator[None]:
    """A function in Python's registry of extensions, which pickles name by a number; and in its cache."""
    copyreg.add_extension("posix", "mkdir", 0xEF)
    pickle.loads(b"\x80\x02\x82\xef.")
    yield
    copyreg.remove_extension("posix", "mkdir", 0xEF)
    copyreg.clear_extension_cache()


@pytest.mark.parametrize("number", [b"\x82\xef", b"\x83\xef\x00", b"\x84\xef\x00\x00\x00"])
def test_a_registered_extension_is_not_called(registered: None, number: bytes) -> None:
    content = START + called(number, text(CANARY)) + STOP
    assert "an instruction for an older or another program" in refused(written(content))
    pickle.loads(content)
    assert Path(CANARY).exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (START + text("x") + b"Q" + STOP, "an instruction for an older"),
        (b"Px\n.", "an instruction for an older"),
        (b"\x80\x05\x97.", "an instruction for an older"),
        (b"(isklearn.pipeline\nPipeline\n.", "an instruction for an older"),
        (b"(" + named("sklearn.pipeline", "Pipeline") + b"o.", "an instruction for an older"),
        (FITTED + START + FIRE + STOP, "goes on after its end"),
        (FITTED + FITTED, "goes on after its end"),
        (FITTED + b"\x00", "goes on after its end"),
        (FITTED[:-1], "not a complete pickle"),
        (FITTED[: len(FITTED) // 2], "not a complete pickle"),
        (b"", "not a complete pickle"),
        (b"\x80", "not a complete pickle"),
        (b"\x80\x09.", "not a complete pickle"),
        (b"\xff\xff", "not a complete pickle"),
        (START + b"h\x07.", "not a complete pickle"),
        (START + b"e.", "not a complete pickle"),
        (START + b"\x8e" + struct.pack("<Q", 2**60) + b"x.", "not a complete pickle"),
        (START + b"\x8d" + struct.pack("<Q", 2**60) + b"x.", "not a complete pickle"),
        (b"\x80\x05\x96" + struct.pack("<Q", 2**36) + b"x.", "ends within a bytearray"),
        (START + b"\x95" + struct.pack("<Q", 2**60) + b"N", "not a complete pickle"),
        (START + b"\x8b" + struct.pack("<I", 2**31 - 1) + b"x.", "not a complete pickle"),
        (START + b"\x8b\xff\xff\xff\xff.", "not a complete pickle"),
        (START + b"I" + b"9" * 100_000 + b"\n.", "not a complete pickle"),
        (START + b"}" + nested_text(50_000) + b"Ns.", "has a key that no estimator has"),
        (START + b"\x8f(" + nested_text(50_000) + b"\x90.", "has a key that no estimator has"),
        (START + b"(" + nested_text(50_000) + b"\x91.", "has a key that no estimator has"),
        (START + b"(" + nested_text(50_000) + b"Nd.", "has a key that no estimator has"),
        (b"cposix\r\nmkdir\n.", r"not on the allow-list"),
        (b"cposix\n mkdir\n.", r"posix\. mkdir, which is not"),
        (START + named("sklearn", "pipeline.Pipeline") + STOP, r"sklearn\.pipeline\.Pipeline, which is not"),
        (START + named("", "Pipeline") + STOP, r"not on the allow-list"),
        (START + named("sklearn.pipeline\u200b", "Pipeline") + STOP, r"u200b"),
        (START + named("sklearn.pipeline", "P\u0456peline") + STOP, "not on the allow-list"),
        (START + named("sklearn.pipeline", "P\ud800peline") + STOP, "not on the allow-list"),
        (START + data(b"posix") + text("mkdir") + b"\x93.", "not a complete pickle"),
        (START + ESTIMATOR + text("mkdir") + b"\x93.", "not a complete pickle"),
    ],
)
def test_a_stream_that_no_pickler_writes_is_refused(content: bytes, said: str) -> None:
    assert re.search(said, refused(written(content)))


def test_a_memo_of_any_size_takes_no_memory() -> None:
    content = START + b"Nr" + struct.pack("<I", 2**31 - 1) + STOP
    gate.rehearse(content)
    assert gate.load_pipeline(content) is None


@pytest.mark.parametrize(
    ("attribute", "value", "named_in"),
    [
        ("func", exec, "builtins.exec"),
        ("inverse_func", print, "builtins.print"),
        ("kw_args", {"memory": joblib.Memory("cache", verbose=0)}, "joblib.memory.Memory"),
        ("func", np.load, "numpy.load"),
        ("func", getattr, "builtins.getattr"),
    ],
)
def test_an_estimator_holds_no_function_that_is_not_listed(attribute: str, value: Any, named_in: str) -> None:
    content = pickle.dumps(FunctionTransformer(**{attribute: value}))
    assert named_in in refused(written(content))


def test_a_function_that_cloudpickle_wrote_as_code_is_refused() -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    content = cloudpickle.dumps(FunctionTransformer(lambda features: features))
    message = refused(written(content))
    assert "cloudpickle.cloudpickle._make_function" in message
    assert "move them into a module" in message


# joblib.


def joblib_file(value: Any, **options: Any) -> Path:
    joblib.dump(value, "model.joblib", **options)
    return Path("model.joblib")


def wrapper(state: bytes, of: tuple[str, str] = ("joblib.numpy_pickle", "NumpyArrayWrapper")) -> bytes:
    return START + named(*of) + b")\x81" + state + b"b"


def wrapper_state(**changed: bytes) -> bytes:
    members = {
        "subclass": named("numpy", "ndarray"),
        "shape": data((2,)),
        "order": data("C"),
        "dtype": dtype("f8"),
        "allow_mmap": data(False),
    }
    return b"}(" + b"".join(text(name) + value for name, value in (members | changed).items()) + b"u"


def test_an_array_of_joblib_is_read_where_it_is_well_formed() -> None:
    """Of the parts that the attacks change."""
    content = wrapper(wrapper_state()) + np.array([1.5, 2.5]).tobytes() + STOP
    found = gate.load_pipeline(artifact.read(written(content)).content)
    assert found.tolist() == [1.5, 2.5]


OBJECTS = wrapper_state(dtype=dtype("O8"), shape=data((1,)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (wrapper(OBJECTS) + START + FIRE + STOP + STOP, r"posix\.mkdir"),
        (wrapper(OBJECTS) + START + data(np.array([1.0, 2.0])) + STOP + STOP, "another array than it says"),
        (wrapper(OBJECTS) + START + data([1]) + STOP + STOP, "another array than it says"),
        (wrapper(wrapper_state(subclass=MKDIR)) + bytes(16) + STOP, r"posix\.mkdir"),
        (
            wrapper(wrapper_state(subclass=named("xgboost.core", "Booster"))) + bytes(16) + STOP,
            "keeps xgb",
        ),
        (wrapper(wrapper_state(shape=data((2**50,)))) + bytes(16) + STOP, "ends within an array"),
        (wrapper(wrapper_state(shape=data((-1,)))) + bytes(16) + STOP, "of an unusual shape"),
        (wrapper(wrapper_state(shape=FIRE)) + bytes(16) + STOP, r"posix\.mkdir"),
        (wrapper(wrapper_state(dtype=FIRE)) + bytes(16) + STOP, r"posix\.mkdir"),
        (wrapper(wrapper_state(dtype=data("O"))) + bytes(16) + STOP, "as joblib does not"),
        (wrapper(wrapper_state(order=data("K"))) + bytes(16) + STOP, "as joblib does not"),
        (wrapper(data({})) + STOP, "as joblib does not"),
        (wrapper(wrapper_state()) + bytes(8), "ends within an array"),
        (
            wrapper(data({"filename": "../foreign.npy"}), ("joblib.numpy_pickle", "NDArrayWrapper")) + STOP,
            "a joblib before 0.10 wrote it",
        ),
        (
            wrapper(
                data({"filename": "/etc/passwd", "init_args": (), "state": ()}),
                ("joblib.numpy_pickle_compat", "ZNDArrayWrapper"),
            )
            + STOP,
            "a joblib before 0.10 wrote it",
        ),
        (b"ZF0x10             " + zlib.compress(START + FIRE + STOP), "of a joblib before 0.10"),
    ],
)
def test_a_stream_of_joblib_executes_nothing_and_reads_no_other_file(content: bytes, said: str) -> None:
    assert re.search(said, refused(written(content)))


def test_an_array_that_is_nested_too_deep_to_write_again_is_no_model() -> None:
    array = wrapper(wrapper_state())[len(START) :] + bytes(16)
    deep = START + b"]" * 10_000 + array + b"a" * 10_000 + STOP
    assert "can't be loaded: maximum recursion depth exceeded" in refused(written(deep))


def test_mapping_a_file_into_memory_is_not_for_the_file_to_choose() -> None:
    content = wrapper(wrapper_state(allow_mmap=data(True))) + np.array([1.5, 2.5]).tobytes() + STOP
    found = gate.load_pipeline(artifact.read(written(content)).content)
    assert type(found) is np.ndarray


def test_an_object_array_of_joblib_with_a_call_in_it_is_refused() -> None:
    hostile = np.array([Reducing(os.mkdir, (CANARY,))], dtype=object)
    assert "posix.mkdir" in refused(joblib_file({"model": [1, hostile]}))
    joblib.load("model.joblib")
    assert Path(CANARY).exists()


@pytest.mark.parametrize("compress", [3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)], ids=str)
def test_compression_hides_nothing(compress: Any) -> None:
    path = joblib_file([np.zeros(100), Reducing(os.mkdir, (CANARY,))], compress=compress)
    assert "posix.mkdir" in refused(path)
    joblib.load(path)
    assert Path(CANARY).exists()


@pytest.fixture
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that bombs need not be large."""
    monkeypatch.setattr(compression, "FREE_BYTES", 2**20)


BOMB = 20 * 2**20


@contextmanager
def in_little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        # The bomb itself would take more.
        assert tracemalloc.get_traced_memory()[1] < BOMB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("compress", [zlib.compress, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize(
    "bomb",
    [
        wrapper(wrapper_state(shape=data((BOMB // 8,)))) + bytes(BOMB) + STOP,
        START + b"\x8e" + struct.pack("<Q", BOMB) + bytes(BOMB) + STOP,
    ],
    ids=["array", "bytes"],
)
def test_a_bomb_is_refused_before_it_fills_the_memory(
    small_bounds: None, compress: Callable[[bytes], bytes], bomb: bytes
) -> None:
    path = written(compress(bomb))
    with in_little_memory():
        assert "decompresses to more than a model has" in refused(path)


# skops.


def skops_file(schema: Any, **members: bytes) -> Path:
    with zipfile.ZipFile("model.skops", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", json.dumps({"protocol": 2, "_skops_version": "0.16"} | schema))
        for name, content in members.items():
            archive.writestr(name, content)
    return Path("model.skops")


def node(loader: str, module: str, name: str, **members: Any) -> dict[str, Any]:
    return {"__loader__": loader, "__module__": module, "__class__": name} | members


def items(**values: Any) -> dict[str, Any]:
    keys = [node("TypeNode", "builtins", "str") for _ in values]
    return node(
        "DictNode",
        "builtins",
        "dict",
        content=values,
        key_types=node("ListNode", "builtins", "list", content=keys),
    )


ARGUMENTS = node(
    "TupleNode",
    "builtins",
    "tuple",
    content=[node("JsonNode", "builtins", "str", content=json.dumps(CANARY))],
)
NOTHING = node("TupleNode", "builtins", "tuple", content=[])
PLAIN = node("ObjectNode", "sklearn.linear_model._logistic", "LogisticRegression", content=items())
FIRING = node("FunctionNode", "posix", "mkdir")
LOGARITHM = node("FunctionNode", "numpy", "log")
BYTES = node("BytesNode", "builtins", "bytes", file="content")


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (FIRING, r"names posix\.mkdir, which is not on the allow-list"),
        (node("TypeNode", "posix", "mkdir"), r"posix\.mkdir"),
        (node("ConstructorFromReduceNode", "os", "mkdir", content=ARGUMENTS), r"names os\.mkdir,"),
        (node("ConstructorFromReduceNode", "xgboost.core", "Booster", content=ARGUMENTS), r"Booster \(as"),
        (node("ObjectNode", "pathlib", "PosixPath", content=items()), r"pathlib\.PosixPath"),
        (node("OperatorFuncNode", "operator", "methodcaller", attrs=ARGUMENTS), r"\.methodcaller \(as"),
        (
            node("MethodNode", "sklearn.linear_model._logistic", "LogisticRegression", content={
                "func": "fit", "obj": PLAIN
            }),
            r"LogisticRegression \(as MethodNode\)",
        ),
        (
            node("PartialNode", "functools", "partial", content={
                "func": FIRING, "args": ARGUMENTS, "kwds": items(), "namespace": items()
            }),
            r"posix\.mkdir",
        ),
        (
            node("PartialNode", "functools", "partial", content={
                "func": LOGARITHM, "args": NOTHING, "kwds": items(), "namespace": items()
            }),
            "of another function than check_array",
        ),
        (node("ListNode", "posix", "mkdir", content=[]), r"posix\.mkdir"),
        (node("DictNode", "posix", "mkdir", content={}, key_types=NOTHING), r"posix\.mkdir"),
        (node("LossNode", "posix", "mkdir", content=[], __reduce__={"args": NOTHING}), r"posix\.mkdir"),
        (node("QuantileForestNode", "a", "b"), r"a\.b \(as QuantileForestNode\)"),
        (node("NoSuchNode", "a", "b"), r"a\.b \(as NoSuchNode\)"),
        (PLAIN | {"content": items(predict=node("FunctionNode", "builtins", "eval"))}, r"builtins\.eval"),
        (PLAIN | {"content": items(__reduce_ex__=LOGARITHM)}, "can't be loaded"),
        (
            node("ListNode", "builtins", "list", content=[
                FIRING, node("FunctionNode", "builtins", "exec")
            ]),
            r"posix\.mkdir, builtins\.exec, which are not",
        ),
        ({"no": "node"}, "can't be loaded"),
        (BYTES, "no complete file of skops"),
    ],
)  # fmt: skip
def test_a_file_of_skops_makes_nothing_that_is_not_listed(schema: dict[str, Any], said: str) -> None:
    pytest.importorskip("skops")
    assert re.search(said, refused(skops_file(schema)))


def test_a_zip_that_is_no_file_of_skops_is_refused() -> None:
    pytest.importorskip("skops")
    assert "members outside it" in refused(skops_file(PLAIN, **{"../outside": b"x"}))
    assert "members outside it" in refused(skops_file(PLAIN, **{"/tmp/outside": b"x"}))
    path = skops_file(PLAIN)
    assert "no complete file of skops" in refused(written(path.read_bytes()[:-30]))
    with zipfile.ZipFile("model.skops", "w") as archive:
        archive.writestr("model.pkl", START + FIRE + STOP)
    assert "no complete file of skops" in refused(Path("model.skops"))


def test_a_zip_bomb_is_refused_before_it_fills_the_memory(small_bounds: None) -> None:
    pytest.importorskip("skops")
    large = bytes(BOMB)
    many = node("ListNode", "builtins", "list", content=[BYTES] * 20)
    matrix = node("SparseMatrixNode", "scipy.sparse._csr", "csr_matrix", type="scipy", file="content")
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", large)
    bombs: list[Callable[[], Path]] = [
        lambda: skops_file(BYTES, content=large),
        lambda: skops_file(many, content=large[: BOMB // 20]),
        lambda: skops_file(matrix, content=inner.getvalue()),
    ]
    for bomb in bombs:
        path = bomb()
        with in_little_memory():
            assert "decompresses to more than a model has" in refused(path)


# MLflow.


def mlflow_folder(description: str) -> Path:
    folder = Path("folder")
    folder.mkdir()
    (folder / "MLmodel").write_text(description)
    return folder


@pytest.mark.parametrize(
    "name", ["../model.pkl", "sub/../../model.pkl", "{outside}", "link.pkl", "linked/model.pkl", "a\0b"]
)
def test_a_folder_of_mlflow_leads_to_no_file_outside_it(name: str) -> None:
    outside = written(FITTED).absolute()
    name = name.format(outside=outside)
    folder = mlflow_folder(yaml.safe_dump({"flavors": {"sklearn": {"pickled_model": name}}}))
    (folder / "sub").mkdir()
    (folder / "link.pkl").symlink_to(outside)
    (folder / "linked").symlink_to(outside.parent)
    assert re.search("which is (outside the folder|no path)", refused(folder))
    artifact.read(outside)


def test_a_description_of_mlflow_that_is_a_link_out_of_the_folder_is_refused() -> None:
    mlflow_folder(yaml.safe_dump({"flavors": {"sklearn": {"pickled_model": "model.pkl"}}}))
    Path("other").mkdir()
    Path("other/MLmodel").symlink_to(Path("folder/MLmodel").absolute())
    assert "which is outside the folder" in refused(Path("other"))


@pytest.mark.parametrize(
    "description",
    [
        f"flavors: !!python/object/apply:os.mkdir [{CANARY}]",
        f"!!python/object/new:os.system [{COMMAND!r}]",
        "flavors: [unclosed",
        "\0",
        "a: &a [" + "x, " * 10 + "]\nflavors: " + "[" * 600,
    ],
)
def test_a_description_of_mlflow_is_data_alone(description: str) -> None:
    assert "not the YAML of an MLflow model" in refused(mlflow_folder(description))


def test_the_model_of_an_mlflow_folder_passes_the_gate() -> None:
    folder = mlflow_folder(yaml.safe_dump({"flavors": {"sklearn": {"pickled_model": "model.pkl"}}}))
    (folder / "model.pkl").write_bytes(START + FIRE + STOP)
    assert "folder/model.pkl: the pickle names posix.mkdir" in refused(folder)
