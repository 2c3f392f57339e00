"""The contract of a prediction: how an application is answered."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from propensity.contract.limits import MAX_REASONS
from propensity.contract.problem import Problem

Decision = Literal["approve", "decline"]


class Reason(BaseModel):
    """One field that pushed a propensity up."""

    model_config = ConfigDict(extra="forbid")

    field: str = Field(description="The field of the application.")
    contribution: float = Field(gt=0, description="Log-odds that the field adds.")
    en: str = Field(description="Field and value in plain English.")
    es: str = Field(description="Field and value in plain Spanish.")


class Explanation(BaseModel):
    """The reasons for a propensity: base and contributions add up to its log-odds.

    A contribution is the Shapley value of the field in the served model itself (TreeSHAP, path-dependent).
    """

    model_config = ConfigDict(extra="forbid")

    base: float = Field(description="Log-odds of an application of which nothing is known.")
    contributions: dict[str, float] = Field(description="Log-odds that each field adds or subtracts.")
    reasons: list[Reason] = Field(
        max_length=MAX_REASONS, description="The fields that pushed the propensity up most, strongest first."
    )


class Prediction(BaseModel):
    """The propensity to default of one application, and the decision that follows from it."""

    model_config = ConfigDict(extra="forbid")

    propensity: float = Field(ge=0, le=1, description="Probability that the credit ends in default.")
    decision: Decision = Field(description="`decline` where the propensity reaches the threshold.")
    threshold: float = Field(
        gt=0, lt=1, description="Propensity from which on the decision is `decline`; chosen by cost."
    )
    model: str = Field(description="Tag of the model that predicted.")
    explanation: Explanation | None = Field(
        default=None, description="Present if the request had `?explain=true`."
    )


class Predictions(BaseModel):
    """The answers to a batch: one per application, in the order of the request."""

    model_config = ConfigDict(extra="forbid")

    predictions: list[Prediction | Problem] = Field(
        description="Predictions, with a problem in the place of each application that was not predicted."
    )
    problems: int = Field(ge=0, description="How many of these are problems.")
