"""LimpiApp's architecture in one language: its words, with what is computed put into them."""

from __future__ import annotations

from itertools import takewhile
from math import ceil
from typing import get_args

from architecture_slides.limpiapp.architecture import DAY_ONE, Architecture, DeckPage, Phase
from architecture_slides.limpiapp.capacity import (
    DAYS_A_MONTH,
    SMALL,
    TIB,
    VARIED,
    Plan,
    credits_usd_month,
    least_read_a_run,
    plan,
    services_per_arm,
    services_within_export,
    unmoving,
)
from architecture_slides.typesetting.content import Language, Words, number
from load_tests.report.figures import Scaling

COUNTS: dict[Language, tuple[str, ...]] = {
    "es": ("cero", "un", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez", "once",
           "doce", "trece", "catorce", "quince"),
    "en": ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
           "twelve", "thirteen", "fourteen", "fifteen"),
}  # fmt: skip
"""How small numbers of things are written in a sentence."""

WORKERS = 1
"""Of the measured server that the serving stage is compared with."""

BATCH, STREAM_ALERT, BATCH_ALERT = "F6", "F13", "F8"


class Edition:
    """What the pages of one language are made of."""

    def __init__(self, of: Architecture, language: Language) -> None:
        self.of, self.language = of, language
        self.flows = {flow.id: flow for flow in of.flows}
        self.elements = {element.id: element for element in of.elements}
        self.sources = {source.id: source for source in of.sources}
        self.plans = [plan(of.capacity, each) for each in of.capacity.services_per_day]
        self.large = self.plans[-1]
        self.stream = next(flow for flow in of.flows if flow.kind == "stream")
        self.ingestions = [flow for flow in of.flows if "R3a" in flow.answers]
        named = Words(language, of.words, {})
        groups = dict.fromkeys(VARIED[name] for name in unmoving(of.capacity, self.large.services_per_day))
        still = ", ".join(named[f"varied_{group}"] for group in groups)
        computed = {**self._counted(), **self._timed(), **self._priced(), "still": still}
        self.words = Words(language, of.words, computed)

    def number(self, value: float, digits: int = 0) -> str:
        """A number as the language writes it."""
        return number(value, self.language, digits)

    def count(self, things: int) -> str:
        """A number of things as a sentence has it: small ones in letters."""
        words = COUNTS[self.language]
        return words[things] if things < len(words) else str(things)

    def days(self, of: Plan) -> str:
        """The fewest and the most days to the first model, or the number that both are."""
        told = dict.fromkeys(self.number(each) for each in of.days_to_first_model)
        return f" {self.words['until']} ".join(told)

    def name(self, node: str) -> str:
        """The name of a source or an element."""
        found = self.sources.get(node) or self.elements[node]
        return self.words.of(found.name)

    def page(self, name: str) -> DeckPage:
        """The page of that name."""
        return next(page for page in self.of.pages if page.id == name)

    def short(self, node: str) -> str:
        """The name that fits a picture."""
        if node in self.sources:
            return self.words.of(self.sources[node].name)
        return self.words.of(self.elements[node].short)

    def _counted(self) -> dict[str, str]:
        of = self.of
        groups = ("requirements", "sources", "connections", "not_yet", "failures", "adrs", "risks")
        counted = {
            **{name: len(getattr(of, name)) for name in groups},
            "returns": sum(each.back for each in of.connections),
            "returned": len({each.target for each in of.connections if each.back}),
            "day_one": sum(each.phase == DAY_ONE for each in of.elements),
            "base": sum(each.phase == "P0" for each in of.elements),
            "later": sum(each.phase in {"P2", "P3"} for each in of.elements),
            "trapped": sum(each.late is not None for each in of.sources),
        }
        phases = get_args(Phase)
        for place, phase in enumerate(phases, 1):
            counted[f"own_{phase}"] = len(
                {each.runs for each in of.elements if each.phase in phases[:place]} - {None}
            )
        return {name: self.count(things) for name, things in counted.items()}

    def _timed(self) -> dict[str, str]:
        stream, batch = self.stream, self.flows[BATCH]
        scaling = Scaling()
        tails = [scaling.median(WORKERS, each, "p999_ms") for each in scaling.connections]
        serving = sum(each.budget for each in stream.stages if each.element == "serving")
        within = [
            each
            for each, _ in takewhile(
                lambda at: at[1] <= serving, zip(scaling.connections, tails, strict=True)
            )
        ]
        return {
            "worst": self.number(max(flow.worst for flow in self.ingestions)),
            "retry": self.number(max(flow.worst_with_retry for flow in self.ingestions)),
            "sla": self.number(self.ingestions[0].sla),
            "stream": self.number(stream.worst),
            "stream_sla": self.number(stream.sla),
            "stages": str(len(stream.stages)),
            "quantile": self.number(100 * stream.quantile, 2),
            "batch": self.number(batch.worst),
            "batch_retry": self.number(batch.worst_with_retry),
            "two_retries": self.number(max(flow.retried(2) for flow in self.ingestions)),
            "three_retries": self.number(max(flow.retried(3) for flow in self.ingestions)),
            "threads": self.number(ceil(self.large.peak_scores_per_second * serving / 1_000)),
            "alert": self.number(self.flows[BATCH_ALERT].worst),
            "stream_alert": self.number(self.flows[STREAM_ALERT].worst),
            "serving": self.number(serving),
            "tail_low": self.number(min(tails), 1),
            "tail_high": self.number(max(tails)),
            "tail_connections": self.number(max(scaling.connections)),
            "within_connections": self.number(max(within)),
        }

    def _priced(self) -> dict[str, str]:
        of, large = self.of.capacity, self.large
        fewest, most = self.plans[0].days_to_first_model
        arm = services_per_arm(of)
        # Two groups, of half of the services each.
        arm_days = 2 * arm / self.plans[0].services_per_day
        return {
            "large": self.number(large.services_per_day),
            "small": self.number(self.plans[0].services_per_day),
            "peak": self.number(large.peak_events_per_second),
            "scores": self.number(large.peak_scores_per_second),
            "read": self.number(large.read_tib_month, 1),
            "floor": self.number(least_read_a_run(of) * of.runs_per_day * DAYS_A_MONTH / TIB, 1),
            "volume": self.number(large.volume_usd_month),
            "fixed": self.number(large.fixed_usd_month),
            "times": self.count(round(large.team_usd_month / large.platform_usd_month)),
            "team": self.number(large.team_usd_month),
            "engineers": self.number(of.engineers, 1),
            "small_share": self.number(100 * SMALL),
            "window": self.number(of.window_seconds / 60),
            "every": self.number(of.score_seconds),
            "dearer": self.number(100 * (of.price.query_usd_tib / of.prices["us"].query_usd_tib - 1)),
            "runs": self.number(of.runs_per_day),
            "assets": str(of.assets_per_run),
            "credits": self.number(round(credits_usd_month(of), -2)),
            "ga_limit": self.number(of.export_events_day / 1e6),
            "ga_services": self.number(round(services_within_export(of), -2)),
            "before": self.number(100 * of.cancel_rate),
            "after": self.number(100 * of.cancel_rate_after),
            "arm": self.number(round(arm, -2)),
            "arm_days": self.number(round(arm_days, -1)),
            "soft_launch": str(of.soft_launch_week),
            "effect_week": str(of.acting_week + ceil(arm_days / 7)),
            "varied": self.count(len(VARIED)),
            "weeks": str(of.seasonal_weeks),
            "fewest": self.number(fewest),
            "most": self.number(most),
        }
