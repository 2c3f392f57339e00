"""Buckets: found exactly, for any finite float, whatever the keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from propensity.contract.field import LARGEST
from propensity.model.buckets import BLOCK, FEW, Buckets

random = np.random.default_rng(0)

KEYS: dict[str, Callable[[], Any]] = {
    "none": list,
    "one": lambda: [3.5],
    "whole numbers": lambda: random.integers(0, 400, 80),
    "any numbers": lambda: random.normal(size=200),
    "close to zero, and far": lambda: np.exp(8 * random.normal(size=200)),
    "below zero": lambda: -np.exp(3 * random.normal(size=50)),
    "neighbours": lambda: 0.1 + np.spacing(0.1) * np.arange(20),
    "neighbours far from zero": lambda: np.nextafter([1e300, 2e300], np.inf).repeat(2),
    "a range that is no float": lambda: [-LARGEST, -1.0, 1e-300, LARGEST],
    "subnormal": lambda: [-5e-324, 0.0, 5e-324, 1e-320],
    "times": lambda: 1.7e9 + random.integers(0, 10**6, 100),
    "the largest float": lambda: [np.nextafter(LARGEST, 0.0), LARGEST],
}


def around(keys: Any) -> Any:
    """The keys, their neighbours, and values far from them."""
    beside = [np.nextafter(keys, to) for to in (-LARGEST, LARGEST)]
    extremes = [0.0, -0.0, 5e-324, 1e9, -1e9, LARGEST, -LARGEST, np.nan]
    return np.concatenate([keys, *beside, np.floor(keys), extremes])


@pytest.mark.parametrize("rows", [1, FEW, FEW + 1, BLOCK, 3 * BLOCK + 1])
def test_a_value_is_in_the_bucket_of_the_first_key_that_is_not_less(rows: int) -> None:
    keys = [np.unique(np.array(make(), np.float64)) for make in KEYS.values()]
    buckets = Buckets(
        np.concatenate([np.append(of_column, np.inf) for of_column in keys]),
        np.array([len(of_column) + 1 for of_column in keys]),
    )
    features = np.column_stack([random.choice(around(of_column), rows) for of_column in keys])
    found = buckets.of(features)
    first = 0
    for column, (name, of_column) in enumerate(zip(KEYS, keys, strict=True)):
        values = features[:, column, None]
        place = np.where(np.isnan(values[:, 0]), len(of_column) + 1, (of_column < values).sum(axis=1))
        assert (found[column] == first + place).all(), name
        assert buckets.firsts[column] == first
        first += len(of_column) + 2


@pytest.mark.parametrize("name", KEYS)
def test_a_column_alone_has_buckets_too(name: str) -> None:
    keys = np.unique(np.array(KEYS[name](), np.float64))
    features = np.tile(around(keys), 40)[:, None]
    expected = np.where(np.isnan(features[:, 0]), len(keys) + 1, (keys < features).sum(axis=1))
    assert Buckets(np.append(keys, np.inf), np.array([len(keys) + 1])).of(features).tolist() == [
        expected.tolist()
    ]
