"""The journal and the clock: what is noted together, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from propensity.http.drain import Drain
from propensity.http.exchange import Exchange
from propensity.serving import clock, journal
from propensity.serving.clock import Clock
from propensity.serving.journal import Journal


class Notes:
    """Access log, metrics and follow-up in one: keeps how much each was told of."""

    def __init__(self) -> None:
        self.lines: list[int] = []
        self.counts: list[int] = []
        self.open: list[int] = []
        self.predictions: list[int] = []
        self.followed: list[object] = []

    def journal(self) -> Journal:
        log: Any = SimpleNamespace(write=lambda ended: self.lines.append(len(ended)))

        def count(ended: list[Exchange], in_progress: set[Exchange]) -> None:
            self.counts.append(len(ended))
            self.open.append(len(in_progress))

        requests: Any = SimpleNamespace(count=count)
        predictions: Any = SimpleNamespace(count=lambda answered, _: self.predictions.append(len(answered)))
        follow_up: Any = SimpleNamespace(record=self.followed.append)
        made = Journal(log, requests)
        made.start(predictions, follow_up)
        return made


async def nowhere(_: Any) -> None: ...


def exchange(answered: object = None, rows: int | None = None) -> Exchange:
    scope = {"type": "http", "method": "POST", "path": "/v1/predict", "headers": []}
    made = Exchange(scope, nowhere, Drain())
    made.answered, made.rows = answered, rows
    return made


def go_through(kept: Journal, number: int, make: Callable[[], Exchange] = exchange) -> None:
    for _ in range(number):
        each = make()
        kept.begin(each)
        kept.end(each)


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> Notes:
    # No second passes in these tests.
    monkeypatch.setattr(journal, "time", SimpleNamespace(monotonic=lambda: -1.0))
    return Notes()


def test_many_exchanges_are_logged_and_counted_as_soon_as_they_are_many(notes: Notes) -> None:
    go_through(notes.journal(), journal.MOST_COUNTS + journal.MOST_LINES)
    assert notes.lines == [journal.MOST_LINES] * 3
    assert notes.counts == [journal.MOST_COUNTS]


def test_few_are_logged_at_a_tick_and_counted_after_a_second(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = notes.journal()
    go_through(kept, 3)
    kept.write()
    assert (notes.lines, notes.counts) == ([3], [])
    monkeypatch.setattr(journal, "time", SimpleNamespace(monotonic=lambda: 5.0))
    kept.write()
    assert (notes.lines, notes.counts) == ([3, 0], [3])
    go_through(kept, 1)
    kept.write()
    assert notes.counts == [3], "the next second has not passed"


def test_rows_that_hold_memory_are_counted_at_once(notes: Notes) -> None:
    go_through(notes.journal(), 2, lambda: exchange(object(), journal.MOST_ROWS - 1))
    assert notes.predictions == [2]


def test_what_is_left_is_noted_once_and_what_was_not_predicted_is_no_prediction(notes: Notes) -> None:
    kept = notes.journal()
    kept.begin(exchange())
    go_through(kept, 2)
    go_through(kept, 1, lambda: exchange("predicted", 1))
    kept.note_all()
    kept.note_all()
    assert (sum(notes.lines), sum(notes.counts)) == (3, 3)
    assert notes.open == [1, 1]
    assert notes.predictions == [1, 0]
    assert notes.followed == ["predicted"]


def test_what_fails_to_note_is_named_once_and_costs_the_others_nothing(
    notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    kept = notes.journal()

    def fail(_: object) -> None:
        raise ValueError("no line")

    kept._access_log = SimpleNamespace(write=fail)  # type: ignore[assignment]
    for _ in range(3):
        go_through(kept, 1)
        kept.note_all()
    assert notes.counts == [1, 1, 1]
    assert [record.message for record in caplog.records] == ["access log: failed, and misses some requests"]


def test_an_action_that_fails_is_logged_and_stops_neither_the_others_nor_the_clock(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(clock, "SECONDS", 0.001)
    ticks: list[int] = []

    def fail() -> None:
        raise OSError("no space left")

    async def main() -> None:
        ticking = Clock([fail, lambda: ticks.append(1)])
        ticking.start()
        while len(ticks) < 3:
            await asyncio.sleep(0.001)
        ticking.stop()
        stopped_at = len(ticks)
        await asyncio.sleep(0.02)
        assert len(ticks) == stopped_at

    asyncio.run(main())
    assert "no space left" in caplog.text
