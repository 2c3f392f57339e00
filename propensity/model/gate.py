"""The gate: what a pickle must pass before any of it is executed.

1. Its SHA-256 is the one in its manifest.
2. A rehearsal: the machine that will load it carries it out on stand-ins. A pickle that names anything
   outside the allow-list, uses a name for what it is not listed for, or is incomplete, is refused here,
   before anything it names is imported or called.
3. The libraries have the versions that it was pickled with.
4. Only then is it loaded, by a machine that finds what is on the allow-list and nothing else.

The file is read once; later steps take the bytes that were checked.

The gate keeps a file from executing what it chooses. It can't know whether a model is any good, and the
compiled code of the libraries trusts the arrays in a model's state: a hostile file may still predict
nonsense, or end the process that predicts with it.
"""

from __future__ import annotations

import hashlib
import io
import platform
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from propensity.model import allow_list
from propensity.model.allow_list import AllowListError, Use
from propensity.model.rehearsal import Loader, Rehearsal
from propensity.model.stand_ins import RehearsalError, refuse


class GateError(Exception):
    """A pickle is refused; the message says why and what to do."""


class DigestError(GateError):
    """A file is not the one that its manifest describes."""


def checked_bytes(path: Path, sha256: str) -> bytes:
    """Return the bytes of a file whose digest is right (step 1).

    Raises:
        GateError: the file can't be read.
        DigestError: the digest differs. Callers add what to do, which importing and serving differ in.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise GateError(f"{path}: {error.strerror}") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise DigestError(f"{path}: its SHA-256 is {digest[:12]}…, its manifest says {sha256[:12]}…")
    return content


def checked_pickle(path: Path, sha256: str) -> bytes:
    """Return the bytes of a pickle that has passed digest and rehearsal (steps 1 and 2).

    Raises:
        GateError: the file can't be read, or the pickle must not be loaded.
        DigestError: the digest differs.
    """
    content = checked_bytes(path, sha256)
    try:
        rehearse(content)
    except GateError as error:
        raise GateError(f"{path}: {error}") from error
    return content


def rehearse(content: bytes) -> str | None:
    """Check a pickle without executing anything of it (step 2).

    Returns:
        The version of scikit-learn that it says it was written with, as `stated_version` does.

    Raises:
        GateError: it must not be loaded. Names that are not on the allow-list are listed, all of them.
    """
    rehearsal = Rehearsal(io.BytesIO(content), allowed())
    conduct(rehearsal)
    return rehearsal.version


def stated_version(content: bytes) -> str | None:
    """Return the version of scikit-learn that a pickle says it was written with; nothing is executed.

    It is that of the outermost estimator. `None` if the pickle states none, or can't be read that far.
    """
    rehearsal = Rehearsal(io.BytesIO(content), allowed())
    with suppress(GateError):
        conduct(rehearsal)
    return rehearsal.version


def allowed() -> Mapping[tuple[str, str], Use]:
    """Return the allow-list, with the names of the own file.

    Raises:
        GateError: the own file can't be used.
    """
    try:
        return allow_list.allowed()
    except AllowListError as error:
        raise GateError(str(error)) from error


def conduct(rehearsal: Rehearsal) -> None:
    """Carry a rehearsal through to the end of its stream.

    Raises:
        GateError: what was rehearsed must not be loaded.
    """
    failure: Exception | None = None
    try:
        rehearsal.load()
        if rehearsal.stream.read(1):
            refuse("goes on after its end")
    except Exception as error:  # a broken pickle can raise anything
        failure = error
    if rehearsal.unlisted:  # They explain what failed after them.
        raise unlisted(rehearsal.unlisted, rehearsal.version) from None
    if isinstance(failure, RehearsalError):
        raise GateError(str(failure)) from None
    if failure is not None:
        raise GateError(
            f"not a complete pickle ({type(failure).__name__}); write it with `pickle.dump(pipeline, file)`"
        ) from None


def unlisted(names: Iterable[tuple[str, str]], version_stated: str | None) -> GateError:
    """Return the refusal of a file that names what is not on the allow-list.

    Args:
        names: module and name of each.
        version_stated: the version of scikit-learn that the file says it was written with.
    """
    found = list(names)
    shown = ", ".join(_printable(f"{module}.{name}") for module, name in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    ways_out = [
        f"{prefix}: {hint}"
        for prefix, hint in allow_list.HINTS.items()
        if any(f"{module}.".startswith(f"{prefix}.") for module, _ in found)
    ]
    if version_stated not in {None, here := _version_here("scikit-learn")}:
        ways_out.append(
            f"scikit-learn {_printable(str(version_stated))} wrote it (here {here}), and names change between"
            " versions: import it where that version is installed, or run the notebook again here"
        )
    if not ways_out:
        ways_out.append(
            "what belongs to your pipeline, review, write into a file, one name a line, and name the file in"
            f" {allow_list.VARIABLE}"
        )
    return GateError(
        f"the pickle names {shown}{more}, which {'is' if len(found) == 1 else 'are'} not on the allow-list;"
        f" {'; '.join(ways_out)}"
    )


_SHOWN = 50
"""Most names in a message."""


def _printable(text: str) -> str:
    """Return a text of the pickle as a message may show it."""
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= _LENGTH else f"{text[:_LENGTH]}…"


_LENGTH = 200
"""Most characters of such a text."""


def check_libraries(libraries: dict[str, str]) -> None:
    """Compare Python and library versions with those of the pickle (step 3).

    Raises:
        GateError: a version differs, or the manifest does not state scikit-learn's.
    """
    if "scikit-learn" not in libraries:
        raise GateError(
            "the manifest does not state the version of scikit-learn that wrote the pickle, under `libraries`"
        )
    differing = {
        name: (stated, here) for name, stated in libraries.items() if stated != (here := _version_here(name))
    }
    if differing:
        named = ", ".join(f"{name} {stated} (here {here})" for name, (stated, here) in differing.items())
        pinned = " ".join(f"{name}=={stated}" for name, (stated, _) in differing.items() if name != "python")
        raise GateError(
            f"the pickle was made with {named}; install these, or run the notebook that wrote it in this"
            " environment; a compiled model needs them for its import alone"
            + (f" (`.venv/bin/python -m pip install {pinned}`)" if pinned else "")
        )


def _version_here(name: str) -> str:
    if name == "python":
        return ".".join(platform.python_version_tuple()[:2])
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def load_pipeline(content: bytes) -> Any:
    """Load a pickle that has passed `checked_pickle` (step 4).

    Raises:
        GateError: it can't be loaded, or warns, as scikit-learn does if another version wrote it.
    """
    loader = Loader(io.BytesIO(content), allowed())
    return loaded(loader.load)


def loaded(load: Callable[[], Any]) -> Any:
    """Return what a function loads, of a file that was rehearsed.

    Raises:
        GateError: it can't be loaded, or warns.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", FutureWarning)  # of a class that the next version won't have
            return load()
    except RehearsalError as error:
        raise GateError(str(error)) from error
    except Exception as error:  # a class's __setstate__ can raise anything
        said = _printable(" ".join(str(error).split()))
        missing = isinstance(error, ImportError)
        way_out = "install what it needs" if missing else "write it again, in this environment"
        raise GateError(f"the pickle can't be loaded: {said}; {way_out}") from error
