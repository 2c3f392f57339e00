"""The libraries that a Bento installs for its models, beside those of requirements.txt.

A compiled form needs none. A pipeline needs the libraries that it was pickled with, such as XGBoost. A file
in `requirements/` locks each, with what it depends on and their hashes; a build adds it to the requirements
of the Bento.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bentoml
from bentoml.images import Image

from propensity.model import store
from propensity.model.store import StoreError

LOCKS = Path(__file__).parents[2] / "requirements"
"""Not part of a Bento."""


class LibrariesImage(Image):
    """The environment that a Bento is served in: as bentofile.yaml says, with the libraries of its models."""

    commands: list[str]
    python_requirements: str

    def freeze(self, *args: Any, **kwargs: Any) -> Any:
        """Write the environment into a Bento.

        Raises:
            StoreError: a library is not locked as a model needs it; the message says what to do.
        """
        requirements = Requirements(self.python_requirements)
        for found in filter(None, (store.SERVED, store.CHALLENGER)):
            model = found.resolve()
            requirements.require(libraries_of(model), str(model.tag))
        self.python_requirements = requirements.text
        # BentoML copies the image to add what bentofile.yaml says, and puts its first command there again.
        self.commands = [*dict.fromkeys(self.commands)]
        return super().freeze(*args, **kwargs)


def libraries_of(model: bentoml.Model) -> dict[str, str]:
    """Return the libraries that a stored model can't be served without, with their versions."""
    manifest = store.manifest_of(model)
    if manifest.served.form != "pipeline":
        return {}
    return {name: version for name, version in manifest.libraries.items() if name != "python"}


class Requirements:
    """Locked requirements.

    Attributes:
        text: as in a requirements file.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._versions = {name: (version, "requirements.txt") for name, version, _ in _pins(text)}

    def require(self, libraries: Mapping[str, str], tag: str) -> None:
        """Add libraries that are not among them.

        Args:
            libraries: versions by name.
            tag: of the model that needs them.

        Raises:
            StoreError: a library is not locked in this version, or not together with the others.
        """
        for library, version in libraries.items():
            name = re.sub(r"[-_.]+", "-", library).lower()
            if name not in self._versions:
                self._add(name, version, tag)
            locked, file = self._versions[name]
            if locked != version:
                raise StoreError(
                    f"model {tag} is served as its pipeline, which was pickled with {name} {version}, but"
                    f" {file} locks {locked}: run its notebook with {name} {locked}"
                )

    def _add(self, name: str, version: str, tag: str) -> None:
        path = LOCKS / f"{name}.txt"
        file = f"{LOCKS.name}/{path.name}"
        lock = (
            f"`echo {name}=={version} | uv pip compile - --constraint requirements.txt --universal"
            f" --generate-hashes --output-file {file}`"
        )
        pins = _pins(path.read_text(encoding="utf-8")) if path.is_file() else []
        here = next((locked for each, locked, _ in pins if each == name), None)
        if here != version:
            found = "is not there" if here is None else f"locks {here}"
            raise StoreError(
                f"model {tag} is served as its pipeline, which needs {name} {version}, but {file} {found};"
                f" lock it: {lock}"
            )
        for each, locked, lines in pins:
            if each not in self._versions:
                self._versions[each] = locked, file
                self.text += lines
            elif self._versions[each][0] != locked:
                other, before = self._versions[each]
                raise StoreError(f"{file} locks {each} {locked}, but {before} {other}; lock it anew: {lock}")


_PIN = re.compile(r"^([a-z0-9-]+)(?:\[[^]]*\])?==([^\s;]+).*(?:\n .*)*\n?", re.MULTILINE)


def _pins(text: str) -> list[tuple[str, str, str]]:
    """Return the packages that are locked: name, version, and the lines, which have the hashes."""
    return [(match[1], match[2], match[0]) for match in _PIN.finditer(text)]
