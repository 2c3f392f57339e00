"""Reason codes: the fields that pushed a propensity up, with exact contributions and in plain words."""

from __future__ import annotations

import math

from propensity.contract.application import CATEGORIES
from propensity.contract.features import COLUMNS, Features
from propensity.contract.limits import MAX_REASONS
from propensity.contract.prediction import Explanation, Reason
from propensity.model.compiled import Contributions

_NAMES = {
    "seniority": ("Years in the present job", "Años en el empleo actual"),
    "time": ("Months to pay the credit back", "Meses para pagar el crédito"),
    "age": ("Age", "Edad"),
    "expenses": ("Living expenses per month", "Gastos mensuales"),
    "income": ("Income per month", "Ingresos mensuales"),
    "assets": ("Value of assets", "Valor del patrimonio"),
    "debt": ("Debt outstanding", "Deuda pendiente"),
    "amount": ("Amount applied for", "Monto solicitado"),
    "price": ("Price of the good to be bought", "Precio del bien que se compra"),
    "home": ("Housing", "Vivienda"),
    "marital": ("Marital status", "Estado civil"),
    "records": ("Record of past default", "Registro de impagos anteriores"),
    "job": ("Kind of job", "Tipo de empleo"),
}
"""Each field in English and Spanish."""

_VALUES = {
    "home": {
        "owner": ("own home", "propia"),
        "rent": ("rented", "arrendada"),
        "parents": ("with parents", "con los padres"),
        "priv": ("private arrangement", "acuerdo privado"),
        "other": ("other", "otra"),
        "ignore": ("not known", "se desconoce"),
    },
    "marital": {
        "single": ("single", "soltera o soltero"),
        "married": ("married", "casada o casado"),
        "widow": ("widowed", "viuda o viudo"),
        "separated": ("separated", "separada o separado"),
        "divorced": ("divorced", "divorciada o divorciado"),
    },
    "records": {"no": ("no", "no"), "yes": ("yes", "sí")},
    "job": {
        "fixed": ("permanent", "fijo"),
        "partime": ("part-time", "a tiempo parcial"),
        "freelance": ("freelance", "independiente"),
        "others": ("other", "otro"),
    },
}
_MISSING = ("not stated", "sin declarar")


def explain(features: Features, base: float, contributions: Contributions) -> list[Explanation]:
    """Return the explanation of each application.

    Args:
        features: of the applications, shape (n, columns).
        base: log-odds of an application of which nothing is known.
        contributions: log-odds that each column adds, shape (n, columns).
    """
    return [
        _explanation(values, base, added)
        for values, added in zip(features.tolist(), contributions.tolist(), strict=True)
    ]


def _explanation(values: list[float], base: float, added: list[float]) -> Explanation:
    upwards = sorted((place for place, by in enumerate(added) if by > 0), key=lambda place: -added[place])
    reasons = []
    for place in upwards[:MAX_REASONS]:
        name, value = COLUMNS[place], values[place]
        english, spanish = (
            f"{of}: {what}" for of, what in zip(_NAMES[name], _in_words(name, value), strict=True)
        )
        reasons.append(Reason(field=name, contribution=added[place], en=english, es=spanish))
    return Explanation(base=base, contributions=dict(zip(COLUMNS, added, strict=True)), reasons=reasons)


def _in_words(name: str, value: float) -> tuple[str, str]:
    if math.isnan(value):
        return _MISSING
    if name in CATEGORIES:
        return _VALUES[name][CATEGORIES[name][int(value)]]
    english = f"{value + 0.0:,.0f}"  # -0.0 is 0
    return english, english.replace(",", ".")
