"""Folds: the rows of a table that the buckets of a model's columns select, added up or ANDed."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np
import numpy.typing as npt

from propensity.model.buckets import FEW

JOINED_BYTES = 1024 * 1024
"""Size up to which the table of joined columns stays in the processor's cache."""


class Fold:
    """Folds the rows that all columns select into one.

    Columns of few buckets are joined: the rows that their buckets select together are folded in advance.

    Args:
        operation: folds two rows.
        table: a row for each bucket, numbered as in `Buckets`, shape (buckets, width).
        sizes: number of keys of each column, as in `Buckets`, shape (columns,).
    """

    def __init__(self, operation: np.ufunc, table: npt.NDArray[Any], sizes: npt.NDArray[np.integer]) -> None:
        self._operation, self._table = operation, table
        counts = (sizes + 1).tolist()
        of_column = np.split(table, np.cumsum(counts)[:-1])
        joints = joined(sizes, table[0].nbytes)
        # The numbers of a joint's buckets add up to the place of its row.
        numbers: list[Any] = [None] * len(counts)
        tables, first = [], 0
        for joint in joints:
            rows = of_column[joint[0]]
            for column in joint[1:]:
                rows = operation(rows[:, None], of_column[column]).reshape(-1, rows.shape[1])
            stride = len(rows)
            for column in joint:
                stride //= counts[column]
                numbers[column] = np.arange(counts[column]) * stride
            numbers[joint[0]] += first
            tables.append(rows)
            first += len(rows)
        self._joined = np.concatenate(tables)
        self._numbers = np.concatenate(numbers)
        self._leaders = np.array([joint[0] for joint in joints])
        self._others = [(place, column) for place, joint in enumerate(joints) for column in joint[1:]]

    def of(self, buckets: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
        """Return the row that all columns' rows are folded to, shape (n, width).

        Args:
            buckets: of each value, shape (columns, n).
        """
        if buckets.shape[1] <= FEW:
            # To find the joined rows would take longer than to fold some more.
            return self._folded(self._table.take(buckets, axis=0))
        numbers = self._numbers.take(buckets)
        places = numbers.take(self._leaders, axis=0)
        for place, column in self._others:
            places[place] += numbers[column]
        return self._folded(self._joined.take(places, axis=0))

    def _folded(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        # In their own type: wider sums would take longer.
        folded: npt.NDArray[Any] = self._operation.reduce(rows, axis=0, dtype=rows.dtype)
        return folded


def joined(sizes: npt.NDArray[np.integer], row_bytes: int) -> list[list[int]]:
    """Return which columns are joined, or alone.

    Args:
        sizes: number of keys of each column.
        row_bytes: size of a row of the table.
    """
    joints = [(int(size) + 1, [column]) for column, size in enumerate(sizes)]
    rows = sum(count for count, _ in joints)
    heapify(joints)
    while len(joints) > 1:
        # The two that have the fewest buckets.
        (some, columns), (others, more) = heappop(joints), heappop(joints)
        rows += some * others - some - others
        if rows * row_bytes > JOINED_BYTES:
            return [columns, more, *(joint for _, joint in joints)]
        heappush(joints, (some * others, [*columns, *more]))
    return [joint for _, joint in joints]
