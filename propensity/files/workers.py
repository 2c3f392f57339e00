"""Workers: processes that do the same work on one piece after another, beside each other."""

from __future__ import annotations

import logging
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any, TypeVar

_T = TypeVar("_T")


def in_order(work: Callable[..., _T], tasks: Iterable[tuple[Any, ...]], processes: int) -> Iterator[_T]:
    """Yield what `work` returns for each task, in order; at most two tasks a process are held at a time.

    Args:
        work: a function of a module, called with each task's arguments.
        tasks: the arguments, which are pickled.
        processes: number of processes. They are spawned: a fork would copy locks that other threads hold.

    Raises:
        BrokenProcessPool: a process ended before its work was done.
        Exception: what `work` raised.
    """
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_prepare) as pool:
        waiting: deque[Future[_T]] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(work, *task))
                if len(waiting) == 2 * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _prepare() -> None:
    """Leave signals and warnings to the first process, and end with it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    logging.disable(logging.WARNING)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
