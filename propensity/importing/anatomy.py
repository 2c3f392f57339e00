"""The anatomy of a fitted pipeline: which columns it takes, and what it has learned of each."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline

from propensity.model.gate import GateError


@dataclass(frozen=True)
class Encoder:
    """What an encoder has learned of a column.

    Attributes:
        name: of its class.
        categories: in its order, missing values included.
        refuses_others: whether a category that it does not know makes it fail.
    """

    name: str
    categories: tuple[Any, ...]
    refuses_others: bool

    @property
    def texts(self) -> list[str]:
        """The categories as texts, without missing values."""
        return [text_of(each) for each in self.categories if not is_missing(each)]

    @property
    def takes_texts(self) -> bool:
        """Whether all its categories are texts."""
        return all(isinstance(each, str) for each in self.categories if not is_missing(each))


@dataclass
class Anatomy:
    """What is known of a pipeline's columns.

    Attributes:
        names: of the columns that it was fitted with; None if they had none.
        dropped: those of them that it ignores.
        encoders: by column.
        imputed: columns whose missing values it fills.
    """

    names: tuple[str, ...] | None
    dropped: frozenset[str] = frozenset()
    encoders: dict[str, Encoder] = field(default_factory=dict)
    imputed: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, pipeline: Any, names: Sequence[str] | None = None) -> Anatomy:
        """Return the anatomy of a fitted pipeline.

        Args:
            pipeline: any fitted estimator.
            names: of its columns, where it does not know them itself.

        Raises:
            GateError: what it has learned of them contradicts itself.
        """
        try:
            return cls._of(pipeline, names)
        except Exception as error:  # whatever its attributes are
            raise GateError(
                "what the pipeline has learned of its columns can't be read"
                f" ({type(error).__name__}: {error}); fit it again"
            ) from error

    @classmethod
    def _of(cls, pipeline: Any, names: Sequence[str] | None) -> Anatomy:
        anatomy = cls(_own_names(pipeline, names or ()))
        columns = anatomy.names or (None if names is None else tuple(names))
        first = _first_step(pipeline)
        if isinstance(first, ColumnTransformer) and columns is not None:
            used = {
                name
                for _, transformer, of in first.transformers_
                if not (isinstance(transformer, str) and transformer == "drop")
                for name in _names(of, columns)
            }
            anatomy.dropped = frozenset(columns) - used
        anatomy._walk(pipeline, columns, set())
        return anatomy

    @property
    def taken(self) -> tuple[str, ...] | None:
        """The columns that it needs, in its order; None if they have no names."""
        return None if self.names is None else tuple(name for name in self.names if name not in self.dropped)

    def _walk(self, part: Any, names: tuple[str, ...] | None, seen: set[int]) -> None:
        if id(part) in seen:
            return
        seen.add(id(part))
        names = _own_names(part, names or ()) or names
        if names is not None:
            self._note(part, names)
        if isinstance(part, Pipeline):
            for _, step in part.steps:
                self._walk(step, names, seen)
                names = names if names is not None and _keeps_columns(step, names) else None
        elif isinstance(part, ColumnTransformer):
            for _, transformer, columns in getattr(part, "transformers_", ()):
                self._walk(transformer, None if names is None else _names(columns, names), seen)
        elif isinstance(part, FeatureUnion) or hasattr(part, "predict"):
            # Not the parts of a transformer: they take what it has made of the columns.
            for inner in _estimators(getattr(part, "__dict__", {}).values()):
                self._walk(inner, names, seen)

    def _note(self, part: Any, names: tuple[str, ...]) -> None:
        learned = getattr(part, "categories_", None)
        if isinstance(learned, list) and len(learned) == len(names):
            refuses = getattr(part, "handle_unknown", None) == "error"
            for name, categories in zip(names, learned, strict=True):
                encoder = Encoder(type(part).__name__, tuple(categories.tolist()), refuses)
                self.encoders.setdefault(name, encoder)
        if type(part).__name__.endswith("Imputer") and getattr(part, "n_features_in_", None) == len(names):
            self.imputed.update(names)


def check_classifier(pipeline: Any) -> None:
    """Check that a pipeline predicts the probability of one of two classes.

    Raises:
        GateError: it does not; the message says what to do.
    """
    last = type(last_step(pipeline)).__name__
    classes = getattr(pipeline, "classes_", None)
    if classes is None:
        if is_regressor(last_step(pipeline)):
            raise GateError(
                f"{last} predicts a number and no class; train a classifier of whether the number passes the"
                " limit that matters"
            )
        raise GateError(
            f"{last} has no classes_: it is not fitted, or not a classifier; fit one and try again"
        )
    if np.shape(classes) != (2,):
        raise GateError(
            f"{last} knows {np.size(classes)} classes ({_listed(classes)}), and a propensity is of one of"
            " two; train one model for each class that matters, on y == class"
        )
    if not hasattr(pipeline, "predict_proba"):
        way = "wrap it in sklearn.calibration.CalibratedClassifierCV(estimator, ensemble=False)"
        if last in {"SVC", "NuSVC"}:
            way = f"train it with probability=True, or {way}"
        raise GateError(f"{last} has no predict_proba, and so no propensities; {way}, and fit it again")


def is_missing(cell: Any) -> bool:
    """Return whether a cell stands for a missing value."""
    return isinstance(cell, _MISSING) or (isinstance(cell, float | np.floating) and math.isnan(cell))


_MISSING = (type(None), type(pd.NA), type(pd.NaT))


def text_of(value: Any) -> str:
    """Return a category or a class as text: `1` for 1 and for 1.0."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def last_step(pipeline: Any) -> Any:
    """Return the estimator at the end of a pipeline, or of the best one that a search has found."""
    if isinstance(pipeline, Pipeline):
        return last_step(pipeline.steps[-1][1])
    best = getattr(pipeline, "best_estimator_", None)
    return pipeline if best is None else last_step(best)


def _own_names(part: Any, known: Sequence[str] = ()) -> tuple[str, ...] | None:
    names = getattr(part, "feature_names_in_", None)
    if names is None or all(re.fullmatch(r"Column_\d+", str(name)) for name in names):
        return None  # LightGBM numbers the columns of an array
    # LightGBM writes `_` for a blank.
    as_known = {re.sub(r"\s", "_", name): name for name in known} | {name: name for name in known}
    return tuple(as_known.get(str(name), str(name)) for name in names)


def _first_step(pipeline: Any) -> Any:
    if isinstance(pipeline, Pipeline):
        return _first_step(pipeline.steps[0][1])
    best = getattr(pipeline, "best_estimator_", None)
    return pipeline if best is None else _first_step(best)


def _names(columns: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names that a column transformer selects: by name, place, slice or mask."""
    if isinstance(columns, str):
        return (columns,)
    empty = pd.DataFrame(columns=[*names])
    if isinstance(columns, slice):
        by_name = isinstance(columns.start or columns.stop, str)
        selected = empty.loc[:, columns] if by_name else empty.iloc[:, columns]
    elif any(isinstance(each, str) for each in columns):
        return tuple(map(str, columns))
    else:
        selected = empty.iloc[:, [*columns]]
    return tuple(map(str, selected.columns))


def _keeps_columns(step: Any, names: tuple[str, ...]) -> bool:
    """Return whether a step gives as many columns as it takes, in their order."""
    if isinstance(step, OneToOneFeatureMixin) or (isinstance(step, str) and step == "passthrough"):
        return True
    return type(step).__name__.endswith("Imputer") and len(step.get_feature_names_out()) == len(names)


def _estimators(values: Iterable[Any]) -> Iterator[BaseEstimator]:
    for value in values:
        if isinstance(value, BaseEstimator):
            yield value
        elif isinstance(value, list | tuple):
            yield from _estimators(value)
        elif isinstance(value, dict):
            yield from _estimators(value.values())
        elif isinstance(getattr(value, "estimator", None), BaseEstimator):  # of a calibrated classifier
            yield value.estimator


def _listed(classes: Any) -> str:
    shown = [str(each) for each in np.ravel(classes).tolist()[:5]]
    return ", ".join(shown) + (", …" if np.size(classes) > len(shown) else "")
