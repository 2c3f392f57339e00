"""Compiles classifiers that take the mean of others: calibrated ones, and those that vote.

How a classifier is calibrated is read out of scikit-learn's objects; what it is that is calibrated, each
member, is compiled like a pipeline of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier

from propensity.contract.features import Features
from propensity.importing.encoding import Compiled, NotCompilableError
from propensity.importing.steps import put_together, take_apart
from propensity.model import mixture
from propensity.model.mixture import Calibration, MixtureForm
from propensity.model.pipeline import PipelineForm

Array = npt.NDArray[np.float64]

Compile = Callable[[PipelineForm, Features], tuple[str, Compiled[Any]]]
"""Compiles a member: gives the name of its form, and the form."""

SAME = 1e-12
"""Difference of propensities up to which a decision function counts as log-odds."""


def compile_mixture(form: PipelineForm, rows: Features, compile_member: Compile) -> Compiled[MixtureForm]:
    """Compile a calibrated or a voting classifier.

    Args:
        form: the pipeline.
        rows: features of the hold-out set.
        compile_member: compiles the pipeline of each member.

    Raises:
        NotCompilableError: it is neither, or a member has no compiled form.
    """
    parts = mixed(form, rows)
    members, compiled = [], []
    for place, part in enumerate(parts.members):
        try:
            name, of_member = compile_member(part.form, rows)
        except NotCompilableError as error:
            raise NotCompilableError(f"member {place + 1} of {len(parts.members)}: {error}") from error
        members.append(mixture.Member(name, of_member.form, part.weight, part.calibration))
        compiled.append(of_member)
    by_column = zip(*(each.probes for each in compiled), strict=True)
    probes = [np.unique(np.concatenate(of_column)) for of_column in by_column]
    return Compiled(MixtureForm(members, parts.are_complements), probes)


@dataclass(frozen=True)
class Part:
    """A member of a mixture, not yet compiled."""

    form: PipelineForm
    weight: float
    calibration: Calibration


@dataclass(frozen=True)
class Parts:
    """What a mixture is made of.

    Attributes:
        members: at least one.
        are_complements: whether they predict the negative class.
    """

    members: list[Part]
    are_complements: bool


def mixed(form: PipelineForm, rows: Features) -> Parts:
    """Return the members of a mixture.

    Raises:
        NotCompilableError: the pipeline is none.
    """
    steps, classifier = take_apart(form.pipeline)
    place = [str(each) for each in classifier.classes_].index(form.positive)
    if isinstance(classifier, VotingClassifier) and classifier.voting == "soft":
        members = [_form(form, steps, member, place) for member in classifier.estimators_]
        weights = _weights(classifier)
        parts = [Part(member, weight, Calibration()) for member, weight in zip(members, weights, strict=True)]
        return Parts(parts, are_complements=False)
    if isinstance(classifier, CalibratedClassifierCV):
        calibrated = classifier.calibrated_classifiers_
        return Parts(
            [_calibrated(form, steps, each, 1 / len(calibrated), rows) for each in calibrated],
            are_complements=place == 0,
        )
    raise NotCompilableError(f"{type(classifier).__name__} is not calibrated and does not vote")


def deciding(form: PipelineForm) -> PipelineForm:
    """Return a pipeline that decides by log-odds, if its classifier is calibrated by a single line.

    Propensities alone do not say how far the log-odds are from 0 where they are almost 0 or 1. All other
    pipelines are returned as they are.
    """
    steps, classifier = take_apart(form.pipeline)
    if isinstance(classifier, CalibratedClassifierCV) and len(classifier.calibrated_classifiers_) == 1:
        (calibrated,) = classifier.calibrated_classifiers_
        if (line := _line(calibrated)) is not None:
            scored = Scored(steps, calibrated.estimator, classifier.classes_, line)
            return PipelineForm(scored, form.contract, form.takes, form.positive)
    return form


class Scored:
    """A classifier whose log-odds are a line in what another decides, or in its probability.

    Args:
        steps: transformers before the other classifier.
        estimator: the other classifier.
        classes: names of its two classes.
        line: intercept and slope.
    """

    def __init__(self, steps: list[Any], estimator: Any, classes: Any, line: tuple[float, float]) -> None:
        self._steps = steps
        self._estimator = estimator
        self._line = line
        self.classes_ = classes

    def decision_function(self, rows: Any) -> Array:
        """Return log-odds of the second class, shape (n,)."""
        for step in self._steps:
            rows = step.transform(rows)
        if hasattr(self._estimator, "decision_function"):
            decided = self._estimator.decision_function(rows)
        else:
            decided = self._estimator.predict_proba(rows)[:, 1]
        intercept, slope = self._line
        log_odds: Array = intercept + slope * decided
        return log_odds

    def predict_proba(self, rows: Any) -> Array:
        """Return the probabilities of both classes, shape (n, 2)."""
        log_odds = self.decision_function(rows)
        return np.column_stack([expit(-log_odds), expit(log_odds)])


def _weights(classifier: VotingClassifier) -> list[float]:
    """Return the weights of the members that vote, whose sum is 1."""
    given = [1.0] * len(classifier.estimators) if classifier.weights is None else classifier.weights
    pairs = zip(classifier.estimators, given, strict=True)
    weights = [float(weight) for (_, estimator), weight in pairs if estimator != "drop"]
    return [weight / sum(weights) for weight in weights]


def _form(form: PipelineForm, steps: list[Any], member: Any, place: int) -> PipelineForm:
    """Return the pipeline of a member that predicts one of its classes."""
    inner, classifier = take_apart(member)
    pipeline = put_together([*steps, *inner], classifier)
    return PipelineForm(pipeline, form.contract, form.takes, str(classifier.classes_[place]))


def _calibrated(form: PipelineForm, steps: list[Any], calibrated: Any, weight: float, rows: Features) -> Part:
    """Return a member that is calibrated.

    It is the decision function that is calibrated where a classifier has one, and else its probability.
    """
    member = calibrated.estimator
    inner, classifier = take_apart(member)
    decides = hasattr(member, "decision_function")
    if (line := _line(calibrated)) is not None:
        calibration = Calibration(decides, line=np.array(line))
    elif calibrated.method == "isotonic":
        (isotonic,) = calibrated.calibrators
        knots = np.stack([isotonic.X_thresholds_, isotonic.y_thresholds_]).astype(np.float64)
        calibration = Calibration(decides, knots=knots)
    else:
        raise NotCompilableError(f"{calibrated.method} calibration of probabilities has no compilation here")
    if decides and not _decides_log_odds(form, steps, member, rows):
        steps, member = [], Scored([*steps, *inner], classifier, member.classes_, (0.0, 1.0))
    return Part(_form(form, steps, member, 1), weight, calibration)


def _line(calibrated: Any) -> tuple[float, float] | None:
    """Return intercept and slope of the log-odds that a calibration makes of its input, if that is a line."""
    (calibrator,) = calibrated.calibrators
    if calibrated.method == "sigmoid":
        return -float(calibrator.b_), -float(calibrator.a_)
    if calibrated.method == "temperature" and hasattr(calibrated.estimator, "decision_function"):
        return 0.0, 2 * float(calibrator.beta_)
    return None


def _decides_log_odds(form: PipelineForm, steps: list[Any], member: Any, rows: Features) -> bool:
    """Return whether the decision function of a member gives the log-odds of its probabilities."""
    if not hasattr(member, "predict_proba"):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = form.input(rows)
        for step in steps:
            before = step.transform(before)
        apart = member.predict_proba(before)[:, 1] - expit(member.decision_function(before))
    return bool(np.abs(apart).max() <= SAME)
