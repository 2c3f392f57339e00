"""The decks: what is committed is what their data make, in both languages, and nothing is left unsaid."""

from __future__ import annotations

import io
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from pptx import Presentation

from architecture_slides import __main__ as command
from architecture_slides import architecture, implementation
from architecture_slides.__main__ import HERE, decks
from architecture_slides.implementation import IMPLEMENTATION, Implementation, left_out
from architecture_slides.limpiapp import LimpiApp
from architecture_slides.typesetting.content import ContentError, Language, Text, Words, number
from architecture_slides.typesetting.deck import Box, Deck, Drawing, Slide, Table

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
            yield shape.text_frame.text


def test_the_command_builds_what_is_committed_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], made: dict[str, Deck]
) -> None:
    monkeypatch.setattr(command, "HERE", tmp_path)
    command.main()
    files = [f"{name}.{kind}" for name in NAMES for kind in ("pdf", "pptx")]
    assert {path.name for path in HERE.iterdir() if path.suffix in {".pdf", ".pptx"}} == {*files}
    assert {path.name for path in tmp_path.iterdir()} == {*files}
    assert [name for name in files if (tmp_path / name).read_bytes() != (HERE / name).read_bytes()] == []
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"slides: wrote {name}, {len(made[name.rpartition('.')[0]].slides)} slides" for name in files
    ]
    assert said.err == ""


@pytest.mark.parametrize("name", NAMES)
def test_a_presentation_has_every_slide_its_text_and_words_for_each_diagram(
    made: dict[str, Deck], name: str
) -> None:
    opened = Presentation(io.BytesIO((HERE / f"{name}.pptx").read_bytes()))
    assert [page.shapes.title.text for page in opened.slides] == [slide.title for slide in made[name].slides]
    for page, slide in zip(opened.slides, made[name].slides, strict=True):
        groups = [shape for shape in page.shapes if shape.shape_type == 6]
        assert [group._element.nvGrpSpPr.cNvPr.get("descr") for group in groups] == [
            item.alt for item in slide.items if isinstance(item, Drawing)
        ]
        written = Counter(written_in(page.shapes)) - Counter([slide.title])
        wanted = Counter(text for text in told(slide) if text)
        assert wanted - written == Counter()
        # The footer is all that stands beside.
        assert [*(written - wanted)] == [f"{opened.slides.index(page) + 1}   {slide.source}"]


@pytest.mark.parametrize("name", ["limpiapp", "implementation"])
def test_both_languages_have_the_same_slides(made: dict[str, Deck], name: str) -> None:
    spanish, english = made[name], made[f"{name}.en"]
    assert len(spanish.slides) == len(english.slides)
    assert not {slide.title for slide in spanish.slides} & {slide.title for slide in english.slides}


def test_everything_of_the_architecture_is_shown(made: dict[str, Deck]) -> None:
    limpiapp, slides = architecture.read(), made["limpiapp"].slides
    shown = {text for slide in slides for text in told(slide)}
    rows = {row for slide in slides for item in slide.items if isinstance(item, Table) for row in item.rows}
    names = {each.id: each.name.es for each in limpiapp.sources}
    names |= {each.id: each.name.es for each in limpiapp.elements}
    for each in limpiapp.elements:
        assert (each.name.es, each.purpose.es, ", ".join(each.answers)) in rows
        kinds = (
            ", ".join(one.name for one in each.implementations if one.kind == kind)
            for kind in ("managed", "open_source")
        )
        assert (each.name.es, *kinds, each.launch, each.why.es, each.trigger.es) in rows
    for connection in limpiapp.connections:
        ends = names[connection.source], names[connection.target]
        assert (*ends, connection.what.es, connection.often.es) in rows
    for failure in limpiapp.failures:
        assert (f"{failure.id}  {failure.es}", names[failure.element], failure.response.es) in rows
    assert {(f"{each.id}  {each.es}", each.consequence.es) for each in limpiapp.adrs} <= rows
    assert {(f"{each.id}  {each.es}", each.response.es) for each in limpiapp.risks} <= rows
    assert {each.if_false.es for each in limpiapp.assumptions} <= shown
    assert {each.instead.es for each in limpiapp.not_yet} <= shown
    assert {f"«{each.quote}»" for each in limpiapp.requirements} <= shown
    for phase in limpiapp.roadmap:
        assert any(text.endswith(f"\n{phase.done_when.es}") for text in shown)


def test_an_architecture_that_does_not_hold_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    limpiapp = architecture.read()
    (first, *others) = limpiapp.flows
    slow = limpiapp.model_copy(update={"flows": [first.model_copy(update={"sla": 74}), *others]})
    monkeypatch.setattr(architecture, "read", lambda: slow)
    with pytest.raises(ContentError, match="F1: takes up to 75 min, its SLA is 74"):
        decks()


def test_every_word_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[str] = set()
    look_up = Words.__getitem__

    def noting(self: Words, name: str) -> str:
        used.add(name)
        return look_up(self, name)

    monkeypatch.setattr(Words, "__getitem__", noting)
    limpiapp, of = architecture.read(), implementation.read()
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
    with pytest.raises(ContentError, match="pages: nowhere has no notes"):
        LimpiApp(limpiapp.model_copy(update={"pages": [page]}), "es").deck()


def test_a_missing_translation_of_the_implementation_is_refused(tmp_path: Path) -> None:
    data = yaml.safe_load(IMPLEMENTATION.read_text(encoding="utf-8"))
    del data["pages"][0]["notes"][1]["points"][0]["en"]
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(ContentError, match=r"pages\.0\.notes\.1\.points\.0\.en: Field required"):
        implementation.read(tmp_path / "a.yaml")


def test_what_is_not_measured_yet_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    of = implementation.read()
    for name in {need for page in of.pages for need in page.needs} - {"load_tests/measurements/soak.json"}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    assert left_out(of) == {}
    missing = left_out(of, tmp_path)
    assert missing == {
        "summary": "load_tests/measurements/soak.json",
        "soak": "load_tests/measurements/soak.json",
    }
    monkeypatch.setattr(implementation, "left_out", lambda _: missing)
    assert len(decks()["implementation"].slides) == len(of.pages) - 2
    monkeypatch.setattr(command, "decks", dict)
    command.main()
    assert capsys.readouterr().err.splitlines() == [
        f"slides: leaves out {page}: load_tests/measurements/soak.json is not there yet"
        for page in ("summary", "soak")
    ]


@pytest.mark.parametrize(
    ("language", "written"), [("en", "1,234.5"), ("es", "1.234,5")], ids=["English", "Spanish"]
)
def test_numbers_are_written_as_the_language_does(language: Language, written: str) -> None:
    assert number(1234.5, language, 1) == written
