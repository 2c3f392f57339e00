"""The mixture form of a model: the mean of other compiled forms, each of which may be calibrated.

It stands for calibrated classifiers, and for classifiers that vote.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from propensity.contract.features import Features, Propensities
from propensity.model.additive import Array
from propensity.model.arrays import pack, unpack
from propensity.model.forms import CompiledForm, load
from propensity.model.logistic import propensities_of


@dataclass(frozen=True)
class Calibration:
    """What a member's prediction is turned into; by default, its propensity is left as it is.

    Attributes:
        of_log_odds: whether it is the log-odds that are calibrated, or the propensity.
        line: intercept and slope of the log-odds that result; empty if they are no line.
        knots: places and values of a function that is linear between them, shape (2, knots), or empty.
    """

    of_log_odds: bool = False
    line: Array = field(default_factory=lambda: np.empty(0))
    knots: Array = field(default_factory=lambda: np.empty((2, 0)))

    def calibrated(self, form: Any, features: Features) -> Propensities:
        """Return the propensities of a form, calibrated, shape (n,)."""
        predicted: Array = log_odds_of(form, features) if self.of_log_odds else form.propensities(features)
        if self.line.size:
            return propensities_of(self.line[0] + self.line[1] * predicted)
        if self.knots.size:
            predicted = np.interp(predicted, self.knots[0], self.knots[1])
        return predicted


@dataclass(frozen=True)
class Member:
    """A form that takes part in a mixture.

    Attributes:
        name: of the form, as in the manifest.
        form: the form.
        weight: what its propensity is multiplied by.
        calibration: what is done to its propensity before that.
    """

    name: str
    form: CompiledForm
    weight: float
    calibration: Calibration


class MixtureForm:
    """The form that adds up weighted propensities.

    Args:
        members: at least one.
        is_complement: whether they predict the negative class.
    """

    def __init__(self, members: list[Member], is_complement: bool) -> None:
        self._members = members
        self._is_complement = is_complement
        self.instant_rows = min(member.form.instant_rows for member in members) // len(members)

    def propensities(self, features: Features) -> Propensities:
        """Return the propensity of each row, shape (n,)."""
        propensities = np.zeros(len(features))
        for member in self._members:
            propensities += member.weight * member.calibration.calibrated(member.form, features)
        return 1 - propensities if self._is_complement else propensities

    def to_bytes(self) -> bytes:
        """Return the form as an .npz file."""
        arrays: dict[str, Any] = {"is_complement": np.array(self._is_complement)}
        for place, member in enumerate(self._members):
            arrays |= {
                f"{place}.name": np.array(member.name),
                f"{place}.form": np.frombuffer(member.form.to_bytes(), np.uint8),
                f"{place}.weight": np.array(member.weight),
                f"{place}.of_log_odds": np.array(member.calibration.of_log_odds),
                f"{place}.line": member.calibration.line,
                f"{place}.knots": member.calibration.knots,
            }
        return pack(arrays)

    @classmethod
    def from_bytes(cls, content: bytes) -> MixtureForm:
        """Return the form of an .npz file."""
        arrays = unpack(content)
        members = [
            _member({name: arrays[f"{place}.{name}"] for name in _ARRAYS})
            for place in range((len(arrays) - 1) // len(_ARRAYS))
        ]
        return cls(members, bool(arrays["is_complement"]))


_ARRAYS = ("name", "form", "weight", "of_log_odds", "line", "knots")


def _member(arrays: dict[str, npt.NDArray[Any]]) -> Member:
    name = str(arrays["name"])
    calibration = Calibration(bool(arrays["of_log_odds"]), arrays["line"], arrays["knots"])
    return Member(name, load(name, arrays["form"].tobytes()), float(arrays["weight"]), calibration)


def log_odds_of(form: Any, features: Features) -> Array:
    """Return the log-odds that a form predicts, shape (n,)."""
    if hasattr(form, "log_odds"):
        of_form: Array = form.log_odds(features)
        return of_form
    propensities = form.propensities(features)
    with np.errstate(divide="ignore"):
        log_odds: Array = np.log(propensities) - np.log1p(-propensities)
    return log_odds
