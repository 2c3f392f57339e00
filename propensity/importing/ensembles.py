"""The trees of fitted classifiers, whichever library fitted them, in one shape.

Each library compares in its own way: scikit-learn's trees and XGBoost's take 32-bit floats, XGBoost's go left
below a threshold and the others up to it, and each has its own rules for missing values and for categories.
Here, every test is the same: `value <= threshold`, or whether a value is in a set.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from sklearn.dummy import DummyClassifier
from sklearn.utils import check_array

from propensity.importing.encoding import Floats, NotCompilableError, Tests, Truths, Whole


@dataclass(frozen=True)
class CategorySet:
    """The categories of a test, instead of a threshold.

    Attributes:
        members: their numbers.
        go_left: whether they go left, and all other categories right, or the other way round.
    """

    members: frozenset[int]
    go_left: bool


@dataclass(frozen=True)
class Tree:
    """A tree. Arrays have an element for each node, the root first.

    Attributes:
        left: the left child, negative for a leaf.
        right: the right child.
        column: the encoded column that is tested.
        threshold: the largest value that goes left.
        missing_left: whether a missing value goes left.
        value: what a leaf adds.
        cover: the training rows that reached the node, by number or weight.
        sets: the nodes that test for categories.
    """

    left: Whole
    right: Whole
    column: Whole
    threshold: Floats
    missing_left: Truths
    value: Floats
    cover: Floats
    sets: Mapping[int, CategorySet] = field(default_factory=dict)


@dataclass(frozen=True)
class Ensemble:
    """The trees of a classifier.

    Attributes:
        trees: at least one.
        logit: whether prior and leaves add up to the log-odds of the positive class; if not, the mean of the
            leaves is its probability.
        prior: log-odds before any tree.
        see: from what the preprocessing returns to the encoded columns as the trees see them: 64-bit floats,
            NaN where missing, shape (n, encoded columns).
    """

    trees: list[Tree]
    logit: bool
    prior: float
    see: Callable[[Any], Floats]


def read_ensemble(classifier: Any, place: int) -> Ensemble:
    """Return the trees of a fitted binary classifier.

    Args:
        classifier: the classifier, without its preprocessing.
        place: of the positive class among its classes.

    Raises:
        NotCompilableError: it is no ensemble of trees that is known here, or has something of its own.
    """
    library, name = type(classifier).__module__.partition(".")[0], type(classifier).__name__
    read = _READERS.get((library, name))
    if read is None:
        raise NotCompilableError(f"{name} is no ensemble of trees that has a compiled form")
    if len(classifier.classes_) != 2:  # noqa: PLR2004
        raise NotCompilableError(f"{name} predicts {len(classifier.classes_)} classes instead of two")
    return read(classifier, place)


def _averaged(classifier: Any, place: int) -> Ensemble:
    """Read a tree, or trees whose probabilities are averaged."""
    estimators = getattr(classifier, "estimators_", [classifier])
    if classifier.n_outputs_ != 1:
        raise NotCompilableError(f"it predicts {classifier.n_outputs_} outcomes at once")
    trees = [_of_sklearn(each.tree_, each.tree_.value[:, 0, place]) for each in estimators]
    return Ensemble(trees, logit=False, prior=0.0, see=_see_as_sklearn)


def _gradient_boosting(classifier: Any, place: int) -> Ensemble:
    initial = classifier.init_
    if isinstance(initial, DummyClassifier) and initial.strategy == "prior":
        smallest = np.finfo(np.float64).eps
        prior = np.clip(initial.class_prior_[1], smallest, 1 - smallest)
        log_odds = float(np.log(prior / (1 - prior)))
    elif initial == "zero":
        log_odds = 0.0
    else:
        raise NotCompilableError(f"its trees start from a {type(initial).__name__}")
    # The exponential loss predicts half of the log-odds; the prior is not halved above.
    factor = 2.0 if classifier.loss == "exponential" else 1.0
    sign = 1.0 if place else -1.0
    trees = [
        _of_sklearn(tree.tree_, tree.tree_.value[:, 0, 0] * classifier.learning_rate * factor * sign)
        for (tree,) in classifier.estimators_
    ]
    return Ensemble(trees, logit=True, prior=log_odds * sign, see=_see_as_sklearn)


def _of_sklearn(tree: Any, value: Floats) -> Tree:
    return Tree(
        left=tree.children_left,
        right=tree.children_right,
        column=tree.feature,
        threshold=tree.threshold,
        missing_left=tree.missing_go_to_left.astype(bool),
        value=value,
        cover=tree.weighted_n_node_samples,
    )


def _see_as_sklearn(encoded: Any) -> Floats:
    seen = check_array(encoded, accept_sparse="csr", dtype=np.float32, ensure_all_finite=False)
    numbers: Floats = (seen.toarray() if sparse.issparse(seen) else seen).astype(np.float64)
    return numbers


def _hist_gradient_boosting(classifier: Any, place: int) -> Ensemble:
    sign = 1.0 if place else -1.0
    trees = []
    for (predictor,) in classifier._predictors:
        nodes = predictor.nodes
        trees.append(
            Tree(
                left=np.where(nodes["is_leaf"], -1, nodes["left"].astype(np.int64)),
                right=nodes["right"].astype(np.int64),
                column=nodes["feature_idx"].astype(np.int64),
                threshold=nodes["num_threshold"],
                missing_left=nodes["missing_go_to_left"].astype(bool),
                value=nodes["value"] * sign,
                cover=nodes["count"].astype(np.float64),
                sets={
                    int(node): CategorySet(
                        _members(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]]), go_left=True
                    )
                    for node in np.flatnonzero(nodes["is_categorical"])
                },
            )
        )

    def see(encoded: Any) -> Floats:
        # It numbers categories itself, and puts them first; those that it does not know become NaN.
        seen: Floats = classifier._preprocess_X(encoded, reset=False)
        return seen

    prior = float(classifier._baseline_prediction.ravel()[0]) * sign
    return Ensemble(trees, logit=True, prior=prior, see=see)


def _members(bits: npt.NDArray[np.uint32]) -> frozenset[int]:
    """Return the numbers whose bits are set."""
    each_bit = np.unpackbits(bits.astype("<u4").view(np.uint8), bitorder="little")
    return frozenset(np.flatnonzero(each_bit).tolist())


def _xgboost(classifier: Any, place: int) -> Ensemble:
    import xgboost  # noqa: PLC0415 - a library that only its own models need

    booster = classifier.get_booster()
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    model, objective = learner["gradient_booster"], learner["objective"]["name"]
    if model["name"] != "gbtree":
        raise NotCompilableError(f"XGBoost's {model['name']} has no compiled form")
    if objective != "binary:logistic":
        raise NotCompilableError(f"XGBoost's objective {objective} is not binary:logistic")
    model = model["model"]
    rounds = classifier._get_iteration_range(None)[1]
    trees = model["trees"][: model["iteration_indptr"][rounds] if rounds else None]
    sign = 1.0 if place else -1.0
    categorical = "c" in (booster.feature_types or [])

    def see(encoded: Any) -> Floats:
        known = booster.get_categories() if categorical and isinstance(encoded, pd.DataFrame) else None
        matrix = xgboost.DMatrix(
            encoded, missing=classifier.missing, enable_categorical=True, feature_types=known, nthread=1
        )
        present = matrix.get_data()
        seen = np.full(present.shape, np.nan)
        # What a sparse matrix leaves out is missing to XGBoost, not zero.
        seen[np.arange(present.shape[0]).repeat(np.diff(present.indptr)), present.indices] = present.data
        return seen

    prior = np.float64(json.loads(learner["learner_model_param"]["base_score"])[0])
    log_odds = float(np.log(prior / (1 - prior)))
    return Ensemble([_of_xgboost(tree, sign) for tree in trees], True, log_odds * sign, see)


def _of_xgboost(tree: Mapping[str, Any], sign: float) -> Tree:
    conditions = np.array(tree["split_conditions"], np.float32)
    starts, sizes = tree["categories_segments"], tree["categories_sizes"]
    return Tree(
        left=np.array(tree["left_children"]),
        right=np.array(tree["right_children"]),
        column=np.array(tree["split_indices"]),
        # Below a 32-bit float means up to the one before.
        threshold=np.nextafter(conditions, np.float32(-np.inf)).astype(np.float64),
        missing_left=np.array(tree["default_left"], bool),
        value=conditions.astype(np.float64) * sign,
        cover=np.array(tree["sum_hessian"], np.float64),
        sets={
            node: CategorySet(frozenset(tree["categories"][start : start + size]), go_left=False)
            for node, start, size in zip(tree["categories_nodes"], starts, sizes, strict=True)
        },
    )


def _lightgbm(classifier: Any, place: int) -> Ensemble:
    booster = classifier.booster_
    model = booster.dump_model()
    objective, *options = model["objective"].split()
    if objective != "binary":
        raise NotCompilableError(f"LightGBM's objective {objective} is not binary")
    steepness = float(dict(option.split(":") for option in options if ":" in option)["sigmoid"])
    roots = [tree["tree_structure"] for tree in model["tree_info"]]
    factor = (1.0 if place else -1.0) * steepness / (len(roots) if model["average_output"] else 1)
    nodes = [[*_nodes(root)] for root in roots]
    if any("leaf_coeff" in node for tree in nodes for node in tree):
        raise NotCompilableError("its leaves are linear models")
    trees = [_of_lightgbm(tree, factor) for tree in nodes]
    treats = {
        node["split_feature"]: node["missing_type"]
        for tree in nodes
        for node in tree
        if node.get("decision_type") == "<="
    }

    def see(encoded: Any) -> Floats:
        seen = _numbers_of_lightgbm(encoded, booster.pandas_categorical)
        seen[np.abs(seen) <= _LIGHTGBM_ZERO] = 0.0
        for column, missing in treats.items():
            values = seen[:, column]
            if missing == "Zero":
                values[values == 0.0] = np.nan
            elif missing == "None":
                values[np.isnan(values)] = 0.0
        return seen

    return Ensemble(trees, logit=True, prior=0.0, see=see)


_LIGHTGBM_ZERO = float(np.float32(1e-35))
"""What LightGBM takes for zero, up to either side."""


def _nodes(root: Any) -> Iterator[Any]:
    """Yield the nodes of a tree as LightGBM dumps it, a parent before its children.

    Each gets its place as `place`.
    """
    waiting = [root]
    place = 0
    while waiting:
        node = waiting.pop()
        node["place"] = place
        place += 1
        yield node
        if "left_child" in node:
            waiting += [node["right_child"], node["left_child"]]


def _of_lightgbm(nodes: list[Any], factor: float) -> Tree:
    inner = [node for node in nodes if "left_child" in node]
    size = len(nodes)
    left, right, column = np.full(size, -1), np.full(size, -1), np.zeros(size, np.int64)
    threshold, missing_left, sets = np.zeros(size), np.zeros(size, bool), {}
    for node in inner:
        place = node["place"]
        left[place], right[place] = node["left_child"]["place"], node["right_child"]["place"]
        column[place] = node["split_feature"]
        if node["decision_type"] == "==":
            # A missing category is in no set.
            sets[place] = CategorySet(frozenset(map(int, node["threshold"].split("||"))), go_left=True)
        else:
            threshold[place], missing_left[place] = node["threshold"], node["default_left"]
    return Tree(
        left,
        right,
        column,
        threshold,
        missing_left,
        value=np.array([node.get("leaf_value", 0.0) for node in nodes]) * factor,
        cover=np.array([node.get("internal_count", node.get("leaf_count", 0.0)) for node in nodes], float),
        sets=sets,
    )


def _numbers_of_lightgbm(encoded: Any, categories: list[list[Any]] | None) -> Floats:
    if isinstance(encoded, pd.DataFrame):
        known = iter(categories or [])
        columns = []
        for place in range(encoded.shape[1]):
            column = encoded.iloc[:, place]
            if isinstance(column.dtype, pd.CategoricalDtype):
                codes = column.cat.set_categories(next(known)).cat.codes.to_numpy()
                columns.append(np.where(codes < 0, np.nan, codes))
            else:
                columns.append(column.to_numpy(np.float64, na_value=np.nan))
        return np.column_stack(columns)
    seen = encoded.toarray() if sparse.issparse(encoded) else np.asarray(encoded)
    if seen.dtype == object:
        return seen.astype(np.float64)
    # It predicts with floats as they are, and with any other numbers as 32-bit floats.
    return (seen if seen.dtype == np.float64 else seen.astype(np.float32)).astype(np.float64)


_READERS: dict[tuple[str, str], Callable[[Any, int], Ensemble]] = {
    ("sklearn", "DecisionTreeClassifier"): _averaged,
    ("sklearn", "ExtraTreeClassifier"): _averaged,
    ("sklearn", "RandomForestClassifier"): _averaged,
    ("sklearn", "ExtraTreesClassifier"): _averaged,
    ("sklearn", "GradientBoostingClassifier"): _gradient_boosting,
    ("sklearn", "HistGradientBoostingClassifier"): _hist_gradient_boosting,
    ("xgboost", "XGBClassifier"): _xgboost,
    ("xgboost", "XGBRFClassifier"): _xgboost,
    ("lightgbm", "LGBMClassifier"): _lightgbm,
}


@dataclass(frozen=True)
class Thresholds:
    """Tests of one encoded column against ascending thresholds, alike for a missing value."""

    column: int
    thresholds: Floats
    missing_left: bool

    def ranks(self, values: Floats) -> Whole:
        """Return the first test that each value passes, shape (n,); if none, the number of tests."""
        missing_rank = 0 if self.missing_left else len(self.thresholds)
        return np.where(np.isnan(values), missing_rank, self.thresholds.searchsorted(values))

    def passes(self, values: Floats, places: Whole) -> Truths:
        """Return whether each value passes the test at its place, shape (n,)."""
        return np.where(np.isnan(values), self.missing_left, values <= self.thresholds[places])


@dataclass(frozen=True)
class Membership:
    """The test of one encoded column for categories."""

    column: int
    categories: CategorySet
    missing_left: bool

    def ranks(self, values: Floats) -> Whole:
        """Return 0 for each value that passes, and 1 for each that does not, shape (n,)."""
        return (~self.passes(values, np.zeros(len(values), np.int64))).astype(np.int64)

    def passes(self, values: Floats, places: Whole) -> Truths:  # noqa: ARG002 - there is one test
        """Return whether each value passes, shape (n,)."""
        # A fraction is cut off, as the libraries do.
        member = np.isin(np.trunc(values), [*self.categories.members])
        return np.where(np.isnan(values), self.missing_left, member == self.categories.go_left)


@dataclass(frozen=True)
class Tested:
    """The tests of all trees, without repetition.

    Attributes:
        columns: the encoded columns that are tested, ascending.
        tests: of the trees; their `column` is a place in `columns`.
        of_nodes: for each tree, the `Tests` of each node, as a place in `tests`; any for a leaf.
        places: for each tree, the place of each node's test in its `Tests`.
    """

    columns: Whole
    tests: list[Tests]
    of_nodes: list[Whole]
    places: list[Whole]


def tested(trees: list[Tree]) -> Tested:
    """Return the tests of trees."""
    sizes = [len(tree.left) for tree in trees]
    inner = np.concatenate([tree.left for tree in trees]) >= 0
    column, threshold, missing_left = (
        np.concatenate([getattr(tree, name) for tree in trees])
        for name in ("column", "threshold", "missing_left")
    )
    sets = {
        start + node: categories
        for start, tree in zip(np.cumsum([0, *sizes]), trees, strict=False)
        for node, categories in tree.sets.items()
    }
    # A leaf counts as if it tested the first column, which therefore is among the tested ones.
    columns, compact = np.unique(np.where(inner, column, 0), return_inverse=True)
    tests: list[Tests] = []
    of_nodes, places = np.zeros((2, len(inner)), np.int64)
    numeric = inner.copy()
    numeric[list(sets)] = False
    group = np.where(numeric, 2 * compact + missing_left, -1)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(2 * len(columns) + 1))
    for each, (start, end) in enumerate(pairwise(starts)):
        if start < end:
            nodes = order[start:end]
            thresholds, places[nodes] = np.unique(threshold[nodes], return_inverse=True)
            of_nodes[nodes] = len(tests)
            tests.append(Thresholds(each // 2, thresholds, bool(each % 2)))
    memberships: dict[Membership, int] = {}
    for node, categories in sets.items():
        test = Membership(int(compact[node]), categories, bool(missing_left[node]))
        of_nodes[node] = memberships.setdefault(test, len(tests) + len(memberships))
    tests += memberships
    if not tests:  # The trees are single leaves.
        tests.append(Thresholds(0, np.empty(0), missing_left=False))
    ends = np.cumsum(sizes)[:-1]
    return Tested(columns, tests, np.split(of_nodes, ends), np.split(places, ends))
