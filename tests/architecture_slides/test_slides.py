"""The decks: what is committed is what their data make, in both languages, and nothing is left unsaid."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pptx import Presentation

from architecture_slides import __main__ as command
from architecture_slides.__main__ import HERE, decks
from architecture_slides.implementation.main_pages import Implementation
from architecture_slides.implementation.told import IMPLEMENTATION
from architecture_slides.implementation.told import read as read_told
from architecture_slides.limpiapp import architecture
from architecture_slides.limpiapp.edition import Edition
from architecture_slides.limpiapp.main_pages import SIGNS, LimpiApp
from architecture_slides.typesetting.content import ContentError, Language, Text, Words, begun, number
from architecture_slides.typesetting.deck import (
    RETURN,
    Arrow,
    BarChart,
    Box,
    Chart,
    Deck,
    Drawing,
    Slide,
    Table,
)

pytestmark = pytest.mark.thorough

NAMES = ["limpiapp", "limpiapp.en", "implementation", "implementation.en"]


@pytest.fixture(scope="module")
def made() -> dict[str, Deck]:
    return decks()


def told(slide: Slide) -> Iterator[str]:
    """Every text of a slide below its title, a box's or a cell's at a time."""
    for part in slide.parts:
        if isinstance(part, Box):
            yield "\n".join(filter(None, [part.head, *part.text.split("\n")]))
        elif isinstance(part, Table):
            yield from (cell for row in part.rows for cell in row)


def written_in(shapes: Any) -> Iterator[str]:
    """Every text of a presentation's shapes that is not empty."""
    for shape in shapes:
        if shape.shape_type == 6:
            yield from written_in(shape.shapes)
        elif shape.has_table:
            yield from (cell.text for row in shape.table.rows for cell in row.cells if cell.text)
        elif shape.has_text_frame and shape.text_frame.text:
            yield "\n".join(
                "• " * len(paragraph._p.xpath("a:pPr/a:buChar")) + paragraph.text
                for paragraph in shape.text_frame.paragraphs
            )


def test_the_command_builds_what_is_committed_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], made: dict[str, Deck]
) -> None:
    monkeypatch.setattr(command, "HERE", tmp_path)
    command.main()
    files = [f"{name}.{kind}" for name in NAMES for kind in ("pdf", "pptx")]
    files.append("limpiapp.html")
    assert {path.name for path in HERE.iterdir() if path.suffix in {".pdf", ".pptx", ".html"}} == {*files}
    assert {path.name for path in tmp_path.iterdir()} == {*files}
    assert [name for name in files if (tmp_path / name).read_bytes() != (HERE / name).read_bytes()] == []
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        *(f"slides: wrote {name}, {len(made[name.rpartition('.')[0]].slides)} slides" for name in files[:-1]),
        f"slides: wrote {files[-1]}",
    ]
    assert said.err == ""


@pytest.mark.parametrize("name", NAMES)
def test_a_presentation_has_every_slide_its_text_and_words_for_each_diagram(
    made: dict[str, Deck], name: str
) -> None:
    opened = Presentation(io.BytesIO((HERE / f"{name}.pptx").read_bytes()))
    assert [page.shapes.title.text for page in opened.slides] == [slide.title for slide in made[name].slides]
    for page, slide in zip(opened.slides, made[name].slides, strict=True):
        described = [shape._element.xpath("*/p:cNvPr")[0].get("descr") for shape in page.shapes]
        drawn = [item.drawing if isinstance(item, Chart) else item for item in slide.items]
        assert [*filter(None, described)] == [item.alt for item in drawn if isinstance(item, Drawing)]
        charts = [item for item in slide.items if isinstance(item, Chart)]
        plain = replace(slide, items=tuple(item for item in slide.items if item not in charts))
        wanted = Counter(text for text in told(plain) if text) + Counter([slide.title])
        written = Counter(written_in(page.shapes))
        assert wanted - written == Counter()
        # What is below the page is all that stands beside, and what is written over a chart.
        foot = [] if slide.cover else [str(opened.slides.index(page) + 1), slide.source, slide.corner]
        markers = [item.marker[1] for item in charts if isinstance(item, BarChart) and item.marker]
        assert written - wanted == Counter(filter(None, [*foot, *markers]))


@pytest.mark.parametrize("name", ["limpiapp", "implementation"])
def test_both_languages_have_the_same_slides(made: dict[str, Deck], name: str) -> None:
    spanish, english = made[name], made[f"{name}.en"]
    assert len(spanish.slides) == len(english.slides)
    assert not {slide.title for slide in spanish.slides} & {slide.title for slide in english.slides}


def test_everything_of_the_architecture_is_shown(made: dict[str, Deck]) -> None:
    limpiapp, slides = architecture.read(), made["limpiapp"].slides
    words = Edition(limpiapp, "es").words
    shown = {text for slide in slides for text in told(slide)}
    rows = {row for slide in slides for item in slide.items if isinstance(item, Table) for row in item.rows}
    names = {each.id: each.name.es for each in limpiapp.sources}
    names |= {each.id: each.name.es for each in limpiapp.elements}
    numbers = {name: str(route.number) for route in limpiapp.picture.routes for name in route.connections}

    def row(*cells: str | Text) -> tuple[str, ...]:
        return tuple(begun(cell if isinstance(cell, str) else words.of(cell)) for cell in cells)

    for each in limpiapp.elements:
        phase = "hoy" if each.phase == "now" else each.phase
        assert row(each.name, each.purpose, phase, each.arrives, " ".join(each.answers)) in rows
        kinds = (
            ", ".join(one.name for one in each.implementations if one.kind == kind)
            for kind in ("managed", "open_source")
        )
        assert row(each.name, *kinds, each.launch, each.why, each.trigger) in rows
        pair = (each.implementation(name) for name in (each.launch, each.alternative))
        told_of = (f"{SIGNS[one.kind]}\u2009{one.name}" for one in pair if one)
        assert "\n".join((each.short.es, *told_of)) in shown
    for connection in limpiapp.connections:
        ends = names[connection.source], names[connection.target]
        number = numbers.get(connection.id, words["in_band"])
        assert row(connection.id, number, *ends, connection.what, connection.often) in rows
    for failure in limpiapp.failures:
        assert row(f"{failure.id}  {failure.es}", names[failure.element], failure.response) in rows
    for decision in limpiapp.adrs:
        assert any(cells[0] == f"{decision.id}  {decision.es}" for cells in rows)
        everything = " ".join(shown).lower()
        assert all(words.of(option).lower() in everything for option in decision.options)
    assert {row(each.article, each, each.response) for each in limpiapp.law} <= rows
    assert {begun(words.of(each.if_false)) for each in limpiapp.assumptions} <= shown
    assert {begun(each.instead.es) for each in limpiapp.not_yet} <= shown
    assert {f"«{each.quote}»" for each in limpiapp.requirements} <= shown
    assert {each.told.es for each in limpiapp.stacks} <= shown
    for use in limpiapp.uses:
        assert any(text.endswith(f"\n{use.product.es}") for text in shown)
    for step in limpiapp.roadmap:
        assert any(text.endswith(f"\n{begun(step.shown.es)}") for text in shown)
        assert begun(words.of(step.done_when)) in shown
    for danger in limpiapp.dangers:
        assert f"{danger.es}\n{begun(danger.response.es)}" in shown


def test_the_picture_draws_each_connection_and_returns_in_their_colour(made: dict[str, Deck]) -> None:
    limpiapp = architecture.read()
    (page,) = [slide for slide in made["limpiapp"].slides if slide.title.startswith("Los datos llegan")]
    arrows = [part for part in page.parts if isinstance(part, Arrow)]
    drawn = Counter(arrow.points for arrow in arrows)
    assert set(drawn) >= {tuple(way) for way in limpiapp.picture.ways.values()}
    # Six returns, and the two connections that lead to them.
    assert sum(arrow.colour == RETURN for arrow in arrows) == 8
    numbers = {text for text in told(page) if text.isdigit()}
    assert numbers == {str(route.number) for route in limpiapp.picture.routes}


@pytest.mark.parametrize(("name", "shown"), [*zip(NAMES, (12, 12, 10, 10), strict=True)])
def test_so_many_pages_are_shown_and_the_others_are_an_annex(
    made: dict[str, Deck], name: str, shown: int
) -> None:
    slides = made[name].slides
    assert [slide.main for slide in slides] == [True] * shown + [False] * (len(slides) - shown)
    assert max(slide.words for slide in slides[:shown]) <= 60


def test_an_architecture_that_does_not_hold_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    limpiapp = architecture.read()
    (first, *others) = limpiapp.flows
    slow = limpiapp.model_copy(update={"flows": [first.model_copy(update={"sla": 59}), *others]})
    monkeypatch.setattr(architecture, "read", lambda: slow)
    with pytest.raises(ContentError, match="F1: takes up to 60 min with 2 retries, its SLA is 59"):
        decks()


def test_every_word_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[str] = set()
    look_up = Words.__getitem__

    def noting(self: Words, name: str) -> str:
        used.add(name)
        return look_up(self, name)

    monkeypatch.setattr(Words, "__getitem__", noting)
    limpiapp, of = architecture.read(), read_told()
    LimpiApp(limpiapp, "en").deck()
    Implementation(of, "en").deck()
    assert {*limpiapp.words, *of.words} - used == set()


def test_a_missing_word_and_a_name_that_nothing_computes_are_told() -> None:
    words = Words("es", {"a": Text(es="vale {much}", en="worth {much}")}, {"more": 1})
    with pytest.raises(ContentError, match=r"words\.b: is used and not there"):
        words["b"]
    with pytest.raises(ContentError, match=r"'vale \{much\}': 'much' is not computed"):
        words["a"]


def test_a_page_of_which_nothing_is_known_is_refused() -> None:
    limpiapp = architecture.read()
    page = limpiapp.pages[0].model_copy(update={"id": "nowhere", "notes": []})
    with pytest.raises(ContentError, match="pages: nowhere: nothing is known to be shown there"):
        LimpiApp(limpiapp.model_copy(update={"pages": [page]}), "es").deck()


def test_a_missing_translation_of_the_implementation_is_refused(tmp_path: Path) -> None:
    data = yaml.safe_load(IMPLEMENTATION.read_text(encoding="utf-8"))
    del data["questions"][1]["answer"]["en"]
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(ContentError, match=r"questions\.1\.answer\.en: Field required"):
        read_told(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("language", "written"), [("en", "1,234.5"), ("es", "1.234,5")], ids=["English", "Spanish"]
)
def test_numbers_are_written_as_the_language_does(language: Language, written: str) -> None:
    assert number(1234.5, language, 1) == written


@pytest.mark.parametrize("name", NAMES)
def test_each_main_page_says_what_the_speaker_says_and_the_question_to_expect(
    made: dict[str, Deck], name: str
) -> None:
    opened = Presentation(io.BytesIO((HERE / f"{name}.pptx").read_bytes()))
    for page, slide in zip(opened.slides, made[name].slides, strict=True):
        assert page.has_notes_slide == slide.main
        if slide.main:
            assert page.notes_slide.notes_text_frame.text == slide.said
            # A minute, or one and a half.
            assert 90 <= len(slide.said.split()) <= 190
            assert re.search("^(Pregunta difícil|Hard question): ", slide.said, re.MULTILINE)
