"""Volumes, rates, storage and cost of LimpiApp's platform, from the assumptions in limpiapp.yaml.

    python -m architecture_slides.limpiapp.capacity --services-per-day 20000 --location us

The figures are arithmetic on assumptions, none of them measured. BigQuery bills the bytes of a query before
compression, so compressing makes storage cheaper and no query.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

from architecture_slides.limpiapp.architecture import Capacity, Price, read
from architecture_slides.typesetting.content import ContentError

GB, MIB, GIB, TIB = 1e9, 2**20, 2**30, 2**40
DAY_SECONDS = 86_400
DAYS_A_MONTH = 365 / 12
VARIED = {
    "services_per_day": "volume",
    "events_per_service": "volume",
    "bytes_per_event": "volume",
    "compression": "compression",
    "runs_per_day": "reads",
    "scans_per_month": "reads",
    "query_usd_tib": "prices",
    "storage_usd_gib_month": "prices",
    "fixed_usd_month": "fixed",
    "engineers": "people",
}
"""Assumptions that are halved and doubled, each with what it is about."""

SMALL = 0.05
"""Share of the month's sum below which a change does not matter."""


@dataclass(frozen=True)
class Plan:
    """What so many services a day ask of the platform."""

    services_per_day: float
    events_per_day: float
    events_per_second: float
    peak_events_per_second: float
    stored_gb_a_year: float
    read_tib_month: float
    in_flight: float
    peak_scores_per_second: float
    storage_usd_month: float
    query_usd_month: float
    export_usd_month: float
    fixed_usd_month: float
    team_usd_month: float
    days_to_first_model: tuple[float, float]

    @property
    def volume_usd_month(self) -> float:
        """What grows with the services."""
        return self.storage_usd_month + self.query_usd_month + self.export_usd_month

    @property
    def platform_usd_month(self) -> float:
        """Cost of a month in USD without people, after a year of keeping everything."""
        return self.volume_usd_month + self.fixed_usd_month

    @property
    def usd_month(self) -> float:
        """Cost of a month in USD, with people."""
        return self.platform_usd_month + self.team_usd_month


def plan(of: Capacity, services_per_day: float) -> Plan:
    """The plan for a number of services a day."""
    events = services_per_day * sum(of.events_per_service.values())
    bytes_a_day = events * of.bytes_per_event
    stored = bytes_a_day * 365 / of.compression
    # Each run of dbt reads the day again, each scan of an analyst the month. Neither is billed compressed,
    # and each table of a run for some bytes at least.
    read_a_run = max(bytes_a_day, least_read_a_run(of))
    read_a_month = DAYS_A_MONTH * (of.runs_per_day * read_a_run + of.scans_per_month * bytes_a_day)
    price = of.price
    clicks = min(services_per_day * of.events_per_service["clicks"], of.export_events_day)
    exported = clicks * of.bytes_per_event * DAYS_A_MONTH
    scores = services_per_day * (
        of.service_hours * 3_600 / of.score_seconds + of.events_per_service["lifecycle"]
    )
    fewest, most = (
        days_to_labels(of, services_per_day, each * of.features) for each in of.events_per_feature
    )
    return Plan(
        services_per_day=services_per_day,
        events_per_day=events,
        events_per_second=events / DAY_SECONDS,
        peak_events_per_second=events / DAY_SECONDS * of.peak,
        stored_gb_a_year=stored / GB,
        read_tib_month=read_a_month / TIB,
        in_flight=services_per_day * of.service_hours / of.open_hours,
        peak_scores_per_second=scores / DAY_SECONDS * of.peak,
        storage_usd_month=stored / GIB * price.storage_usd_gib_month,
        query_usd_month=max(0.0, read_a_month / TIB - of.free_tib_month) * price.query_usd_tib,
        export_usd_month=exported / GB * of.export_usd_gb,
        fixed_usd_month=sum(of.fixed_usd_month.values()),
        team_usd_month=of.engineers * of.engineer_usd_month,
        days_to_first_model=(fewest, most),
    )


def days_to_labels(of: Capacity, services_per_day: float, labels: float) -> float:
    """Days until so many services without intervention were cancelled.

    All are without while rules score in shadow, and the control group alone once they act. Some weeks are the
    least, so that a model sees the days of the week.
    """
    a_day = services_per_day * of.cancel_rate
    in_shadow = 7.0 * (of.acting_week - of.shadow_week)
    after = max(0.0, labels - a_day * in_shadow) / (a_day * of.control_share)
    return max(7.0 * of.seasonal_weeks, min(labels / a_day, in_shadow) + after)


def least_read_a_run(of: Capacity) -> float:
    """Bytes that a run of dbt is billed for, however little there is to read."""
    return of.assets_per_run * of.query_least_mib * MIB


def services_per_arm(of: Capacity) -> float:
    """Services that each group of an experiment needs to tell the two cancellation rates apart.

    Two proportions, two-sided at 5 %, with a power of 80 %.
    """
    before, after = of.cancel_rate, of.cancel_rate_after
    pooled = (before + after) / 2
    surely, power = NormalDist().inv_cdf(0.975), NormalDist().inv_cdf(0.8)
    spread = surely * sqrt(2 * pooled * (1 - pooled)) + power * sqrt(
        before * (1 - before) + after * (1 - after)
    )
    return (spread / (before - after)) ** 2


def services_within_export(of: Capacity) -> float:
    """Services a day up to which Google Analytics exports each click without GA 360."""
    return of.export_events_day / of.events_per_service["clicks"]


def credits_usd_month(of: Capacity) -> float:
    """What an orchestrator costs that bills each asset of each run one credit."""
    billed = of.runs_per_day * DAYS_A_MONTH * of.assets_per_run
    return of.credit_plan_usd_month + billed * of.credit_usd


def varied(of: Capacity, services_per_day: float, name: str, factor: float) -> Plan:
    """The plan with one assumption changed.

    Args:
        of: the assumptions.
        services_per_day: services a day.
        name: of `VARIED`.
        factor: by which it is multiplied.
    """
    if name == "services_per_day":
        return plan(of, services_per_day * factor)
    if name in Price.model_fields:
        dearer = of.price.model_copy(update={name: getattr(of.price, name) * factor})
        return plan(of.model_copy(update={"prices": {**of.prices, of.location: dearer}}), services_per_day)
    given = getattr(of, name)
    changed = (
        {kind: each * factor for kind, each in given.items()} if isinstance(given, dict) else given * factor
    )
    return plan(of.model_copy(update={name: changed}), services_per_day)


def sensitivity(of: Capacity, services_per_day: float) -> dict[str, float]:
    """By how much of itself the month's sum moves at most with each of `VARIED` halved or doubled."""
    base = plan(of, services_per_day).usd_month
    moved = {
        name: max(
            abs(varied(of, services_per_day, name, factor).usd_month - base) / base for factor in (0.5, 2.0)
        )
        for name in VARIED
    }
    return dict(sorted(moved.items(), key=lambda each: -each[1]))


def unmoving(of: Capacity, services_per_day: float) -> list[str]:
    """Which of `VARIED` don't move the month's sum."""
    return [name for name, share in sensitivity(of, services_per_day).items() if share < SMALL]


def lines(of: Capacity, found: Plan) -> list[str]:
    """The plan and what it assumes."""
    kinds = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in of.events_per_service.items())
    fewest, most = found.days_to_first_model
    moved = sensitivity(of, found.services_per_day)
    still = unmoving(of, found.services_per_day)
    named = {name: name.replace("_", " ") for name in VARIED}
    moving = ", ".join(f"{named[name]} ({share:.0%})" for name, share in moved.items() if name not in still)
    return [
        f"{found.services_per_day:,.0f} services a day:",
        f"  events          {found.events_per_day:,.0f} a day, {found.events_per_second:,.1f}/s,"
        f" {found.peak_events_per_second:,.1f}/s at the peak",
        f"  stored          {found.stored_gb_a_year:,.1f} GB a year",
        f"  queries read    {found.read_tib_month:,.2f} TiB a month, {of.free_tib_month:g} of them free",
        f"  in flight       {found.in_flight:,.1f} services",
        f"  scores          {found.peak_scores_per_second:,.1f}/s at the peak",
        f"  first model     after {fewest:,.0f} to {most:,.0f} days of labels",
        f"  cost a month    {found.platform_usd_month:,.0f} USD without people: storage"
        f" {found.storage_usd_month:,.2f}, queries {found.query_usd_month:,.2f}, export"
        f" {found.export_usd_month:,.2f}, fixed {found.fixed_usd_month:,.0f}",
        f"  with people     {found.usd_month:,.0f} USD",
        f"  moves the sum   {moving}",
        f"  does not        {', '.join(named[name] for name in still)}: halved or doubled, each less than"
        f" {SMALL:.0%}",
        "assumed, not measured:",
        f"  a service       {kinds} events of {of.bytes_per_event:g} bytes, stored at 1/{of.compression:g}",
        f"  the peak        {of.peak:g} times the mean; {of.service_hours:g} h a service,"
        f" {of.open_hours:g} h a day",
        f"  a score         at each change of state, and every {of.score_seconds:g} s for each service in"
        " flight",
        f"  a first model   {of.features} features, {of.events_per_feature[0]} to {of.events_per_feature[1]}"
        f" cancelled services each, {of.cancel_rate:.0%} cancelled; {of.seasonal_weeks} weeks at least",
        f"  queries         {of.runs_per_day:g} runs a day read the day again, {of.scans_per_month:g} scans a"
        " month read the month",
        f"  people          {of.engineers:g} engineers at {of.engineer_usd_month:,.0f} USD a month",
        f"  prices (USD)    {of.location}: {of.price.query_usd_tib:g} a TiB scanned,"
        f" {of.price.storage_usd_gib_month:g} a GiB and month; {of.price.source.en}",
    ]


def main() -> None:
    """The command."""
    try:
        of = read().capacity
    except ContentError as error:
        sys.exit(f"capacity: {error}")
    parser = argparse.ArgumentParser(
        prog="python -m architecture_slides.limpiapp.capacity",
        description="What LimpiApp's platform has to carry, and costs.",
    )
    parser.add_argument("--services-per-day", type=float, required=True, help="services a day")
    parser.add_argument("--location", choices=sorted(of.prices), default=of.location, help="of the data")
    given = parser.parse_args()
    if not given.services_per_day > 0:
        sys.exit("capacity: --services-per-day must be more than 0")
    chosen = of.model_copy(update={"location": given.location})
    print("\n".join(lines(chosen, plan(chosen, given.services_per_day))))


if __name__ == "__main__":
    main()
