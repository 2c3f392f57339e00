"""The implementation's deck: it answers what the brief asks, and its figures are those that were measured."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any

import pytest
from conftest import ROOT

from architecture_slides.implementation.cards import AGAINST, CLOSE, OURS, UNDECIDED
from architecture_slides.implementation.main_pages import Implementation
from architecture_slides.implementation.measured import BURST, C8, CALM, MODEL, Measured
from architecture_slides.implementation.told import Told, read
from architecture_slides.typesetting.content import Language
from architecture_slides.typesetting.deck import PALE, Arrow, Box, Deck, LineChart, Slide, Table
from load_tests.measurements import versions
from load_tests.report.aims import C1, C32
from load_tests.report.figures import (
    ARROW,
    BENTOMLS,
    COMPILED,
    DIRECT,
    MODEL_SERVERS,
    NAIVE,
    PIPELINE,
    PIPELINE_DIRECT,
    SAME_MODEL,
    THIS,
    Comparison,
    cell,
)
from load_tests.soak import KILL_SECONDS

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def of() -> Told:
    return read()


@pytest.fixture(scope="module")
def deck(of: Told) -> Deck:
    return Implementation(of, "en").deck()


@pytest.fixture(scope="module")
def slides(of: Told, deck: Deck) -> dict[str, Slide]:
    """The main pages by their ids."""
    main = [page.id for page in of.pages if not page.annex]
    return dict(zip(main, deck.slides, strict=False))


def measured(name: str) -> Any:
    return json.loads((ROOT / name).read_bytes())


def texts(slide: Slide) -> list[str]:
    return [f"{part.head}\n{part.text}".strip() for part in slide.parts if isinstance(part, Box)]


def test_each_question_of_the_brief_is_answered_by_a_main_page_that_says_so(of: Told, deck: Deck) -> None:
    assert [each.id for each in of.questions] == [
        *("1", "1a", "1b", "2", "2a", "2b", "3"),
        *("compose", "quality", "alternatives"),
    ]
    for question in of.questions:
        pages = [place for place, page in enumerate(of.pages) if question.id in page.answers]
        assert pages
        assert all(deck.slides[place].main for place in pages)
        named = question.id if question.id[0].isdigit() else question.label.en
        assert all(
            named in re.split(r"Questions? | · |, | and ", deck.slides[place].corner) for place in pages
        )
        assert f"page {pages[0] + 1}" in texts(deck.slides[0])


def test_the_first_page_says_what_was_not_received(slides: dict[str, Slide]) -> None:
    assert "We received neither notebook, nor pickle, nor JSON" in texts(slides["map"])
    (rebuilt,) = [text for text in texts(slides["map"]) if text.startswith("We rebuilt them")]
    # The model card counts the rows of the data.
    card = (ROOT / "docs/model_card.md").read_text(encoding="utf-8")
    assert "- rows: 4,454" in card
    assert "4,454 public credits" in rebuilt


def test_what_speaks_against_us_has_its_colour(slides: dict[str, Slide]) -> None:
    comparison = Comparison()
    bars = [part for part in slides["performance"].parts if isinstance(part, Box) and part.h == 6]
    pairs = [(THIS, SAME_MODEL, C32), (THIS, SAME_MODEL, C1), (PIPELINE, NAIVE, C32), (PIPELINE, NAIVE, C1)]
    pairs.append((PIPELINE, "LitServe", C8))
    for place, pair in zip((0, 1, 3, 4, 6), pairs, strict=True):
        ratios = comparison.ratios(*pair)
        wanted = OURS if min(ratios) > 1 else AGAINST if max(ratios) < 1 else UNDECIDED
        assert bars[place].fill == wanted


def test_where_rivals_win_is_shown(of: Told, deck: Deck, slides: dict[str, Slide]) -> None:
    comparison = Comparison()
    best = max(MODEL_SERVERS, key=lambda name: comparison.rate(name, C8))
    assert f"{best}, 8 connections" in texts(slides["performance"])
    assert f"{comparison.ratio(PIPELINE, best, C8):.2f}×" in texts(slides["performance"])
    said = slides["performance"].said
    for rival in ("LitServe", "MLServer"):
        assert max(comparison.ratios(PIPELINE, rival, C8)) < 1
        assert rival in said
    start, ours = (comparison.start_seconds(name) for name in (SAME_MODEL, THIS))
    assert f"in {start:.0f} second against {ours:.0f}" in said
    # In the annex, each server beside each number of connections, and what starts sooner in less memory.
    pages = dict(zip([page.id for page in of.pages], deck.slides, strict=False))
    tables = {name: [item for item in pages[name].items if isinstance(item, Table)] for name in pages}
    cells = (C1, C8, C32, cell(8, 1_000))
    for (pickled, _), row in zip(COMPILED.values(), tables["alike"][0].rows[1:], strict=True):
        for of_cell, told in zip(cells, row[1:], strict=True):
            ratio = comparison.ratio(PIPELINE, pickled, of_cell)
            assert float(told.partition("×")[0]) == pytest.approx(ratio, rel=0.05)
    (rows,) = [table.rows for table in tables["contenders"]]
    figures = {row[0]: row[1:4] for row in rows}
    for name, label in ((THIS, "This Bento"), (SAME_MODEL, "FastAPI, same compiled model")):
        memory = comparison.rss_mb(name, "started", "all")
        rate, start = comparison.rate(name, C32), comparison.start_seconds(name)
        assert figures[label] == (f"{rate:,.0f}", f"{start:.1f}", f"{memory:,.0f}")
    quotient = comparison.rate(THIS, C32) / comparison.rate(SAME_MODEL, C32)
    assert any(f"that would be {quotient:.1f}×" in told for told in texts(pages["contenders"]))


def test_the_words_on_serving_hold_in_the_measurements(of: Told, slides: dict[str, Slide]) -> None:
    found = Measured(of, "en")
    comparison, ratios = found.comparison, found.comparison.ratios
    # "With few connections it ties or loses."
    assert min(ratios(THIS, SAME_MODEL, C1)) <= 1
    assert max(ratios(PIPELINE, NAIVE, C1)) < 1
    # "No difference can be told" from the fastest model server with the pickle, or by merging one connection.
    assert min(ratios(PIPELINE, found.server, C32)) < 1 < max(ratios(PIPELINE, found.server, C32))
    assert min(ratios(THIS, DIRECT, C1)) < 1 < max(ratios(THIS, DIRECT, C1))
    # "Under load, merging yields more"; alone it costs, "though not in every round".
    assert min(ratios(THIS, DIRECT, C32)) > 1
    merged, direct = (comparison.median(name, C1, "p50_ms") for name in (THIS, DIRECT))
    assert f"from {direct:.2f} to {merged:.2f} ms" in slides["sequence"].said
    # BentoML's dispatcher yields less with eight connections, and has the shorter tail with 128.
    ours, theirs = (comparison.median(name, cell(128, 1), "p99_ms") for name in (THIS, BENTOMLS))
    assert theirs < ours
    assert f"{ours / theirs:.1f} times better, {theirs:.0f} against {ours:.0f} ms" in slides["sequence"].said
    # "Arrow loses with batches of 100 and wins with 1,000", with eight connections.
    assert max(ratios(ARROW, THIS, cell(8, 100))) < 1 < min(ratios(ARROW, THIS, cell(8, 1_000)))


def test_the_words_on_costs_hold_in_the_measurements(of: Told, slides: dict[str, Slide]) -> None:
    found = Measured(of, "en")
    scoring = measured("load_tests/measurements/complexity.json")["scoring"]
    of_one = {(each["form"], each["trees"], each["depth"]): each for each in scoring if each["rows"] == 1}
    faster = [
        of_one["pipeline", *model]["seconds"] / each["seconds"]
        for (form, *model), each in of_one.items()
        if form == "compiled"
    ]
    assert len(faster) == 12
    assert f"{min(faster):.0f} to {max(faster):.0f} times as fast" in slides["complexity"].title
    # "One worker and two answer nearly the same" for a busy core, in one measurement; in another they don't.
    (one, cores_one), (two, cores_two) = found.busiest(1), found.busiest(2)
    assert two / cores_two == pytest.approx(one / cores_one, rel=0.1)
    compared = [found.comparison.per_cpu_second(THIS, C32, workers) for workers in (1, 2)]
    shown = " and ".join(f"{round(each, -2):,.0f}" for each in compared)
    assert any(f"another measurement: {shown}" in told for told in texts(slides["complexity"]))
    # Both ends of the price of a million: at 70 % of what a worker answered in either measurement.
    prices = [0.04 / 3_600 / (0.7 * rate) * 1e6 for rate in (one, found.comparison.rate(THIS, C32))]
    assert any(f"{prices[0]:.3f} to {prices[1]:.3f} USD" in told for told in texts(slides["complexity"]))
    # The objective holds in all that was measured up to the connections that are told, and not beyond.
    assert any(
        f"measured up to {found.in_flight()} in flight" in told for told in texts(slides["deployment"])
    )
    p99 = {each: found.scaling.median(1, each, "p99_ms") for each in found.scaling.connections}
    assert max(took for connections, took in p99.items() if connections <= found.in_flight()) <= 50
    assert p99[2 * found.in_flight()] > 50


def test_the_words_on_the_soak_hold_in_the_measurements(of: Told, slides: dict[str, Slide]) -> None:
    found = Measured(of, "en")
    soak, samples = found.soak, found.samples()
    told = texts(slides["soak"])
    # What is counted with a kill is what failed within so many seconds after one.
    assert soak["failed_without_a_kill"] == 0
    assert soak["unexpected"] == []
    assert f"within {KILL_SECONDS} s after a kill -9" in slides["soak"].title
    rates = [
        [each["requests_per_second"] for each in samples if each["worker_connections"] in connections]
        for connections in (range(BURST + 1, 1_001), range(CALM + 1))
    ]
    burst, calm = (sorted(each)[len(each) // 2] for each in rates)
    assert f"{burst:,.0f} and {calm:,.0f}/s" in "\n".join(told)
    assert burst < calm / 2
    predicted = sum(answers.get("200", 0) for answers in soak["answers"].values())
    assert f"{predicted:,} are predictions" in slides["soak"].said

    def back(after: float) -> float:
        """Seconds until the rate is back at four fifths of that without a burst."""
        return next(
            float(each["seconds"]) - after
            for each in samples
            if each["seconds"] > after + 5 and each["requests_per_second"] > 0.8 * calm
        )

    kills, bursts = (
        [at for at, fault in soak["fault_times"] if fault == kind]
        for kind in ("worker killed", "burst of 1,000")
    )
    # "Some fifteen seconds" after the only kill that no burst is near.
    (alone,) = [kill for kill in kills if not any(-25 < kill - burst < 60 for burst in bursts)]
    assert back(alone) == pytest.approx(15, abs=3)
    # "About one to three minutes" after bursts; the run ended before the rate was back from the last.
    assert all(50 <= back(at) <= 190 for at in bursts[:-1])


def test_targets_that_noise_decides_are_named(of: Told, deck: Deck) -> None:
    comparison = Comparison()
    # Rounds on both sides of the target: 0.7, 0.3 ms and 10.
    invalid = comparison.ratios("this bundle, 1 % of rows invalid", THIS, cell(1, 1_000))
    assert min(invalid) < 0.7 < max(invalid)
    rounds = [[each[name]["cells"][C1]["p50_ms"] for name in (THIS, DIRECT)] for each in comparison.rounds]
    added = [merged - direct for merged, direct in rounds]
    assert min(added) < 0.3 < max(added)
    pipelines = comparison.ratios(PIPELINE, PIPELINE_DIRECT, C32)
    assert min(pipelines) < 10 < max(pipelines)
    (slide,) = [slide for slide in deck.slides if slide.title.endswith("one by one (1/2)")]
    (told,) = [told for told in texts(slide) if told.startswith("Four that are met")]
    assert f"({min(pipelines):.1f} to {max(pipelines):.1f}×)" in told
    assert "NDJSON with two processes: 1.71 to 1.70" in told


def test_titles_have_the_figures_of_the_measurements(slides: dict[str, Slide]) -> None:
    comparison = Comparison()
    soak = measured("load_tests/measurements/soak.json")
    auc = measured("docs/evaluation/evaluation.json")["metrics"]["auc"]
    assert f"{comparison.ratio(THIS, SAME_MODEL, C32):.1f}× what FastAPI" in slides["performance"].title
    asked = soak["answered"] + soak["failed"]
    assert f"{soak['failed']} of {asked:,} requests were lost" in slides["soak"].title
    assert f"AUC is {auc:.3f}" in slides["quality"].title
    report = (ROOT / "load_tests/REPORT.md").read_text(encoding="utf-8")
    missed = sum(line.startswith("| ") and line.endswith("| **no** |") for line in report.splitlines())
    assert f"missed {missed} of " in slides["aims"].title


def test_each_aim_is_a_mark_on_the_side_where_it_belongs(of: Told, slides: dict[str, Slide]) -> None:
    parts = list(slides["aims"].parts)
    keys, marks = (
        [
            part
            for part in parts
            if isinstance(part, Box) and (part.w, part.h) == (12, 12) and (part.y < 100) == above
        ]
        for above in (True, False)
    )
    assert [key.fill for key in keys] == [OURS, AGAINST]
    every = [aim for aims in Measured(of, "en").aims.values() for aim in aims]
    assert len(marks) == len(every)
    assert sum(mark.fill == OURS for mark in marks) == sum(aim.is_met() is True for aim in every)
    met = min(mark.x for mark in marks if mark.fill == OURS)
    assert max(mark.x for mark in marks if mark.fill == AGAINST) < met
    # The title's share stands beside its mark, the furthest at the left.
    furthest = min(marks, key=lambda mark: mark.x)
    label, named = (part for part in parts if isinstance(part, Box) and part.ink == AGAINST)
    worst = min((aim for aim in every if aim.share is not None), key=lambda aim: aim.share or 0)
    assert named.head == f"{label.head}: {Measured(of, 'en').aim_name(worst)}"
    assert label.head in slides["aims"].title
    assert label.x + label.w <= furthest.x
    assert label.y < furthest.y + furthest.h / 2 < label.y + label.h


def test_charts_have_the_measured_points(slides: dict[str, Slide]) -> None:
    (costs,) = [item for item in slides["complexity"].items if isinstance(item, LineChart)]
    cells = measured("load_tests/measurements/complexity.json")["scoring"]
    for form in ("compiled", "pipeline"):
        wanted = [
            (cell["rows"], cell["seconds"] * 1_000)
            for cell in cells
            if (cell["form"], cell["trees"], cell["depth"]) == (form, *MODEL)
        ]
        assert costs.series[form.capitalize()] == tuple(sorted(wanted))
    # A line between both for each number of rows.
    assert [guide.points for guide in costs.guides] == list(zip(*costs.series.values(), strict=True))
    (soak,) = [item for item in slides["soak"].items if isinstance(item, LineChart)]
    times = measured("load_tests/measurements/soak.json")["fault_times"]
    killed = [at / 60 for at, fault in times if fault == "worker killed"]
    lines = [guide.points for guide in soak.guides if guide.label == "kill -9 of a worker"]
    assert lines == [((at, 0), (at, soak.up.ends[1])) for at in killed]


def test_an_interval_of_calibration_holds_what_was_seen(slides: dict[str, Slide]) -> None:
    (chart,) = [item for item in slides["quality"].items if isinstance(item, LineChart)]
    intervals = [guide.points for guide in chart.guides if guide.label == "95\u00a0% interval"]
    seen, low, high = ([y for _, y in points] for points in (chart.series["Deployed"], *intervals))
    assert all(least <= share <= most for least, share, most in zip(low, seen, high, strict=True))
    # Of some 111 applications, of which nobody or one in two defaults.
    assert low[0] == 0
    assert 0.02 < high[0] < 0.05
    middle = min(range(len(seen)), key=lambda each: abs(seen[each] - 0.5))
    assert 0.15 < high[middle] - low[middle] < 0.2


@pytest.mark.parametrize("language", ["es", "en"])
def test_every_figure_has_a_command_and_the_pages_that_show_it(of: Told, language: Language) -> None:
    slides = Implementation(of, language).deck().slides
    (rows,) = [item.rows for item in slides[-1].items if isinstance(item, Table)]
    assert [row[0] for row in rows[1:]] == [source.file for source in of.sources]
    titles = [slide.title for slide in slides]
    for (file, command, version, pages), source in zip(rows[1:], of.sources, strict=True):
        assert (ROOT / file).is_file()
        assert command == source.command
        known = versions().get(file.rpartition("/")[2].removesuffix(".json"))
        if known:
            day = date.fromisoformat(known["day"])
            told_day = f"{day:%d-%m-%Y}" if language == "es" else f"{day:%Y-%m-%d}"
            assert version == f"{known['commit']} · {told_day}"
        shown = [page for page in of.pages if page.id in source.pages or file in page.reads]
        words = Measured(of, language).words
        for number, page in zip(pages.split(", "), shown, strict=True):
            told = words.of(page.title)
            assert titles[int(number) - 1].lower().startswith(told.lower())
            assert page.annex or command in slides[int(number) - 1].said


def test_all_that_an_annex_page_reads_has_a_command(of: Told) -> None:
    known = {source.file for source in of.sources}
    assert {name for page in of.pages for name in page.reads} - {"README.md"} <= known


def test_notes_of_a_page_are_alike_and_end_at_one_line(slides: dict[str, Slide]) -> None:
    for name in ("complexity", "soak", "quality"):
        cards = [item for item in slides[name].items if isinstance(item, Box) and item.fill == PALE]
        assert len(cards) == 3
        assert len({(card.w, card.h) for card in cards}) == 1
        assert max(card.y + card.h for card in cards) == CLOSE


def test_a_joint_call_answers_both_that_waited(slides: dict[str, Slide]) -> None:
    arrows = [part for part in slides["sequence"].parts if isinstance(part, Arrow) and part.colour != AGAINST]
    caller = min(x for arrow in arrows for x, _ in arrow.points)
    answers = [arrow for arrow in arrows if arrow.points[-1][0] == caller]
    calls = [
        arrow for arrow in arrows if arrow.points[-1][0] == max(x for each in arrows for x, _ in each.points)
    ]
    # Each call of the tables comes before its answer.
    assert len(answers) == len(calls) == 2
    assert [call.points[0][1] < answer.points[0][1] for call, answer in zip(calls, answers, strict=True)] == [
        True
    ] * 2
    title = slides["sequence"].title
    (gain,) = [told for told in texts(slides["sequence"]) if told.startswith("Merging yields")]
    assert gain.removeprefix("Merging ").removesuffix(" more") in title


@pytest.mark.parametrize(
    ("language", "power", "day"), [("es", "8,0·10⁻¹⁶", "26-11-2026"), ("en", "8.0·10⁻¹⁶", "2026-11-26")]
)
def test_small_numbers_and_days_are_written_as_the_language_does(
    of: Told, language: Language, power: str, day: str
) -> None:
    found = Measured(of, language)
    assert (found.power(8.04e-16), found.day("2026-11-26")) == (power, day)
