"""Folds: what columns' rows add up to, whether columns were joined or not."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest

from propensity.model.buckets import FEW
from propensity.model.fold import JOINED_BYTES, Fold, joined

SIZES = np.array([3, 200, 1, 7, 2, 90, 1])


@pytest.mark.parametrize("operation", [np.add, np.bitwise_and])
@pytest.mark.parametrize("width", [1, 70, 3_000])
@pytest.mark.parametrize("rows", [1, FEW, FEW + 1, 500])
def test_the_rows_of_all_columns_are_folded(operation: np.ufunc, width: int, rows: int) -> None:
    random = np.random.default_rng(0)
    table = random.integers(5_000, size=(int((SIZES + 1).sum()), width)).astype(np.uint16)
    firsts = np.cumsum(SIZES + 1) - SIZES - 1
    buckets = firsts[:, None] + random.integers((SIZES + 1)[:, None], size=(len(SIZES), rows))
    found = Fold(operation, table, SIZES).of(buckets)
    assert found.dtype == np.uint16
    assert np.array_equal(found, reduce(operation, (table[of_column] for of_column in buckets)))


def test_columns_of_few_buckets_are_joined_as_long_as_that_stays_small() -> None:
    joints = joined(SIZES, 100)
    assert sorted(column for joint in joints for column in joint) == [*range(len(SIZES))]
    assert {len(joint) for joint in joints} > {1}
    assert [1] in joints
    rows = sum(int(np.prod(SIZES[joint] + 1)) for joint in joints)
    assert rows * 100 <= JOINED_BYTES
    assert sorted(joined(SIZES, JOINED_BYTES)) == [[column] for column in range(len(SIZES))]
    assert len(joined(SIZES, 1)) < len(joints)
