"""The deck on this implementation: ten pages that are shown, then an annex to be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from architecture_slides.implementation import diagrams, evidence
from architecture_slides.implementation.annex import ANNEX
from architecture_slides.implementation.cards import CLOSE, height, large
from architecture_slides.implementation.measured import Measured
from architecture_slides.implementation.told import Told, ToldPage
from architecture_slides.typesetting.content import Language, Words
from architecture_slides.typesetting.deck import (
    LEFT,
    PALE,
    RIGHT,
    TOP,
    Box,
    Deck,
    Item,
    Slide,
    columns,
    exhibit,
    slides,
)

NOTES: dict[str, tuple[float, float, float]] = {
    "contenders": (402, 98, 14),
    "every_aim": (412, 88, 13),
    "design": (256, 190, 16),
    "security": (TOP, 330, 18),
    "batches": (414, 86, 14),
    "costs": (350, 130, 17),
    "scaling": (380, 118, 14),
    "options": (370, 110, 15),
    "release": (270, 200, 17),
    "improvements": (TOP, 330, 18),
}
"""Where notes of the annex stand: top, height, size of letters."""

SIZE = 15
"""Of letters in notes of main pages."""

Exhibit = Callable[[Measured], list[Sequence[Item]]]


class Implementation:
    """The implementation's pages in one language."""

    def __init__(self, of: Told, language: Language) -> None:
        self._measured = Measured(of, language)

    def deck(self) -> Deck:
        """All pages.

        Raises:
            ContentError: a page or word is missing, or names what is not computed.
        """
        shown = [slide for page in self._measured.of.pages for slide in self._slides(page)]
        return Deck("propensity-bento", self._measured.language, tuple(shown))

    def _slides(self, page: ToldPage) -> list[Slide]:
        words = self._measured.words
        parts = exhibit(page, ANNEX if page.annex else MAIN, self._measured, NOTES)
        beside = _notes(page, words)
        corner = self._asked(page) or words["annex" if page.annex else "every_question"]
        made = slides(
            page,
            [(*items, *beside) for items in parts],
            words,
            source=words["footer"],
            place=None,
            corner=corner,
        )
        return [replace(slide, said=self._said(page, slide.said)) for slide in made]

    def _asked(self, page: ToldPage) -> str:
        """The questions that a page answers; if all of them have numbers, these alone."""
        of, words = self._measured.of, self._measured.words
        asked = [each for each in of.questions if each.id in page.answers]
        if len(asked) > 1 and all(each.id[0].isdigit() for each in asked):
            *others, last = (each.id for each in asked)
            return f"{words['questions']} {', '.join(others)} {words['and']} {last}"
        return " · ".join(words.of(each.label) for each in asked)

    def _said(self, page: ToldPage, said: str) -> str:
        """What is said, and the commands that make the figures."""
        of, words = self._measured.of, self._measured.words
        commands = [source.command for source in of.sources if page.id in source.pages]
        return f"{said}\n{words['figures_by']}: {'; '.join(dict.fromkeys(commands))}." if commands else said


def _notes(page: ToldPage, words: Words) -> list[Item]:
    """A page's notes on a ground of colour, side by side; of a main page, the heads are large."""
    if not page.notes:
        return []
    heads = [words.of(note.head) for note in page.notes]
    texts = [
        "\n".join(f"{'• ' * (len(note.points) > 1)}{words.of(point)}" for point in note.points)
        for note in page.notes
    ]
    wide, gap = columns(len(heads), 16)
    if page.annex:
        y, most, size = NOTES[page.id]
        high = min(most, height(texts, size, wide, size))
        return [
            Box(LEFT + place * (wide + gap), y, wide, high, head, text, size, PALE)
            for place, (head, text) in enumerate(zip(heads, texts, strict=True))
        ]
    if page.id == "quality":
        # One below another beside the plot, which is nearly square.
        x, top, wide = evidence.SQUARE, TOP + 45, RIGHT - evidence.SQUARE
        high = height(texts, SIZE, wide)
        pitch = (CLOSE - high - top) / (len(heads) - 1)
        places = [(x, top + place * pitch) for place in range(len(heads))]
    else:
        high = height(texts, SIZE, wide)
        places = [(LEFT + place * (wide + gap), CLOSE - high) for place in range(len(heads))]
    items: list[Item] = []
    for (x, y), head, text in zip(places, heads, texts, strict=True):
        items += large((x, y, wide, high), head, text, SIZE)
    return items


MAIN: dict[str, Exhibit] = {
    "map": diagrams.questions,
    "request": diagrams.request,
    "sequence": diagrams.sequence,
    "performance": evidence.performance,
    "aims": evidence.aims,
    "complexity": evidence.complexity,
    "quality": evidence.quality,
    "soak": evidence.soak,
    "deployment": diagrams.deployment,
    "choices": diagrams.choices,
}
"""What each main page shows beside its notes."""
