"""What a pipeline's preprocessing makes of each field, found by evaluating it.

Trees test encoded columns, and rows have fields. Whatever the preprocessing is, as long as an encoded column
answers to one field only, the values of a field fall into intervals that no test tells apart. This module
finds these intervals, to the last bit of their ends: it evaluates the preprocessing over a grid of each
field's values, and searches wherever the outcome of a test switches. (Where rounding errors of a curve make
it flicker over more floats than are looked at, a float among them may be on the wrong side.)
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from propensity.contract.features import Features
from propensity.contract.field import EXACT, Field
from propensity.model.pipeline import PipelineForm

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Ordered = npt.NDArray[np.uint64]
Truths = npt.NDArray[np.bool_]

ALL_WHOLE = 4_096
"""Whole numbers between the bounds of a field up to which all are evaluated."""

EVEN = 257
BY_MAGNITUDE = 513
FROM_ROWS = 1_024
REMEMBERED = 2_048
"""Values of a grid at most: evenly between the bounds; evenly among the floats between them; values of the
hold-out set, and as many between them; numbers that the fitted pipeline remembers, such as edges of bins."""

TRIED = 17
"""Values of each field that the whole pipeline is tried with, before anything is made of it."""

NEAR = 16
"""Floats below and above a switch that are evaluated, too."""

COMPARED = 256
MISSING_SHARE = 0.25
"""Random rows by which it is checked that each encoded column answers to one field only, and how much of a
field that may be missing is missing in them."""

TOGETHER = 4_096
"""Rows that are encoded at a time where the search may choose: a call takes long for a single row, too."""

SEED = 20_26


class NotCompilableError(Exception):
    """A pipeline has no form of this kind; the message says why, in one line."""


Form = TypeVar("Form")


@dataclass(frozen=True)
class Compiled(Generic[Form]):
    """A compiled form.

    Attributes:
        form: the form.
        probes: for each column of the contract, values on both sides of everything that the form tells apart:
            of numbers, neighbouring floats or whole numbers, and both ends; of categories, all places. NaN
            stands last if the field may be missing.
    """

    form: Form
    probes: list[Floats]


class Tests(Protocol):
    """Tests of one encoded column, in such an order that a value that passes one passes all after it."""

    @property
    def column(self) -> int:
        """The place of the encoded column."""

    def ranks(self, values: Floats) -> Whole:
        """Return the first test that each value passes, shape (n,); if none, the number of tests."""

    def passes(self, values: Floats, places: Whole) -> Truths:
        """Return whether each value passes the test at its place, shape (n,)."""


@dataclass(frozen=True)
class Encoding:
    """The intervals of each field's values, and what the tests say of them.

    Attributes:
        keys: upper ends of the intervals of each column in turn, as in `Buckets`.
        sizes: the number of keys of each column, as in `Buckets`.
        columns: for each `Tests`, the place of the column that it answers to, or -1 if it answers to none.
        ranks: for each `Tests`, the rank of each bucket of its column, the last for a missing value; a single
            rank if it answers to none.
        probes: as in `Compiled`.
    """

    keys: Floats
    sizes: Whole
    columns: list[int]
    ranks: list[Whole]
    probes: list[Floats]


def find_encoding(
    form: PipelineForm, encode: Callable[[Features], Floats], tests: Sequence[Tests], rows: Features
) -> Encoding:
    """Return the encoding of a pipeline.

    Values beyond those that the pipeline takes, such as a number that overflows in it, are encoded like the
    last that it takes.

    Args:
        form: the pipeline.
        encode: from features, shape (n, columns), to the encoded columns, shape (n, encoded columns).
        tests: all tests of the trees.
        rows: features of the hold-out set, whose values are tried among others.

    Raises:
        NotCompilableError: an encoded column answers to several fields, or the pipeline fails on values
            that the contract allows.
    """
    grids = _Grids(form, encode, rows)
    columns = [int(grids.owners[each.column]) for each in tests]
    found = _switches(grids, tests, columns)
    keys = [switches.keys() for switches in found]
    values = [
        np.concatenate([inside := switches.inside(of_column), missing if len(missing) else inside[-1:]])
        for switches, of_column, missing in zip(found, keys, grids.missing, strict=True)
    ]
    encoded = grids.encode_together(values)
    return Encoding(
        keys=np.concatenate([np.append(of_column, np.inf) for of_column in keys]),
        sizes=np.array([len(of_column) + 1 for of_column in keys]),
        columns=columns,
        ranks=[
            each.ranks(encoded[: 1 if column < 0 else len(values[column]), each.column])
            for each, column in zip(tests, columns, strict=True)
        ],
        probes=[
            np.append(np.unique(np.append(switches.sides(), ends)), missing)
            for switches, ends, missing in zip(found, grids.ends, grids.missing, strict=True)
        ],
    )


class _Grids:
    """Values of each column to look for switches between, and what the preprocessing makes of them.

    Attributes:
        values: of each column, ascending, without NaN.
        missing: NaN for a column that may be missing, and nothing for another.
        ends: of each column, the least and the largest value, or all places of a category.
        whole: whether a column has whole numbers only.
        owners: the column that each encoded column answers to, or -1, shape (encoded columns,).
    """

    def __init__(self, form: PipelineForm, encode: Callable[[Features], Floats], rows: Features) -> None:
        self._form, self._encode = form, encode
        self._fields = form.contract.columns.fields
        self._base = form.contract.encode([form.contract.example])
        landmarks = np.concatenate([np.empty(0), *_remembered(form.pipeline)])
        self.whole = [field.kind != "number" for field in self._fields]
        self.missing = [np.full(int(field.nullable), np.nan) for field in self._fields]
        self.values = [
            self._taken(place, field, _grid(field, rows[:, place], landmarks))
            for place, field in enumerate(self._fields)
        ]
        self.ends = [
            values[[0, -1]] if field.categories is None else values
            for field, values in zip(self._fields, self.values, strict=True)
        ]
        self.owners = self._find_owners()
        self._check_owners()

    def encode(self, features: Features) -> Floats:
        """Return the encoded columns of features, whatever the preprocessing warns of."""
        with _silence():
            return self._encode(features)

    def encode_together(self, values: Sequence[Floats]) -> Floats:
        """Return what values of each column are encoded as, all columns at once.

        Args:
            values: of each column, any number of them.

        Returns:
            In row i, what the i-th value of each column is encoded as, shape (most, encoded columns).
        """
        features = self._base.repeat(max(1, *map(len, values)), axis=0)
        for place, of_column in enumerate(values):
            features[: len(of_column), place] = of_column
        return self.encode(features)

    def _alone(self, place: int, values: Floats) -> Features:
        """Return features that differ from the base in one column."""
        features = self._base.repeat(len(values), axis=0)
        features[:, place] = values
        return features

    def _failure(self, place: int, values: Floats) -> str:
        """Return the error of the pipeline on some values of a column, or nothing."""
        features = self._alone(place, values)
        try:
            with _silence():
                self._form.propensities(features)
                self._encode(features)
        except Exception as error:
            return f"{type(error).__name__}: {error}".partition("\n")[0]
        return ""

    def _taken(self, place: int, field: Field, grid: Floats) -> Floats:
        """Return the part of a grid that the pipeline takes."""
        if failure := self._failure(place, self.missing[place]) if field.nullable else "":
            raise NotCompilableError(f"the pipeline fails where {field.name} is missing ({failure})")
        home = min(len(grid) - 1, int(np.searchsorted(grid, np.nanmax([self._base[0, place], grid[0]]))))
        failure = self._failure(place, grid[_spread(len(grid), TRIED)])
        if failure and field.kind in {"integer", "number"}:
            first, last = (self._farthest(place, grid, home, beyond) for beyond in (-1, len(grid)))
            grid = grid[first : last + 1]
            failure = self._failure(place, grid[_spread(len(grid), TRIED)])
        if failure:
            raise NotCompilableError(f"the pipeline fails on values of {field.name} ({failure})")
        return grid

    def _farthest(self, place: int, grid: Floats, taken: int, beyond: int) -> int:
        """Return the place in a grid of the last value that the pipeline takes, on the way to `beyond`."""
        while abs(beyond - taken) > 1:
            middle = (taken + beyond) // 2
            if self._failure(place, grid[[middle]]):
                beyond = middle
            else:
                taken = middle
        return taken

    def _find_owners(self) -> Whole:
        base = self.encode(self._base)
        owners = np.full(base.shape[1], -1)
        for place, field in enumerate(self._fields):
            values = np.concatenate([self.values[place], self.missing[place]])
            try:
                encoded = self.encode(self._alone(place, values))
            except Exception as error:
                raise NotCompilableError(
                    f"the pipeline fails on values of {field.name} ({type(error).__name__}: {error})"
                ) from error
            answers = _differ(encoded, base).any(axis=0)
            if (both := answers & (owners >= 0)).any():
                other = self._fields[owners[both.argmax()]].name
                raise NotCompilableError(f"its preprocessing mixes {other} and {field.name} into one column")
            owners[answers] = place
        return owners

    def _check_owners(self) -> None:
        """Check that what a column is encoded as depends on no other, nor on other rows."""
        random = np.random.default_rng(SEED)
        features = np.column_stack([random.choice(values, COMPARED) for values in self.values])
        for column, missing in zip(features.T, self.missing, strict=True):
            if len(missing):
                column[random.random(COMPARED) < MISSING_SHARE] = np.nan
        together = self.encode(features)
        # In other company, too.
        some = features[: COMPARED // 2]
        for place, field in enumerate(self._fields):
            alone = self.encode(self._alone(place, some[:, place]))
            if _differ(together[: len(some)], alone)[:, self.owners == place].any():
                raise NotCompilableError(f"its preprocessing of {field.name} depends on other values, too")


@contextmanager
def _silence() -> Iterator[None]:
    """Ignore warnings: unusual values are tried on purpose."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def _differ(some: Floats, others: Floats) -> Truths:
    differ: Truths = (some != others) & ~(np.isnan(some) & np.isnan(others))
    return differ


def _spread(size: int, most: int) -> Whole:
    """Return at most so many places of a list, with its ends, evenly."""
    return np.unique(np.linspace(0, size - 1, min(size, most)).astype(np.int64))


def _grid(field: Field, rows: Floats, landmarks: Floats) -> Floats:
    """Return the values of a field to look for switches between, ascending."""
    lowest, highest = field.lowest, field.highest
    if field.kind != "number" and highest - lowest < ALL_WHOLE:
        return np.arange(lowest, highest + 1)
    ends = np.array([lowest, highest])
    first, last = _ordered(ends, whole=False)
    steps = np.linspace(0, 1, BY_MAGNITUDE)
    by_magnitude = first + (float(last - first) * steps[:-1]).astype(np.uint64)
    known = np.unique(rows[~np.isnan(rows)])
    known = known[_spread(len(known), FROM_ROWS)] if len(known) else known
    landmarks = np.unique(landmarks[(landmarks >= lowest) & (landmarks <= highest)])
    landmarks = landmarks[_spread(len(landmarks), REMEMBERED)] if len(landmarks) else landmarks
    values = np.concatenate(
        [
            ends,
            lowest * (1 - (even := np.linspace(0, 1, EVEN))) + highest * even,
            _valued(by_magnitude, whole=False),
            known,
            known[:-1] / 2 + known[1:] / 2,
            landmarks,
            landmarks[:-1] / 2 + landmarks[1:] / 2,
        ]
    )
    values = np.clip(values if field.kind == "number" else np.floor(values), lowest, highest)
    return np.unique(values + 0.0)


def _remembered(thing: Any) -> Iterator[Floats]:
    """Yield the numbers that a fitted pipeline remembers."""
    if isinstance(thing, BaseEstimator):
        thing = vars(thing)
    if isinstance(thing, dict):
        thing = [*thing.values()]
    if isinstance(thing, list | tuple) or (isinstance(thing, np.ndarray) and thing.dtype == object):
        for each in thing:
            yield from _remembered(each)
    elif isinstance(thing, int | float | np.ndarray) and (numbers := np.asarray(thing)).dtype.kind in "iuf":
        yield numbers[np.isfinite(numbers)].astype(np.float64)


def _switches(grids: _Grids, tests: Sequence[Tests], columns: Sequence[int]) -> list[_Switches]:
    """Return the switches of each column."""
    encoded = grids.encode_together(grids.values)
    found = [_Switches(values, whole) for values, whole in zip(grids.values, grids.whole, strict=True)]
    for each, column in zip(tests, columns, strict=True):
        if column >= 0:
            found[column].add(each, encoded[: len(grids.values[column]), each.column])
    at_a_time = max(1, TOGETHER // max(1, *map(len, found)))

    def outcomes_at(places: Sequence[Ordered]) -> list[Truths]:
        """Return the outcomes at some places of each column, shape (places, switches)."""
        outcomes = [[np.empty((0, len(switches)), np.bool_)] for switches in found]
        for start in range(0, max(map(len, places)), at_a_time):
            parts = [of_column[start : start + at_a_time] for of_column in places]
            encoded = grids.encode_together(
                [switches.values(part) for switches, part in zip(found, parts, strict=True)]
            )
            for switches, part, of_column in zip(found, parts, outcomes, strict=True):
                of_column.append(switches.outcomes(encoded, len(part)))
        return [np.concatenate(of_column) for of_column in outcomes]

    while any(switches.are_apart() for switches in found):
        between = [switches.between(at_a_time) for switches in found]
        for switches, places, outcomes in zip(found, between, outcomes_at(between), strict=True):
            switches.narrow(places, outcomes)
    near = [switches.near() for switches in found]
    for switches, places, outcomes in zip(found, near, outcomes_at(near), strict=True):
        switches.settle(places, outcomes)
    return found


class _Switches:
    """The switches of one column: pairs of values that have different outcomes of a test.

    First, the pairs are far apart. They are narrowed until they are neighbours. Near those, rounding errors
    of the preprocessing can make the test switch to and fro before it settles: all floats near by are
    compared. Places are values as `_ordered` numbers them, shape (places, switches).
    """

    def __init__(self, values: Floats, whole: bool) -> None:
        self._whole = whole
        self._grid = _ordered(values, whole)
        self._low = self._high = np.empty(0, np.uint64)
        self._passes = np.empty(0, np.bool_)
        self._tests: list[tuple[Tests, Whole]] = []
        self._assumed = np.empty(0, np.uint64)

    def __len__(self) -> int:
        return len(self._low)

    def add(self, tests: Tests, encoded: Floats) -> None:
        """Add the switches of some tests.

        Args:
            tests: tests of one encoded column.
            encoded: what the values of the grid are encoded as, shape (values,).
        """
        ranks = tests.ranks(encoded)
        before, after = ranks[:-1], ranks[1:]
        counts = np.abs(after - before)
        pairs = np.arange(len(counts)).repeat(counts)
        within = np.arange(len(pairs)) - (np.cumsum(counts) - counts).repeat(counts)
        self._tests.append((tests, np.minimum(before, after)[pairs] + within))
        self._low = np.append(self._low, self._grid[:-1][pairs])
        self._high = np.append(self._high, self._grid[1:][pairs])
        self._passes = np.append(self._passes, (before < after)[pairs])

    def values(self, places: Ordered) -> Floats:
        """Return the values at places, shape (places * switches,)."""
        return _valued(places.ravel(), self._whole)

    def outcomes(self, encoded: Floats, count: int) -> Truths:
        """Return the outcomes at places, shape (count, switches).

        Args:
            encoded: in the first rows, what the values at these places are encoded as.
            count: how many places.
        """
        of_switches = encoded[: count * len(self)].reshape(count, len(self), encoded.shape[1])
        outcomes, start = np.empty((count, len(self)), np.bool_), 0
        for tests, places in self._tests:
            part = slice(start, start := start + len(places))
            outcomes[:, part] = tests.passes(of_switches[:, part, tests.column], places)
        return outcomes

    def are_apart(self) -> bool:
        """Return whether there are values between those of a pair."""
        return bool((self._high - self._low > 1).any())

    def between(self, count: int) -> Ordered:
        """Return places between those of each pair, evenly and ascending."""
        step = np.maximum((self._high - self._low) // np.uint64(count + 1), 1)
        steps = np.arange(1, count + 1, dtype=np.uint64)[:, None]
        places: Ordered = np.minimum(self._low + step * steps, self._high - 1)
        return places

    def narrow(self, places: Ordered, outcomes: Truths) -> None:
        """Narrow each pair to where the outcome switches first."""
        ends = np.vstack([places, self._high])
        switched = np.vstack([outcomes != self._passes, np.full(len(self), True)])
        first, pairs = switched.argmax(axis=0), np.arange(len(self))
        self._low = np.vstack([self._low, places])[first, pairs]
        self._high = ends[first, pairs]

    def near(self) -> Ordered:
        """Return the places of the floats near each pair, ascending, as far as the grid goes."""
        if self._whole:
            return np.empty((0, len(self)), np.uint64)
        first, last = self._grid[[0, -1]]
        below = np.arange(NEAR, 0, -1, dtype=np.uint64)[:, None]
        above = np.arange(NEAR + 2, dtype=np.uint64)[:, None]
        return np.vstack([np.maximum(self._low, first + below) - below, np.minimum(self._low + above, last)])

    def settle(self, places: Ordered, outcomes: Truths) -> None:
        """Replace each pair by all that are near it."""
        if self._whole:
            return
        # Farther away, outcomes are those that the search began with; where they differ, they switch between.
        self._assumed = np.append(
            places[0][outcomes[0] != self._passes] - 1, places[-1][outcomes[-1] == self._passes]
        )
        self._low = places[:-1][outcomes[:-1] != outcomes[1:]]

    def keys(self) -> Floats:
        """Return the upper ends of the intervals that have one outcome of each test, but for the last."""
        return _valued(np.unique(np.append(self._low, self._assumed)), self._whole)

    def inside(self, keys: Floats) -> Floats:
        """Return a value of each interval, from its middle, where rounding errors do not reach."""
        ends = np.append(_ordered(keys, self._whole), self._grid[-1])
        starts = np.minimum(np.append(self._grid[0], ends[:-1] + 1), ends)
        return _valued(starts + (ends - starts) // 2, self._whole)

    def sides(self) -> Floats:
        """Return the values on both sides of each switch."""
        return _valued(np.append(self._low, self._low + 1), self._whole)


_SIGN = np.uint64(1 << 63)


def _ordered(values: Floats, whole: bool) -> Ordered:
    """Return whole numbers in the order of the values, one for each float or for each whole number."""
    if whole:
        return (values.astype(np.int64) + EXACT).astype(np.uint64)
    bits = (values + 0.0).view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _valued(ordered: Ordered, whole: bool) -> Floats:
    """Return the values that `_ordered` stands for."""
    if whole:
        return (ordered.astype(np.int64) - EXACT).astype(np.float64)
    bits = np.where(ordered & _SIGN, ordered ^ _SIGN, ~ordered)
    return bits.view(np.float64) + 0.0
