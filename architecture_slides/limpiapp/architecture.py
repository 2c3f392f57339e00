"""LimpiApp's data architecture: the schema of limpiapp.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field

from architecture_slides.typesetting.content import Name, Page, Part, Text, load

LIMPIAPP = Path(__file__).parents[1] / "limpiapp.yaml"

Phase = Literal["now", "P0", "P1", "P2", "P3"]
DAY_ONE: Phase = "P1"
"""The phase whose elements the team starts with."""


class Requirement(Text):
    """What the brief asks for."""

    id: str = Field(pattern=r"^R\d[a-c]$")
    quote: str = Field(description="The brief's own words.")


class Ends(Part):
    """What it can be connected by, such as `topic`: both ends of a connection must speak one of these."""

    takes: list[str] = Field([], description="It reads, or lets others write.")
    gives: list[str] = Field([], description="It writes, or lets others read.")


class Source(Ends):
    """Where data come from, and may go back to."""

    id: str
    name: Name
    owner: Literal["production", "external"]
    flow: str = Field(description="That they come in by.")
    late: Text | None = Field(
        None, description="What the default path takes, if it breaks the SLA of ingestion."
    )
    default_path: Text = Field(description="How data come by default.")
    path: Text = Field(description="How they come here.")


class Implementation(Ends):
    """A product that can be the element."""

    name: str
    kind: Literal["managed", "open_source"]


class Element(Part):
    """A part of the platform."""

    id: str
    name: Name
    short: Name = Field(description="On a picture.")
    layer: str
    phase: Phase
    arrives: Text = Field(description="The threshold that brings it.")
    purpose: Text
    implementations: list[Implementation]
    launch: str = Field(description="The implementation to launch with.")
    runs: str | None = Field(None, description="The service that the team has to run for it, at launch.")
    alternative: str = Field(description="The one that is named beside it.")
    why: Text
    trigger: Text = Field(description="When to switch.")
    answers: list[str] = Field(min_length=1)

    def implementation(self, name: str) -> Implementation | None:
        """The implementation of that name."""
        return next((each for each in self.implementations if each.name == name), None)


class Layer(Part):
    """Elements that are told of together."""

    id: str
    name: Name


class Connection(Part):
    """What flows from one to another."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    id: str = Field(pattern=r"^C\d+$")
    source: str = Field(alias="from")
    target: str = Field(alias="to")
    what: Text
    often: Text
    minutes: float | None = Field(None, gt=0, description="Between two times, where it waits for its turn.")
    call: bool = Field(False, description="Whether the answer comes back the same way.")
    back: bool = Field(False, description="Whether data return to who produced them.")
    homeward: bool = Field(False, description="Whether it carries what is on its way to a return.")


class Stage(Part):
    """A step of a flow, with its share of the time."""

    element: str
    what: Text
    kind: Literal["lag", "interval", "work"] = Field(alias="is")
    budget: float = Field(gt=0, description="In the unit of the flow.")


class Flow(Part):
    """How data get from one end to the other, and by when."""

    id: str
    name: Name
    kind: Literal["polled", "stream"]
    unit: Literal["min", "ms"]
    sla: float = Field(gt=0)
    answers: list[str] = Field(min_length=1)
    begins: Text | None = Field(None, description="When its clock starts, on a drawing.")
    ends: Text | None = Field(None, description="What stops its clock, on a drawing.")
    stages: list[Stage] = Field(min_length=1)

    @property
    def worst(self) -> float:
        """The worst case of a polled flow: the sum of source lag, whole polling intervals, and work.

        Of a stream, the budgets added: if each stage holds its own at `quantile`, then the whole holds its
        SLA at p99, by the union bound, however the stages depend on each other. Percentiles themselves do
        not add.
        """
        return sum(stage.budget for stage in self.stages)

    def retried(self, times: int) -> float:
        """The same of a polled flow, if its longest work fails at the very end, so often in a row."""
        return self.worst + times * max(
            (each.budget for each in self.stages if each.kind == "work"), default=0
        )

    @property
    def worst_with_retry(self) -> float:
        """The worst case with one retry."""
        return self.retried(1)

    @property
    def quantile(self) -> float:
        """At which each stage of a stream must hold its budget."""
        return 1 - 0.01 / len(self.stages)


class Model(Part):
    """A churn model: the way from event to action, and from event to a new model that serves."""

    id: str
    name: Name
    answers: str
    scoring: list[str]
    training: list[str]


class Spot(Part):
    """Where a part stands on a picture, in points."""

    x: float
    y: float
    w: float
    h: float


class Route(Part):
    """Connections that one number stands for on a picture."""

    number: int
    what: Text
    brief: Text = Field(description="The same in a word, under the picture.")
    connections: list[str] = Field(min_length=1)
    at: tuple[float, float] = Field(description="Where the number stands.")


class Lane(Part):
    """A stretch of the picture with a name."""

    name: Name
    y: float
    h: float
    at: tuple[float, float] = Field(description="Where the name stands.")


class Picture(Part):
    """The architecture on one page, laid by hand."""

    alt: Text = Field(description="What it shows, for those who can't see it.")
    spots: dict[str, Spot]
    lanes: list[Lane]
    band: list[str] = Field(description="Elements that run, watch or govern all that touches the band.")
    routes: list[Route]
    ways: dict[str, list[tuple[float, float]]] = Field(
        description="The points that a connection is drawn through, where a straight line would not do."
    )


class Stack(Part):
    """One coherent choice of implementations."""

    id: str
    name: Name
    elements: dict[str, str]
    told: Text = Field(description="How its products read from each other, in a sentence.")


class Use(Part):
    """What the business wants, and the data product that serves it."""

    id: str
    name: Name
    product: Text
    decides: Text = Field(description="Which decision it changes.")
    measured: Text = Field(description="By what one sees that it helps.")
    elements: list[str] = Field(min_length=1)


class Assumption(Text):
    """What was taken for granted."""

    id: str
    if_false: Text
    decisive: bool = Field(False, description="Whether the architecture changes if it is false.")


class Failure(Text):
    """What can go wrong, and what answers it."""

    id: str
    element: str
    response: Text


class Risk(Text):
    """What may not turn out."""

    id: str
    response: Text


class Danger(Text):
    """What may go wrong, on a map of likelihood and harm."""

    id: str
    legal: bool = False
    likely: Literal[1, 2, 3]
    harm: Literal[1, 2, 3]
    response: Text


class Article(Text):
    """What a law asks for, and what meets it."""

    id: str
    article: str
    response: Text


class Step(Text):
    """A stretch of the roadmap."""

    id: Phase
    weeks: tuple[int, int] = Field(description="The first and the last.")
    shown: Text = Field(description="What there is at its end, in a few words.")
    done_when: Text


class Option(Text):
    """What could have been decided."""

    chosen: bool = False


class Decision(Text):
    """A choice that is costly to reverse."""

    id: str
    context: Text
    options: list[Option] = Field(min_length=2)
    cost: Text = Field(description="Of what was chosen.")


class User(Part):
    """Who uses the platform, and for what."""

    id: str
    name: Name
    what: Text


class Postponed(Part):
    """What is not built yet, what stands in for it, and when it is built."""

    id: str
    name: Name
    instead: Text
    trigger: Text


class Price(Part):
    """What BigQuery costs at a location."""

    query_usd_tib: float
    storage_usd_gib_month: float = Field(description="Physical, compressed.")
    source: Text = Field(description="Where the prices come from, and which of them nobody has verified.")


class Capacity(Part):
    """What volumes and costs are computed from; see capacity.py."""

    services_per_day: list[int]
    events_per_service: dict[str, int]
    bytes_per_event: int = Field(description="Before compression, which is what a query is billed for.")
    compression: float
    peak: float
    service_hours: float
    open_hours: float
    window_seconds: int
    score_seconds: float = Field(description="Between two scores of a service to which nothing happens.")
    runs_per_day: float
    scans_per_month: float
    location: str
    prices: dict[str, Price]
    free_tib_month: float
    query_least_mib: float = Field(description="That a query is billed for each table at least.")
    export_usd_gb: float
    export_events_day: int
    fixed_usd_month: dict[str, float]
    assets_per_run: int
    credit_plan_usd_month: float
    credit_usd: float = Field(description="Of an orchestrator that bills each step and each asset of a run.")
    engineers: float
    engineer_usd_month: float
    features: int
    events_per_feature: tuple[int, int]
    cancel_rate: float
    cancel_rate_after: float = Field(description="That an experiment is to tell from `cancel_rate`.")
    seasonal_weeks: int
    soft_launch_week: int
    shadow_week: int = Field(description="In which rules begin to score without acting.")
    acting_week: int = Field(description="In which they begin to act.")
    control_share: float = Field(description="Of services that nobody intervenes in, once rules act.")
    outcome_days: int = Field(description="Of history and outcome, before the first batch model.")

    @property
    def price(self) -> Price:
        """What is paid where the data are."""
        return self.prices[self.location]


class DeckPage(Page):
    """A page, and what of the brief it answers."""

    question: Literal[1, 2] | None = None
    answers: list[str] = Field(default_factory=list)


class Architecture(Part):
    """All of it."""

    requirements: list[Requirement]
    sources: list[Source]
    layers: list[Layer]
    elements: list[Element]
    connections: list[Connection]
    flows: list[Flow]
    models: list[Model]
    picture: Picture
    stacks: list[Stack]
    uses: list[Use]
    assumptions: list[Assumption]
    failures: list[Failure]
    risks: list[Risk]
    dangers: list[Danger]
    law: list[Article]
    roadmap: list[Step]
    adrs: list[Decision]
    users: list[User]
    not_yet: list[Postponed]
    pages: list[DeckPage]
    words: dict[str, Text]
    capacity: Capacity


def read(path: Path = LIMPIAPP) -> Architecture:
    """Read an architecture.

    Raises:
        ContentError: it can't be read, or lacks something, such as a translation.
    """
    return load(path, Architecture)
