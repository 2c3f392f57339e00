"""The compiler: turns the notebook's gradient-boosted pipeline into an ONNX graph, and proves it equal.

In 64-bit floats, which no converter offers for this model (docs/adr/0003-exact-compilation.md), so that the
compiled form predicts what the pipeline predicts to the last few bits and no decision can change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from propensity.compiled import COLUMNS, INPUT, MISSING, NUMBERS, CompiledForm
from propensity.contract import CATEGORIES, NULLABLE, Application, bounds
from propensity.manifest import Parity
from propensity.pipeline import PipelineForm

OPSET = 21
ML_OPSET = 5
"""The first in which trees may be 64-bit (operator TreeEnsemble)."""
IR_VERSION = 10

MAX_DIFFERENCE = 1e-6
GENERATED_ROWS = 100_000
SEED = 20_26


class NotCompilableError(Exception):
    """A pipeline that stays as it is; the message says why."""


def compile_pipeline(pipeline: Any) -> bytes:
    """The ONNX graph of a pipeline.

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
    if (
        type(numbers) is not SimpleImputer
        or tuple(number_names) != NUMBERS
        or not np.all(numbers.statistics_ == MISSING)
    ):
        raise NotCompilableError(f"it does not put {MISSING:g} for missing numbers")
    if (
        type(categories) is not OneHotEncoder
        or tuple(category_names) != tuple(CATEGORIES)
        or [tuple(known) for known in categories.categories_] != list(CATEGORIES.values())
        or categories.handle_unknown != "ignore"
        or categories.drop_idx_ is not None
    ):
        raise NotCompilableError("it does not encode categories one-hot by the contract")
    return _graph(classifier)


def _graph(classifier: GradientBoostingClassifier) -> bytes:
    """Sum of the trees' leaves and the prior's log-odds, through a sigmoid."""
    features: list[int] = []
    splits: list[float] = []
    children: tuple[list[int], list[int]] = ([], [])
    are_leaves: tuple[list[int], list[int]] = ([], [])
    leaves: list[float] = []
    roots: list[int] = []
    for (estimator,) in classifier.estimators_:
        tree = estimator.tree_
        inner = np.flatnonzero(tree.children_left >= 0)
        if not len(inner):
            raise NotCompilableError("a tree of it has no split")
        place = {int(node): len(features) + number for number, node in enumerate(inner)}
        roots.append(len(features))
        for node in inner:
            features.append(int(tree.feature[node]))
            splits.append(float(tree.threshold[node]))
            for side, child in enumerate((int(tree.children_left[node]), int(tree.children_right[node]))):
                are_leaves[side].append(int(child not in place))
                children[side].append(place.get(child, len(leaves)))
                if child not in place:
                    leaves.append(float(tree.value[child, 0, 0]) * classifier.learning_rate)
    prior = classifier.init_.class_prior_[1]
    trees = helper.make_node(
        "TreeEnsemble",
        [INPUT],
        ["boosted"],
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function=1,  # sum
        post_transform=0,  # none
        tree_roots=roots,
        nodes_featureids=features,
        nodes_splits=numpy_helper.from_array(np.array(splits)),
        nodes_modes=numpy_helper.from_array(np.zeros(len(features), np.uint8)),  # at most: to the left
        nodes_truenodeids=children[0],
        nodes_falsenodeids=children[1],
        nodes_trueleafs=are_leaves[0],
        nodes_falseleafs=are_leaves[1],
        leaf_targetids=[0] * len(leaves),
        leaf_weights=numpy_helper.from_array(np.array(leaves)),
    )
    graph = helper.make_graph(
        [
            trees,
            helper.make_node("Add", ["boosted", "prior"], ["log_odds"]),
            helper.make_node("Sigmoid", ["log_odds"], ["propensities"]),
        ],
        "propensity",
        [helper.make_tensor_value_info(INPUT, TensorProto.DOUBLE, [None, len(COLUMNS)])],
        [helper.make_tensor_value_info("propensities", TensorProto.DOUBLE, [None, 1])],
        [numpy_helper.from_array(np.array([np.log(prior / (1 - prior))]), "prior")],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    checker.check_model(model)
    serialised: bytes = model.SerializeToString()
    return serialised


def check_parity(
    pipeline: Any, compiled: bytes, threshold: float, applications: Sequence[Application]
) -> Parity:
    """Hold a compiled form against its pipeline, on given and on generated applications.

    Raises:
        NotCompilableError: they differ by more than `MAX_DIFFERENCE`, or in a decision.
    """
    everything = [*applications, *generated(pipeline)]
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
