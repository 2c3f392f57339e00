"""LimpiApp's data architecture: the schema of limpiapp.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field

from architecture_slides.typesetting.content import Name, Page, Part, Text, load

LIMPIAPP = Path(__file__).with_name("limpiapp.yaml")


class Requirement(Text):
    """What the brief asks for."""

    id: str = Field(pattern=r"^R\d[a-c]$")
    quote: str = Field(description="The brief's own words.")


class Source(Part):
    """Where data come from, and may go back to."""

    id: str
    name: Name
    owner: Literal["production", "external"]
    flow: str = Field(description="That they come in by.")
    default_fits: bool = Field(description="Whether the default path keeps the SLA of ingestion.")
    default_path: Text = Field(description="How data come by default.")
    path: Text = Field(description="How they come here.")


class Implementation(Part):
    """A product that can be the element."""

    name: str
    kind: Literal["managed", "open_source"]


class Element(Part):
    """A part of the platform."""

    id: str
    name: Name
    purpose: Text
    implementations: list[Implementation]
    launch: str = Field(description="The implementation to launch with.")
    why: Text
    trigger: Text = Field(description="When to switch.")
    answers: list[str] = Field(min_length=1)


class Connection(Part):
    """What flows from one to another."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    source: str = Field(alias="from")
    target: str = Field(alias="to")
    what: Text
    often: Text
    minutes: float | None = Field(None, gt=0, description="Between two times, where it waits for its turn.")


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
    stages: list[Stage] = Field(min_length=1)

    @property
    def worst(self) -> float:
        """The worst case of a polled flow: the sum of source lag, whole polling intervals, and work.

        Of a stream, the budgets added: if each stage holds its own at `quantile`, then the whole holds its
        SLA at p99, by the union bound, however the stages depend on each other. Percentiles themselves do
        not add.
        """
        return sum(stage.budget for stage in self.stages)

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


class Diagram(Part):
    """What is drawn together."""

    id: str
    alt: Text = Field(description="What it shows, for those who can't see it.")
    columns: list[list[str]] = Field(description="From left to right, each from top to bottom.")
    over: list[tuple[str, str]] = Field([], description="Connections drawn around the top.")
    under: list[tuple[str, str]] = Field([], description="Connections drawn around the bottom.")

    @property
    def places(self) -> dict[str, tuple[int, int]]:
        """Column and row of each that is drawn."""
        return {
            name: (column, row)
            for column, names in enumerate(self.columns)
            for row, name in enumerate(names)
            if name
        }


class Stack(Part):
    """One coherent choice of implementations."""

    id: str
    name: Name
    elements: dict[str, str]


class Assumption(Text):
    """What was taken for granted."""

    id: str
    if_false: Text


class Failure(Text):
    """What can go wrong, and what answers it."""

    id: str
    element: str
    response: Text


class Risk(Text):
    """What may not turn out."""

    id: str
    response: Text


class Phase(Text):
    """A stretch of the roadmap."""

    id: str
    weeks: Name
    done_when: Text


class Decision(Text):
    """A choice that is costly to reverse."""

    id: str
    consequence: Text


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


class Capacity(Part):
    """What volumes and costs are computed from; see capacity.py."""

    services_per_day: list[int]
    events_per_service: dict[str, int]
    bytes_per_event: int
    compression: float
    peak: float
    service_hours: float
    open_hours: float
    window_seconds: float
    scores_per_window: float
    storage_usd_gb_month: float
    query_usd_tb: float
    scans_per_month: float
    fixed_usd_month: float
    features: int
    events_per_feature: tuple[int, int]
    cancel_rate: float


class Architecture(Part):
    """All of it."""

    requirements: list[Requirement]
    sources: list[Source]
    elements: list[Element]
    connections: list[Connection]
    flows: list[Flow]
    models: list[Model]
    diagrams: list[Diagram]
    stacks: list[Stack]
    assumptions: list[Assumption]
    failures: list[Failure]
    risks: list[Risk]
    roadmap: list[Phase]
    adrs: list[Decision]
    users: list[User]
    not_yet: list[Postponed]
    pages: list[Page]
    words: dict[str, Text]
    capacity: Capacity


def read(path: Path = LIMPIAPP) -> Architecture:
    """Read an architecture.

    Raises:
        ContentError: it can't be read, or lacks something, such as a translation.
    """
    return load(path, Architecture)
