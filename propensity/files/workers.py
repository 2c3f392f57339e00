"""Workers: processes that do the same work on one piece after another, beside each other."""

from __future__ import annotations

import logging
import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import starmap
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any, TypeVar

_T = TypeVar("_T")


def in_order(
    here: Callable[..., _T], elsewhere: Callable[..., _T], tasks: Iterable[tuple[Any, ...]], processes: int
) -> Generator[_T]:
    """Yield the result of each task, in order.

    This process works too, whenever the others have three tasks each: it does not wait for them to start.

    Args:
        here: what to call with a task's arguments in this process.
        elsewhere: the same for another process; it is pickled.
        tasks: the arguments, which are pickled.
        processes: number of processes, with this one. The others are spawned: a fork would copy locks that
            other threads hold.

    Raises:
        BrokenProcessPool: a process ended before its work was done.
        Exception: what the work raised.
    """
    if processes == 1:
        yield from starmap(here, tasks)
        return
    others = processes - 1
    with ProcessPoolExecutor(others, mp_context=get_context("spawn"), initializer=_prepare) as pool:
        started = [pool.submit(os.getpid) for _ in range(others)]
        waiting: deque[Future[_T]] = deque()
        try:
            for task in tasks:
                room = 3 * sum(each.done() for each in started)
                if sum(not each.done() for each in waiting) < room:
                    waiting.append(pool.submit(elsewhere, *task))
                else:
                    waiting.append(Future())
                    waiting[-1].set_result(here(*task))
                while waiting and waiting[0].done():
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
