"""The dispatcher: which requests it merges, what it does not wait for, and when it gives up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from propensity.contract.features import Features, Propensities
from propensity.serving.dispatcher import Dispatcher


class Model:
    """A model that predicts the first feature of each row, and keeps its calls."""

    def __init__(self, before: Callable[[], object] = lambda: None) -> None:
        self.before = before
        self.calls: list[Features] = []
        self.threads: set[int] = set()

    def predict(self, features: Features) -> Propensities:
        self.calls.append(features)
        self.threads.add(threading.get_ident())
        self.before()
        return features[:, 0]

    def dispatcher(self, *, max_rows: int = 100, instant_rows: int = 0) -> Dispatcher[Propensities]:
        self.dispatched = Dispatcher(
            self.predict,
            max_rows=max_rows,
            instant_rows=instant_rows,
            threads=ThreadPoolExecutor(1),
        )
        return self.dispatched

    @property
    def merged(self) -> list[int]:
        return self.dispatched.merged


def rows(*values: float) -> Features:
    return np.array([[value] for value in values])


def test_requests_of_one_turn_are_one_call_and_get_their_own_rows() -> None:
    model = Model()

    async def main() -> list[list[float]]:
        dispatcher = model.dispatcher()
        answers = await asyncio.gather(*(dispatcher.predict(rows(*range(n), n)) for n in range(5)))
        return [answer.tolist() for answer in answers]

    assert asyncio.run(main()) == [[float(m) for m in range(n + 1)] for n in range(5)]
    assert model.merged == [5]
    assert [len(call) for call in model.calls] == [15]


def test_what_arrives_during_a_call_is_merged_into_the_next() -> None:
    release = threading.Event()
    model = Model(before=lambda: release.wait(10))

    async def main() -> None:
        dispatcher = model.dispatcher()
        first = asyncio.create_task(dispatcher.predict(rows(1)))
        while not model.calls:
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(dispatcher.predict(rows(n))) for n in range(2, 9)]
        await asyncio.sleep(0.01)
        release.set()
        assert [float((await task)[0]) for task in (first, *others)] == list(range(1, 9))

    asyncio.run(main())
    assert model.merged == [1, 7]


def test_no_call_merges_more_rows_than_it_may_and_a_larger_request_stays_whole() -> None:
    model = Model()

    async def main() -> None:
        dispatcher = model.dispatcher(max_rows=4)
        sizes = (3, 1, 2, 9, 1)
        answers = await asyncio.gather(*(dispatcher.predict(rows(*[size] * size)) for size in sizes))
        assert [answer.tolist() for answer in answers] == [[size] * size for size in sizes]

    asyncio.run(main())
    assert [len(call) for call in model.calls] == [4, 2, 9, 1]


def test_a_call_of_few_rows_stays_in_the_event_loop_and_one_of_many_does_not() -> None:
    model = Model()

    async def main() -> None:
        dispatcher = model.dispatcher(instant_rows=2)
        await dispatcher.predict(rows(1, 2))
        assert model.threads == {threading.get_ident()}
        await dispatcher.predict(rows(1, 2, 3))
        assert len(model.threads) == 2

    asyncio.run(main())


def test_a_request_whose_caller_has_gone_is_not_predicted() -> None:
    release = threading.Event()
    model = Model(before=lambda: release.wait(10))

    async def main() -> None:
        dispatcher = model.dispatcher()
        first = asyncio.create_task(dispatcher.predict(rows(1)))
        gone = asyncio.create_task(dispatcher.predict(rows(2)))
        while not model.calls:
            await asyncio.sleep(0.001)
        last = asyncio.create_task(dispatcher.predict(rows(3)))
        late = asyncio.create_task(dispatcher.predict(rows(4)))
        await asyncio.sleep(0.01)
        late.cancel()
        release.set()
        await asyncio.gather(first, gone, last)

    asyncio.run(main())
    assert [call[:, 0].tolist() for call in model.calls] == [[1, 2], [3]]


@pytest.mark.parametrize("instant_rows", [0, 100])
def test_an_error_of_the_model_reaches_its_callers_alone(instant_rows: int) -> None:
    def fail() -> None:
        if len(model.calls) == 1:
            raise ValueError("broken")

    model = Model(before=fail)

    async def main() -> None:
        dispatcher = model.dispatcher(instant_rows=instant_rows)
        failed = await asyncio.gather(
            *(dispatcher.predict(rows(n)) for n in range(3)), return_exceptions=True
        )
        assert [str(error) for error in failed] == ["broken"] * 3
        assert (await dispatcher.predict(rows(7))).tolist() == [7]

    asyncio.run(main())


def test_an_error_around_the_model_leaves_the_dispatcher_working() -> None:
    model = Model()

    async def main() -> None:
        dispatcher = model.dispatcher()
        # Of different widths, they can't be put together.
        wide = np.zeros((1, 2))
        failed = await asyncio.gather(
            dispatcher.predict(rows(1)), dispatcher.predict(wide), return_exceptions=True
        )
        assert [type(error) for error in failed] == [ValueError] * 2
        assert (await dispatcher.predict(rows(2))).tolist() == [2]

    asyncio.run(main())


def test_an_idle_dispatcher_does_not_wait_for_company() -> None:
    model = Model()

    async def main() -> None:
        dispatcher = model.dispatcher(instant_rows=100)
        for n in range(100):
            await dispatcher.predict(rows(n))

    asyncio.run(main())
    assert model.merged == [1] * 100
