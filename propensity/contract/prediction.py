"""The contract of a prediction: how a row is answered."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from propensity.contract.contract import Contract
from propensity.contract.limits import MAX_REASONS
from propensity.contract.problem import Problem


class Reason(BaseModel):
    """One field that pushed a propensity up; a member for each language of the contract."""

    model_config = ConfigDict(extra="allow")

    field: str = Field(description="The name of the field.")
    contribution: float = Field(gt=0, description="Log-odds that the field adds.")
    en: str = Field(description="Field and value in plain English.")
    es: str = Field(description="Field and value in plain Spanish.")


class Explanation(BaseModel):
    """The reasons for a propensity: base and contributions add up to its log-odds.

    A contribution is the Shapley value of the field in the served model itself: of trees, as TreeSHAP defines
    it (path-dependent); of a sum of functions of one field each, beside the mean of the hold-out set.
    """

    model_config = ConfigDict(extra="forbid")

    base: float = Field(description="Log-odds where nothing is known.")
    contributions: dict[str, float] = Field(description="Log-odds that each field adds or subtracts.")
    reasons: list[Reason] = Field(
        max_length=MAX_REASONS, description="The fields that pushed the propensity up most, strongest first."
    )


class Prediction(BaseModel):
    """The propensity of one row, and the decision that follows from it."""

    model_config = ConfigDict(extra="forbid")

    propensity: float = Field(ge=0, le=1)
    decision: str
    threshold: float = Field(gt=0, lt=1)
    model: str = Field(description="Tag of the model that predicted.")
    explanation: Explanation | None = Field(
        default=None, description="Present if the request had `?explain=true`."
    )


class Predictions(BaseModel):
    """The answers to a batch, in the order of the request."""

    model_config = ConfigDict(extra="forbid")

    predictions: list[Any]
    problems: int = Field(ge=0, description="How many of these are problems.")


def schemas(contract: Contract) -> tuple[type[Prediction], type[Predictions]]:
    """Return the schemas of a prediction and of a batch's answers, in the words of a contract."""
    negative, positive = contract.decision_names
    languages: dict[str, Any] = dict.fromkeys(contract.languages[2:], (str, ...))
    reason = create_model("Reason", __base__=Reason, __doc__=Reason.__doc__, **languages)
    reason.model_config["extra"] = "forbid"
    reason.model_rebuild(force=True)
    explanation = create_model(
        "Explanation",
        __base__=Explanation,
        __doc__=Explanation.__doc__,
        reasons=(list[reason], Explanation.model_fields["reasons"]),  # type: ignore[valid-type]
    )
    decision: Any = Literal[negative, positive]
    optional: Any = explanation | None
    prediction = create_model(
        "Prediction",
        __base__=Prediction,
        __doc__=f"The propensity of one {contract.row}, and the decision that follows from it.",
        propensity=(float, Field(ge=0, le=1, description=f"Probability that {contract.meaning}.")),
        decision=(
            decision,
            Field(description=f"`{positive}` where the propensity reaches the threshold."),
        ),
        threshold=(
            float,
            Field(gt=0, lt=1, description=f"Propensity from which on the decision is `{positive}`."),
        ),
        explanation=(optional, Prediction.model_fields["explanation"]),
    )
    described = f"Predictions, with a problem in the place of each {contract.row} that was not predicted."
    predictions = create_model(
        "Predictions",
        __base__=Predictions,
        __doc__=f"The answers to a batch: one for each {contract.row}, in the order of the request.",
        predictions=(list[prediction | Problem], Field(description=described)),  # type: ignore[valid-type]
    )
    return prediction, predictions
