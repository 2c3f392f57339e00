"""The contract of a prediction: what is answered to an application."""

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
    contribution: float = Field(gt=0, description="Log-odds that it adds.")
    en: str = Field(description="Field and value in plain English.")
    es: str = Field(description="Field and value in plain Spanish.")


class Explanation(BaseModel):
    """Why a propensity is what it is: base and contributions add up to its log-odds.

    A contribution is the Shapley value of the field in the served model itself (TreeSHAP, path-dependent).
    """

    model_config = ConfigDict(extra="forbid")

    base: float = Field(description="Log-odds of an application of which nothing is known.")
    contributions: dict[str, float] = Field(description="Log-odds that each field adds, or takes away.")
    reasons: list[Reason] = Field(
        max_length=MAX_REASONS, description="What pushed the propensity up, the strongest first."
    )


class Prediction(BaseModel):
    """The propensity to default of one application, and the decision that follows from it."""

    model_config = ConfigDict(extra="forbid")

    propensity: float = Field(ge=0, le=1, description="Probability that the credit ends in default.")
    decision: Decision = Field(description="`decline` where the propensity reaches the threshold.")
    threshold: float = Field(gt=0, lt=1, description="On the propensity; chosen in the notebook by cost.")
    model: str = Field(description="Model tag: which model answered.")
    explanation: Explanation | None = Field(
        default=None, description="Where `?explain=true` asked for it; left out otherwise."
    )


class Predictions(BaseModel):
    """The answers to a batch: one for each application, in the order of the request."""

    model_config = ConfigDict(extra="forbid")

    predictions: list[Prediction | Problem] = Field(
        description="A prediction, or, in its place, the problem of an application that is not valid."
    )
    problems: int = Field(ge=0, description="How many of them are problems.")
