"""Workers: results in order, whoever works, and nobody left behind."""

from __future__ import annotations

import itertools
import os
import time
from concurrent.futures.process import BrokenProcessPool

import psutil
import pytest

from propensity.files.workers import in_order


def worked(number: int) -> tuple[int, int]:
    """What a process returns for a task: its number, and who did it."""
    time.sleep(0.01)
    return number, os.getpid()


def failed(number: int) -> tuple[int, int]:
    raise ValueError(number)


def ended(number: int) -> tuple[int, int]:
    os._exit(number)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_results_come_in_order_from_every_process(processes: int) -> None:
    """This one works too, from the first task on, before the others have started."""
    found: list[tuple[int, int]] = []
    for result in in_order(worked, worked, zip(itertools.count(), strict=False), processes):
        found.append(result)
        if len({process for _, process in found}) == processes and len(found) >= 100:
            break
    assert [number for number, _ in found] == [*range(len(found))]
    assert found[0] == (0, os.getpid())
    assert not any("spawn_main" in " ".join(child.cmdline()) for child in psutil.Process().children())


def test_a_few_tasks_are_done_before_another_process_has_started() -> None:
    assert [*in_order(worked, failed, [(number,) for number in range(3)], 2)] == [
        (number, os.getpid()) for number in range(3)
    ]


def test_an_error_of_another_process_is_raised_here() -> None:
    with pytest.raises(ValueError, match=r"^[0-9]+$"):
        for _ in in_order(worked, failed, zip(itertools.count(), strict=False), 2):
            pass


def test_a_process_that_ends_before_its_work_is_done_is_an_error() -> None:
    with pytest.raises(BrokenProcessPool):
        for _ in in_order(worked, ended, zip(itertools.count(1), strict=False), 2):
            pass
