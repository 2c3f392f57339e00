"""Progress of long work on standard error: a bar on a terminal, now and then a plain line in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_SECONDS = 10.0
"""Seconds between two lines in a log."""


class _Lines:
    """Progress as plain lines; rich prints only the end of a bar where there is no terminal."""

    def __init__(self, task: str, total: int | None) -> None:
        self._task = task
        self._total = total
        self._done = 0
        self._next = time.monotonic() + LINE_SECONDS

    def advance(self, count: int) -> None:
        self._done += count
        if time.monotonic() >= self._next or self._done == self._total:
            of = "" if not self._total else f" of {self._total:,} ({self._done / self._total:.0%})"
            print(f"{self._task}: {self._done:,}{of}", file=sys.stderr, flush=True)
            self._next = time.monotonic() + LINE_SECONDS


@contextmanager
def progress(task: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show the progress of the block; gives the function to call with the number of items just done.

    Args:
        task: what is being done, in a word or two.
        total: number of items; None if unknown.
    """
    if not sys.stderr.isatty():
        yield _Lines(task, total).advance
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield partial(bar.advance, bar.add_task(task, total=total))
