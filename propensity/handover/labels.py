"""The labels of a binary outcome: which of the two classes the propensity is of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from propensity.importing.anatomy import is_missing, text_of
from propensity.importing.figures import Truth
from propensity.model.gate import GateError

POSITIVE = frozenset({"true", "1", "yes", "y", "t", "positive", "si", "sí"})
"""Labels that mean the positive class to everybody, in lower case."""


@dataclass(frozen=True)
class Labels:
    """The two classes of a pipeline.

    Attributes:
        positive: the class whose probability is the propensity, as text.
        negative: the other class, as text.
        meant: the outcomes that are of the positive class, as text.
        is_guess: whether neither a person nor the labels themselves say which is which.
    """

    positive: str
    negative: str
    meant: frozenset[str]
    is_guess: bool

    @classmethod
    def of(cls, classes: Sequence[Any], outcomes: Sequence[Any], positive: object = None) -> Labels:
        """Return the labels.

        Args:
            classes: the two classes of the pipeline, in its order.
            outcomes: the outcome of each row.
            positive: the positive class, as a person has stated it.

        Raises:
            GateError: outcomes and classes do not fit, or there is no such class.
        """
        missing = [row for row, outcome in enumerate(outcomes) if is_missing(outcome)]
        if missing:
            raise GateError(f"row {missing[0]} has no outcome; leave out the rows whose outcome is not known")
        known = {text_of(outcome): outcome for outcome in dict.fromkeys(outcomes)}
        of_class = {
            text: place
            for text, outcome in known.items()
            for place, label in enumerate(classes)
            if outcome == label or text == str(label)
        }
        if of_class.keys() != known.keys():
            of_class = _zero_and_one(classes, known, positive)
        texts = [*map(str, classes)]
        places = dict(zip(texts, (0, 1), strict=True)) | of_class
        stated = places.get(text_of(positive), _place_of(positive, classes))
        if positive is not None and stated is None:
            raise GateError(
                f"{positive} is no class: the outcomes are {_listed(known)}, the pipeline's classes"
                f" {_listed(classes)}"
            )
        usual = {place for text, place in places.items() if text.lower() in POSITIVE}
        is_guess = stated is None and len(usual) != 1
        place = 1 if is_guess else usual.pop() if stated is None else stated
        meant = frozenset(text for text, of in of_class.items() if of == place)
        return cls(texts[place], texts[1 - place], meant, is_guess)

    def truth(self, outcomes: Sequence[Any]) -> Truth:
        """Return whether each outcome is the positive one, shape (n,)."""
        return np.array([text_of(outcome) in self.meant for outcome in outcomes], dtype=np.bool_)


def _place_of(positive: object, classes: Sequence[Any]) -> int | None:
    return next((place for place, label in enumerate(classes) if label == positive), None)


def _zero_and_one(classes: Sequence[Any], known: dict[str, Any], positive: object) -> dict[str, int]:
    """Return the class of each outcome, for pipelines that were trained on outcome == positive."""
    usual = [text for text in known if text.lower() in POSITIVE]
    meant = text_of(positive) if positive is not None else usual[0] if len(usual) == 1 else None
    if len(known) > 2 or meant not in known or [*classes] != [0, 1]:  # noqa: PLR2004
        raise GateError(
            f"the outcomes are {_listed(known)}, but the pipeline's classes are {_listed(classes)}; give the"
            " outcomes as the pipeline was trained with, or say which is positive"
        )
    return {text: int(text == meant) for text in known}


def _listed(labels: Any) -> str:
    shown = [*map(str, labels)]
    return ", ".join(shown[:5]) + (", …" if len(shown) > 5 else "")  # noqa: PLR2004
