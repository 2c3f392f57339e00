"""What implementation.yaml tells: the brief's questions, the pages, and their words."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from architecture_slides.typesetting.content import Name, Page, Part, Text, load

IMPLEMENTATION = Path(__file__).parents[1] / "implementation.yaml"


class Question(Part):
    """What the brief asks, in its own words, and the answer in a phrase."""

    id: str
    quote: str
    label: Text
    answer: Text


class ToldPage(Page):
    """A page, the questions that it answers, and the files that an annex page's figures are read from."""

    answers: list[str] = Field(default_factory=list)
    reads: list[str] = Field(default_factory=list)


class Source(Part):
    """A file of figures, the command that makes it, and the main pages that show them."""

    file: str
    command: str
    pages: list[str]


class Step(Part):
    """A step of a chain."""

    head: Name
    text: Name


class Choice(Part):
    """What to do instead, where the answer to a question is yes."""

    asked: Text
    instead: Name
    told: Text


class Alternative(Part):
    """Another way to deploy."""

    name: Name
    pro: Text
    con: Text
    when: Text


class Told(Part):
    """All that is told of the implementation."""

    questions: list[Question]
    pages: list[ToldPage]
    sources: list[Source]
    chains: dict[str, list[Step]]
    choices: list[Choice]
    alternatives: list[Alternative]
    words: dict[str, Name]


def read(path: Path = IMPLEMENTATION) -> Told:
    """Read what is told.

    Raises:
        ContentError: it can't be read, or lacks something, such as a translation.
    """
    return load(path, Told)
