"""Volumes, rates, storage and cost of LimpiApp's platform, from the assumptions in limpiapp.yaml.

    python -m architecture_slides.capacity --services-per-day 20000 --plot sensitivity.png

The figures are arithmetic on assumptions, none of them measured; the plot shows which of them matter.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from architecture_slides.architecture import Architecture, Capacity, read
from architecture_slides.typesetting.content import ContentError

GB, TB = 1e9, 1e12
DAY_SECONDS = 86_400
MONTHS = 12
VARIED = (
    "services_per_day",
    "events_per_service",
    "bytes_per_event",
    "compression",
    "scans_per_month",
    "fixed_usd_month",
)
"""Assumptions that are halved and doubled."""


@dataclass(frozen=True)
class Plan:
    """What so many services a day ask of the platform."""

    services_per_day: float
    events_per_day: float
    events_per_second: float
    peak_events_per_second: float
    stored_gb_a_year: float
    in_flight: float
    scores_per_second: float
    storage_usd_month: float
    query_usd_month: float
    fixed_usd_month: float
    days_to_first_model: tuple[float, float]

    @property
    def volume_usd_month(self) -> float:
        """What grows with the services."""
        return self.storage_usd_month + self.query_usd_month

    @property
    def usd_month(self) -> float:
        """Cost of a month in USD, after a year of keeping everything."""
        return self.volume_usd_month + self.fixed_usd_month


def plan(of: Capacity, services_per_day: float) -> Plan:
    """The plan for a number of services a day."""
    events = services_per_day * sum(of.events_per_service.values())
    stored = events * 365 * of.bytes_per_event / of.compression / GB
    in_flight = services_per_day * of.service_hours / of.open_hours
    labels_a_day = services_per_day * of.cancel_rate
    fewest, most = (each * of.features / labels_a_day for each in of.events_per_feature)
    return Plan(
        services_per_day=services_per_day,
        events_per_day=events,
        events_per_second=events / DAY_SECONDS,
        peak_events_per_second=events / DAY_SECONDS * of.peak,
        stored_gb_a_year=stored,
        in_flight=in_flight,
        scores_per_second=in_flight * of.scores_per_window / of.window_seconds,
        storage_usd_month=stored * of.storage_usd_gb_month,
        # Each scan reads the month's share of what a year has stored.
        query_usd_month=stored / MONTHS * GB / TB * of.scans_per_month * of.query_usd_tb,
        fixed_usd_month=of.fixed_usd_month,
        days_to_first_model=(fewest, most),
    )


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
    if name == "events_per_service":
        changed = {kind: round(count * factor) for kind, count in of.events_per_service.items()}
        return plan(of.model_copy(update={"events_per_service": changed}), services_per_day)
    return plan(of.model_copy(update={name: getattr(of, name) * factor}), services_per_day)


def sensitivity(of: Capacity, services_per_day: float) -> dict[str, tuple[float, float]]:
    """Cost a month with each of `VARIED` halved and doubled, what moves it most last."""
    spans = {
        name: (
            varied(of, services_per_day, name, 0.5).usd_month,
            varied(of, services_per_day, name, 2.0).usd_month,
        )
        for name in VARIED
    }
    return dict(sorted(spans.items(), key=lambda each: abs(each[1][1] - each[1][0])))


def lines(of: Capacity, found: Plan) -> list[str]:
    """The plan and what it assumes."""
    kinds = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in of.events_per_service.items())
    fewest, most = found.days_to_first_model
    return [
        f"{found.services_per_day:,.0f} services a day:",
        f"  events          {found.events_per_day:,.0f} a day, {found.events_per_second:,.1f}/s,"
        f" {found.peak_events_per_second:,.1f}/s at the peak",
        f"  stored          {found.stored_gb_a_year:,.1f} GB a year",
        f"  in flight       {found.in_flight:,.1f} services",
        f"  scores          {found.scores_per_second:,.1f}/s",
        f"  first model     after {fewest:,.1f} to {most:,.1f} days of labels",
        f"  cost a month    {found.usd_month:,.0f} USD: storage {found.storage_usd_month:,.2f}, queries"
        f" {found.query_usd_month:,.2f}, fixed {found.fixed_usd_month:,.0f}",
        "assumed, not measured:",
        f"  a service       {kinds} events of {of.bytes_per_event} bytes, stored at 1/{of.compression:g}",
        f"  the peak        {of.peak:g} times the mean; {of.service_hours:g} h a service,"
        f" {of.open_hours:g} h a day",
        f"  a score         {of.scores_per_window:g} every {of.window_seconds:g} s for each service in"
        " flight",
        f"  a first model   {of.features} features, {of.events_per_feature[0]} to {of.events_per_feature[1]}"
        f" cancelled services each, {of.cancel_rate:.0%} cancelled",
        f"  prices (USD)    {of.storage_usd_gb_month:g} a GB and month, {of.query_usd_tb:g} a TB scanned,"
        f" {of.scans_per_month:g} scans a month of a month's data, {of.fixed_usd_month:,.0f} fixed;"
        " not verified",
    ]


def draw(architecture: Architecture, services_per_day: float, path: Path) -> None:
    """Draw how the cost a month answers to each assumption, halved and doubled."""
    # Only for those who want a picture.
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    base = plan(architecture.capacity, services_per_day).usd_month
    spans = sensitivity(architecture.capacity, services_per_day)
    with plt.rc_context({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axis = plt.subplots(figsize=(8, 3.6), dpi=150)
        for place, (halved, doubled) in enumerate(spans.values()):
            axis.barh(place, halved - base, left=base, color="#9ecae1")
            axis.barh(place, doubled - base, left=base, color="#1f4e79")
        axis.set_yticks(range(len(spans)), [architecture.words[name].en for name in spans])
        axis.axvline(base, color="black", linewidth=0.8)
        axis.set(
            xlabel="USD a month; light: halved, dark: doubled",
            title=f"Cost at {services_per_day:,.0f} services a day",
        )
        figure.tight_layout()
        figure.savefig(path, metadata={"Software": None})
        plt.close(figure)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m architecture_slides.capacity",
        description="What LimpiApp's platform has to carry, and costs.",
    )
    parser.add_argument("--services-per-day", type=float, required=True, help="services a day")
    parser.add_argument("--plot", type=Path, help="a PNG to write: which assumptions matter")
    given = parser.parse_args()
    if not given.services_per_day > 0:
        sys.exit("capacity: --services-per-day must be more than 0")
    try:
        architecture = read()
    except ContentError as error:
        sys.exit(f"capacity: {error}")
    of = architecture.capacity
    print("\n".join(lines(of, plan(of, given.services_per_day))))
    if given.plot:
        draw(architecture, given.services_per_day, given.plot)
        print(f"capacity: wrote {given.plot}")


if __name__ == "__main__":
    main()
