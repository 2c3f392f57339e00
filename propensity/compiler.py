"""The compiler: turns the notebook's gradient-boosted pipeline into tables, and proves them equal.

In 64-bit floats and with the very leaves that the pipeline reaches (docs/adr/0003-exact-compilation.md), so
that the compiled form predicts what the pipeline predicts to the last few bits and no decision can change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from propensity.compiled import LARGEST, MISSING, STRIDE, CompiledForm, Tables
from propensity.contract import CATEGORIES, NULLABLE, Application, bounds
from propensity.features import COLUMNS, NUMBERS, encode
from propensity.manifest import Parity
from propensity.pipeline import PipelineForm

MAX_LEAVES = 64
"""Of a tree: a bit each in the widest integer."""

MAX_DIFFERENCE = 1e-6
GENERATED_ROWS = 100_000
SEED = 20_26


class NotCompilableError(Exception):
    """A pipeline that stays as it is; the message says why."""


def compile_pipeline(pipeline: Any) -> Tables:
    """The tables of a pipeline.

    Raises:
        NotCompilableError: it is not built as the notebook's gradient boosting is.
    """
    try:
        preprocessing = pipeline.named_steps["preprocessing"]
        classifier = pipeline.named_steps["classifier"]
        (_, numbers, number_names), (_, categories, category_names) = preprocessing.transformers_
    except (AttributeError, KeyError, ValueError) as error:
        raise NotCompilableError(f"its steps are not preprocessing and classifier ({error})") from error
    if type(classifier) is not GradientBoostingClassifier or classifier.init is not None:
        raise NotCompilableError(f"{type(classifier).__name__} has no compilation here")
    if type(numbers) is not SimpleImputer or tuple(number_names) != NUMBERS or numbers.add_indicator:
        raise NotCompilableError("it does not put one value each for missing numbers")
    if (
        type(categories) is not OneHotEncoder
        or tuple(category_names) != tuple(CATEGORIES)
        or [tuple(known) for known in categories.categories_] != list(CATEGORIES.values())
        or categories.handle_unknown != "ignore"
        or categories.drop_idx_ is not None
    ):
        raise NotCompilableError("it does not encode categories one-hot by the contract")
    return _tables(classifier, numbers.statistics_)


def _tables(classifier: GradientBoostingClassifier, for_missing: npt.NDArray[np.float64]) -> Tables:
    trees = [estimator.tree_ for (estimator,) in classifier.estimators_]
    most_leaves = max(int(tree.n_leaves) for tree in trees)
    if most_leaves > MAX_LEAVES:
        raise NotCompilableError(f"a tree of it has {most_leaves} leaves, more than {MAX_LEAVES}")
    leaves = np.zeros((len(trees), most_leaves))
    tests: list[list[_Test]] = [[] for _ in range(len(NUMBERS) + sum(map(len, CATEGORIES.values())))]
    for place, tree in enumerate(trees):
        weights = _walk(tree, place, tests) * classifier.learning_rate
        leaves[place, : len(weights)] = weights
    keys: list[float] = []
    reachable = []
    encoded = iter(tests)
    for column, name in enumerate(COLUMNS):
        if name in CATEGORIES:
            categories = range(len(CATEGORIES[name]))
            own = [*map(float, categories), MISSING]
            # A category is 1 in its own encoded column and 0 in the others, a missing one 0 in all.
            values = np.eye(len(own), len(categories))
        else:
            # The contract's numbers are whole: none lies between a split and the whole number below it.
            splits = sorted({float(np.floor(split)) for split, _, _ in tests[column]})
            own = [*splits, LARGEST, MISSING]
            values = np.array([[*splits, LARGEST, for_missing[column]]]).T
        table = np.full((len(own), len(trees)), 2**most_leaves - 1, np.min_scalar_type(2**most_leaves - 1))
        for column_of_values in values.T:
            for split, tree_place, left in next(encoded):
                table[column_of_values > split, tree_place] &= table.dtype.type(~left & 2**most_leaves - 1)
        keys += [column * STRIDE + key for key in own]
        reachable.append(table)
    prior = classifier.init_.class_prior_[1]
    return Tables(np.array(keys), np.concatenate(reachable), leaves, np.log(prior / (1 - prior)))


_Test = tuple[float, int, int]
"""A split, the place of its tree, and the leaves, a bit each, that a value above the split can't reach."""


def _walk(tree: Any, place: int, tests: list[list[_Test]]) -> npt.NDArray[np.float64]:
    """Note down the tests of a tree by encoded column; gives the value of each leaf, from left to right."""
    leaves: list[float] = []

    def walk(node: int) -> None:
        if tree.children_left[node] < 0:
            leaves.append(float(tree.value[node, 0, 0]))
            return
        first = len(leaves)
        walk(tree.children_left[node])
        left = (1 << len(leaves)) - (1 << first)
        tests[tree.feature[node]].append((float(tree.threshold[node]), place, left))
        walk(tree.children_right[node])

    walk(0)
    return np.array(leaves)


def check_parity(
    pipeline: Any, compiled: Tables, threshold: float, applications: Sequence[Application]
) -> Parity:
    """Hold a compiled form against its pipeline, on given and on generated applications.

    Raises:
        NotCompilableError: they differ by more than `MAX_DIFFERENCE`, or in a decision.
    """
    everything = encode([*applications, *generated(pipeline)])
    expected = PipelineForm(pipeline).propensities(everything)
    found = CompiledForm(compiled).propensities(everything)
    difference = float(np.abs(expected - found).max())
    changed = int(np.sum((expected >= threshold) != (found >= threshold)))
    if difference > MAX_DIFFERENCE or changed:
        raise NotCompilableError(
            f"compiled, it differs by up to {difference:.1e} and changes {changed} decisions"
            f" on {len(everything):,} applications"
        )
    return Parity(rows=len(everything), max_difference=difference, decisions_changed=changed)


def generated(pipeline: Any, rows: int = GENERATED_ROWS) -> list[Application]:
    """Applications that try a model: every category, missing value and bound, both sides of every split."""
    random = np.random.default_rng(SEED)
    splits = _splits(pipeline.named_steps["classifier"])
    columns: dict[str, list[Any]] = {}
    for name in Application.model_fields:
        if name in CATEGORIES:
            values: list[Any] = list(CATEGORIES[name])
        else:
            lowest, highest = bounds(name)
            near = {
                value for split in splits.get(name, ()) for value in (np.floor(split), np.floor(split) + 1)
            }
            values = sorted(value for value in {lowest, highest, *near} if lowest <= value <= highest)
            values = [float(value) for value in values]
        if name in NULLABLE:
            values.append(None)
        picked = random.integers(len(values), size=rows)
        columns[name] = [values[place] for place in picked]
    return [
        Application.model_construct(**dict(zip(columns, row, strict=True)))
        for row in zip(*columns.values(), strict=True)
    ]


def _splits(classifier: GradientBoostingClassifier) -> dict[str, set[float]]:
    found: dict[str, set[float]] = {}
    for (estimator,) in classifier.estimators_:
        tree = estimator.tree_
        for feature, split in zip(tree.feature, tree.threshold, strict=True):
            if 0 <= feature < len(NUMBERS):
                found.setdefault(NUMBERS[feature], set()).add(float(split))
    return found
