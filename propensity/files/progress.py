"""Progress of what takes long: a bar on a terminal, plain lines in a log, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_SECONDS = 10.0
"""Between two lines in a log."""


class Lines:
    """Says how far it is, now and then."""

    def __init__(self, what: str, total: int | None) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._next = time.monotonic() + LINE_SECONDS

    def advance(self, by: int) -> None:
        """So many more are done."""
        self._done += by
        if time.monotonic() >= self._next or self._done == self._total:
            of = "" if not self._total else f" of {self._total:,} ({self._done / self._total:.0%})"
            print(f"{self._what}: {self._done:,}{of}", file=sys.stderr, flush=True)
            self._next = time.monotonic() + LINE_SECONDS


class Bar:
    """Draws how far it is."""

    def __init__(self, progress: Progress, what: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=total)

    def advance(self, by: int) -> None:
        """So many more are done."""
        self._progress.advance(self._task, by)


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Bar | Lines]:
    """Shows the progress of the block.

    Args:
        what: is done, in a word or two.
        total: how many there are; None, if nobody knows.
    """
    if not sys.stderr.isatty():
        yield Lines(what, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield Bar(bar, what, total)
