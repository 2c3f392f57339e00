"""The words of the demonstration model: its reasons, in plain English and Spanish."""

from __future__ import annotations

from typing import Any

import numpy as np
from conftest import AUTHORIZED
from demonstration import COLUMNS, CONTRACT, EXAMPLE
from rows import around_splits
from starlette.testclient import TestClient

from propensity.model.reasons import Reasons


def explained(client: TestClient, application: dict[str, Any]) -> Any:
    """The answer to an application, with the words of its reasons by field."""
    answer = client.post("/v1/predict?explain=true", json=application, headers=AUTHORIZED).json()
    reasons = answer["explanation"]["reasons"]
    return answer | {"texts": {reason["field"]: (reason["en"], reason["es"]) for reason in reasons}}


def test_a_category_is_put_into_words(client: TestClient) -> None:
    assert explained(client, EXAMPLE)["texts"]["home"] == ("Housing: rented", "Vivienda: arrendada")


def test_the_reasons_of_a_risky_application_are_what_makes_it_risky(client: TestClient) -> None:
    risky = EXAMPLE | {"records": "yes", "seniority": 0, "income": None, "amount": 3_000, "price": 3_100}
    answer = explained(client, risky)
    assert answer["decision"] == "decline"
    texts = answer["texts"]
    assert texts["records"] == ("Record of past default: yes", "Registro de impagos anteriores: sí")
    assert texts["seniority"] == ("Years in the present job: 0", "Años en el empleo actual: 0")
    assert texts["amount"] == ("Amount applied for: 3,000", "Monto solicitado: 3.000")
    assert "age" not in texts


def test_every_value_of_every_field_has_words_in_both_languages(pipeline: Any) -> None:
    features = CONTRACT.encode(around_splits(pipeline, 2_000))
    # Each field in turn as the only reason.
    for place, name in enumerate(COLUMNS):
        alone = np.zeros(features.shape)
        alone[:, place] = 1.0
        explanations = Reasons(CONTRACT).explain(features, 0.0, alone)
        texts = {(reason.en, reason.es) for each in explanations for reason in each.reasons}
        values = np.unique(features[:, place])
        assert len(texts) == len(values)  # one for each, and for a missing one
        assert all(english and spanish and english != spanish for english, spanish in texts), name


def test_a_negative_zero_is_put_into_words_as_zero(client: TestClient) -> None:
    said = [explained(client, EXAMPLE | {"assets": assets})["texts"] for assets in (-0.0, 0.0)]
    assert said[0] == said[1]
    assert said[0]["assets"] == ("Value of assets: 0", "Valor del patrimonio: 0")
