"""Parity: a compiled form predicts what its pipeline predicts, on rows that look for differences."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from propensity.contract.contract import Contract
from propensity.contract.features import Features, Propensities
from propensity.contract.field import Field
from propensity.importing.encoding import NotCompilableError
from propensity.model.forms import Form
from propensity.model.manifest import Parity
from propensity.model.pipeline import PipelineForm

Array = npt.NDArray[np.float64]

FEWEST_ROWS = 20_000
MOST_ROWS = 100_000
SECONDS = 5.0
"""Rows generated at least and at most; as many as the pipeline predicts in these seconds."""

CHUNK = 10_000
"""Rows that the pipeline predicts at a time."""

REACH = 1_000.0
"""How many times farther than the values of the hold-out set a field without bounds is tried."""

COMPANY = 200
"""Rows that are also predicted one by one, and in other company."""

SEED = 20_26


def extents(contract: Contract, rows: Features) -> Array:
    """Return least and largest value to try of each column, shape (columns, 2).

    They are the bounds of the contract; without a bound, some way beyond the values in `rows`.
    """
    found = []
    for field, values in zip(contract.columns.fields, rows.T, strict=True):
        reach = REACH * max(1.0, float(np.abs(values[~np.isnan(values)]).max(initial=0.0)))
        bounded = field.kind in {"boolean", "category"}
        lowest = field.lowest if bounded or field.minimum is not None else -reach
        highest = field.highest if bounded or field.maximum is not None else reach
        found.append((min(lowest, highest), max(lowest, highest)))
    return np.array(found)


def generated(contract: Contract, rows: Features, probes: Sequence[Array], count: int) -> Features:
    """Return random rows within the contract, shape (count, columns); the same in every run.

    One half is drawn field by field. The other half are rows of the hold-out set in which a few fields are
    drawn anew: their propensities are more often such that small differences show.

    Args:
        contract: of the rows.
        rows: of the hold-out set.
        probes: for each column, values around which predictions may change.
        count: how many.
    """
    random = np.random.default_rng(SEED)
    features = np.empty((count, len(contract.columns.names)))
    for column, (field, extent) in enumerate(
        zip(contract.columns.fields, extents(contract, rows), strict=True)
    ):
        near = _near(field, probes[column], extent)
        features[:, column] = _drawn(field, rows[:, column], near, extent, count=count, random=random)
    half = count // 2
    kept = random.random((half, features.shape[1])) >= min(1.0, 2 / features.shape[1])
    features[:half][kept] = rows[random.integers(len(rows), size=half)][kept]
    return features


def _drawn(
    field: Field, known: Array, near: Array, extent: Array, *, count: int, random: np.random.Generator
) -> Array:
    """Return values of a field: half of them near probes, a quarter known ones, a quarter just any."""
    share = random.random(count)
    drawn: Array = extent[0] * (1 - share) + extent[1] * share
    if field.kind != "number":
        drawn = np.round(drawn)
    drawn = np.clip(drawn, extent[0], extent[1])
    turn = random.integers(4, size=count)
    drawn[turn <= 1] = random.choice(near, int(np.sum(turn <= 1)))
    drawn[turn == 2] = random.choice(known, int(np.sum(turn == 2)))  # noqa: PLR2004
    if field.nullable:
        drawn[random.random(count) < _MISSING] = np.nan
    return drawn


_MISSING = 0.1
"""Share of missing values."""


def _near(field: Field, probes: Array, extent: Array) -> Array:
    """Return the probes and the bounds with their neighbours, those among 32-bit floats too.

    Of a category, that is all its values.
    """
    if field.kind in {"boolean", "category"}:
        return np.array([*range(int(extent[0]), int(extent[1]) + 1)], np.float64)
    values = np.concatenate([probes[np.isfinite(probes)], extent, np.zeros(1)])
    if field.kind == "integer":
        around = [np.floor(values) + step for step in (-1, 0, 1, 2)]
    else:
        with np.errstate(over="ignore"):
            single = values.astype(np.float32)
        both = (-np.inf, np.inf)
        singles = [single, *(np.nextafter(single, np.float32(to)) for to in both)]
        around = [values, *(np.nextafter(values, to) for to in both)]
        around += [each.astype(np.float64) for each in singles]
    near: Array = np.unique(np.concatenate(around))
    within: Array = near[(extent[0] <= near) & (near <= extent[1])]
    return within


def predicted(form: Form, features: Features) -> Propensities:
    """Return propensities, predicted in chunks and without warnings, shape (n,)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chunks = [features[start : start + CHUNK] for start in range(0, len(features), CHUNK)]
        return np.concatenate([np.empty(0), *(form.propensities(chunk) for chunk in chunks)])


@dataclass(frozen=True)
class Proof:
    """What a compiled form must equal.

    Attributes:
        pipeline: the pipeline.
        threshold: propensity from which on the decision is the positive one.
        rows: features of the hold-out set.
        tolerance: the largest difference of propensities.
    """

    pipeline: PipelineForm
    threshold: float
    rows: Features
    tolerance: float

    def of(self, form: Form, probes: Sequence[Array]) -> Parity:
        """Compare a form with the pipeline, on the hold-out set and on generated rows.

        Args:
            form: the compiled form.
            probes: as in `Compiled`.

        Raises:
            NotCompilableError: propensities differ by more than the tolerance, a decision differs, or a
                row is predicted otherwise alone or in other company.
        """
        contract = self.pipeline.contract
        features = np.concatenate([self.rows, generated(contract, self.rows, probes, MOST_ROWS)])
        first = len(self.rows) + CHUNK
        start = time.monotonic()
        try:
            expected = predicted(self.pipeline, features[:first])
            share = SECONDS / max(time.monotonic() - start, 1e-9)
            count = len(self.rows) + int(np.clip(first * share, FEWEST_ROWS, MOST_ROWS))
            expected = np.concatenate([expected, predicted(self.pipeline, features[first:count])])
        except Exception as error:
            raise NotCompilableError(
                "it can't be compared: the pipeline fails on rows that the contract allows"
                f" ({type(error).__name__}: {first_line(error)})"
            ) from error
        return self._compared(form, features[:count], expected)

    def _compared(self, form: Form, features: Features, expected: Propensities) -> Parity:
        actual = predicted(form, features)
        differences = np.abs(expected - actual)
        changed = (expected >= self.threshold) != (actual >= self.threshold)
        difference = float(differences.max())
        wrong = int(np.sum(changed & (np.abs(expected - self.threshold) > self.tolerance)))
        if not difference <= self.tolerance or wrong:
            raise NotCompilableError(
                f"compiled, it differs by up to {difference:.1e} and changes {wrong:,} decisions"
                f" on {len(features):,} rows"
            )
        sample = np.random.default_rng(SEED).permutation(len(features))[:COMPANY]
        apart = company(form, features[sample]).max()
        if not apart <= self.tolerance:
            raise NotCompilableError(f"compiled, it predicts a row alone otherwise, by up to {apart:.1e}")
        return Parity(rows=len(features), max_difference=difference, decisions_changed=int(changed.sum()))


def company(form: Form, features: Features) -> Array:
    """Return by how much the propensity of each row depends on the rows beside it, shape (n,).

    Each row is predicted alone, with all others, and with all others in reverse order.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        together = form.propensities(features)
        backwards = form.propensities(features[::-1])[::-1]
        alone = np.concatenate([form.propensities(features[[place]]) for place in range(len(features))])
    apart: Array = np.maximum(np.abs(together - alone), np.abs(together - backwards))
    return apart


def first_line(error: Exception) -> str:
    """Return what an error says first: those of pipelines may go on for pages."""
    return str(error).partition("\n")[0]
