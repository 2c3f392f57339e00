"""Reason codes: the fields that pushed a propensity up, with exact contributions and in plain words."""

from __future__ import annotations

import math

from propensity.contract.contract import Contract
from propensity.contract.features import Features
from propensity.contract.field import Field, Words
from propensity.contract.limits import MAX_REASONS
from propensity.contract.prediction import Explanation, Reason
from propensity.model.forms import Contributions

_MISSING: Words = {"en": "not stated", "es": "sin declarar"}
_BOOLEANS: dict[bool, Words] = {True: {"en": "yes", "es": "sí"}, False: {"en": "no", "es": "no"}}


def explain(
    features: Features, base: float, contributions: Contributions, contract: Contract
) -> list[Explanation]:
    """Return the explanation of each row.

    Args:
        features: of the rows, shape (n, columns).
        base: log-odds where nothing is known.
        contributions: log-odds that each column adds, shape (n, columns).
        contract: has the words.
    """
    return [
        _explanation(values, base, added, contract)
        for values, added in zip(features.tolist(), contributions.tolist(), strict=True)
    ]


def _explanation(values: list[float], base: float, added: list[float], contract: Contract) -> Explanation:
    upwards = sorted((place for place, by in enumerate(added) if by > 0), key=lambda place: -added[place])
    reasons = []
    for place in upwards[:MAX_REASONS]:
        field = contract.columns.fields[place]
        words = {language: _in_words(field, values[place], language) for language in contract.languages}
        reasons.append(Reason(field=field.name, contribution=added[place], **words))
    return Explanation(
        base=base, contributions=dict(zip(contract.columns.names, added, strict=True)), reasons=reasons
    )


def _in_words(field: Field, value: float, language: str) -> str:
    return f"{field.words.get(language, field.name)}: {_value_in_words(field, value, language)}"


def _value_in_words(field: Field, value: float, language: str) -> str:
    """Return a value in a language; what has no words there is spelt as callers send it."""
    if math.isnan(value):
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
