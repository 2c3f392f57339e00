"""What decks are made of, kept as YAML: words in both languages, pages with their notes, and the loader."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

Language = Literal["es", "en"]

UNCAPITALISED = {"dbt", "dlt", "k3s"}
"""Names that begin with a small letter even at the beginning of a sentence."""


class Part(BaseModel):
    """What is read from a file; what it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Text(Part):
    """Words in Spanish and in English."""

    es: str = Field(min_length=1)
    en: str = Field(min_length=1)


Name = Annotated[
    Text, BeforeValidator(lambda given: {"es": given, "en": given} if isinstance(given, str) else given)
]
"""A text; of a product, a name that is not translated."""


class Note(Part):
    """A head and its points; `{names}` in either stand for what is computed."""

    head: Text
    points: list[Text] = Field(min_length=1)


class Page(Part):
    """A slide's title, which states its conclusion, and its notes."""

    id: str
    title: Text
    notes: list[Note] = Field(default_factory=list)
    said: Text | None = Field(None, description="What the speaker says, and the question to expect.")
    annex: bool = False


class ContentError(Exception):
    """A file that can't be read; the message says where."""


Content = TypeVar("Content", bound=BaseModel)


def load(path: Path, schema: type[Content]) -> Content:
    """Read a file.

    Raises:
        ContentError: it is not there, is no YAML, or lacks something, such as a translation.
    """
    try:
        return schema.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ContentError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ContentError(f"{path}: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ContentError(f"{path}: {where}: {first['msg']}") from error


def number(value: float, language: Language, digits: int = 0) -> str:
    """A number as the language writes it."""
    written = f"{value:,.{digits}f}"
    return written.translate(str.maketrans(",.", ".,")) if language == "es" else written


def begun(text: str) -> str:
    """A text with a capital letter at its beginning, unless it is that of a name such as dbt."""
    first = text.partition(" ")[0].strip(",.:;")
    return text if first in UNCAPITALISED or "_" in first else text[:1].upper() + text[1:]


class Words:
    """The words of one language, with what is computed put into them."""

    def __init__(self, language: Language, words: Mapping[str, Text], computed: Mapping[str, Any]) -> None:
        self.language = language
        self._words, self._computed = words, computed

    def __getitem__(self, name: str) -> str:
        """The words of that name.

        Raises:
            ContentError: there are none.
        """
        if name not in self._words:
            raise ContentError(f"words.{name}: is used and not there")
        return self.of(self._words[name])

    def of(self, text: Text) -> str:
        """A text in this language.

        Raises:
            ContentError: it names what is not computed.
        """
        written: str = getattr(text, self.language)
        try:
            # A percent sign never begins a line.
            return written.format_map(self._computed).replace(" %", "\u00a0%")
        except (KeyError, ValueError) as error:
            raise ContentError(f"{written!r}: {error} is not computed") from error
