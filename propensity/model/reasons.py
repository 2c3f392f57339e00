"""Reason codes: the fields that pushed a propensity up, with exact contributions and in plain words."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from propensity.contract.contract import Contract
from propensity.contract.features import Features
from propensity.contract.field import Field, Words
from propensity.contract.limits import MAX_REASONS
from propensity.contract.prediction import Explanation
from propensity.model.forms import Contributions

REMEMBERED = 4_096
"""Values whose words are remembered at most."""

_MISSING: Words = {"en": "not stated", "es": "sin declarar"}
_BOOLEANS: dict[bool, Words] = {True: {"en": "yes", "es": "sí"}, False: {"en": "no", "es": "no"}}


class Reasons:
    """Explains predictions.

    Args:
        contract: has the words.
    """

    def __init__(self, contract: Contract) -> None:
        self._fields = contract.columns.fields
        self._names = contract.columns.names
        self._languages = contract.languages
        self._in_words = lru_cache(REMEMBERED)(self._spelt)

    def explain(self, features: Features, base: float, contributions: Contributions) -> list[Explanation]:
        """Return the explanation of each row.

        Args:
            features: of the rows, shape (n, columns).
            base: log-odds where nothing is known.
            contributions: log-odds that each column adds, shape (n, columns).
        """
        strongest = np.argsort(-contributions, axis=1, kind="stable")[:, :MAX_REASONS]
        return [
            # All of it is validated at once, which takes less time than to make one object after another.
            Explanation.model_validate(
                {
                    "base": base,
                    "contributions": dict(zip(self._names, added, strict=True)),
                    "reasons": [
                        self._reason(place, values[place], added[place])
                        for place in places
                        if added[place] > 0
                    ],
                }
            )
            for values, added, places in zip(
                features.tolist(), contributions.tolist(), strongest.tolist(), strict=True
            )
        ]

    def _reason(self, place: int, value: float, contribution: float) -> dict[str, Any]:
        words = self._in_words(place, None if math.isnan(value) else value)
        return {"field": self._names[place], "contribution": contribution, **words}

    def _spelt(self, place: int, value: float | None) -> Words:
        """Return a column and a value of it in all languages."""
        field = self._fields[place]
        return {
            language: f"{field.words.get(language, field.name)}: {_value_in_words(field, value, language)}"
            for language in self._languages
        }


def _value_in_words(field: Field, value: float | None, language: str) -> str:
    """Return a value in a language; what has no words there is spelt as callers send it."""
    if value is None:
        return _MISSING.get(language, "null")
    if field.categories is not None:
        category = field.categories[int(value)]
        return field.category_words.get(category, {}).get(language, category)
    if field.kind == "boolean":
        return _BOOLEANS[bool(value)].get(language, str(bool(value)).lower())
    value += 0.0  # -0.0 is 0
    english = f"{value:,.0f}" if field.kind == "integer" else f"{value:,.12g}"
    return english if language == "en" else english.translate(_SEPARATORS)


_SEPARATORS = str.maketrans(",.", ".,")
