"""Metrics of drift: each worker counts, a scrape sums the counts, and indices are made of the sums."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from bentoml._internal.configuration.containers import BentoMLContainer

from propensity.contract.features import Features, Propensities
from propensity.model.manifest import Distribution
from propensity.model.reference import MISSING, bins, count_all, psi

if TYPE_CHECKING:
    from prometheus_client import Metric

_ROWS, _PAIRS = "propensity_field_rows", "propensity_challenger_predicted"


class DriftMetrics:
    """What one worker is asked about and predicts, in the bins of the model's reference."""

    def __init__(self, model: str, reference: Mapping[str, Distribution]) -> None:
        """Metrics of a worker.

        Args:
            model: model tag.
            reference: of that model.
        """
        self._model = model
        self._reference = reference
        client = BentoMLContainer.metrics_client.get()
        rows = client.Counter(
            namespace="propensity",
            name="field_rows",
            documentation="Applications by the bin that a field, or the propensity, falls into",
            labelnames=["model", "field", "bin"],
        )
        ratios = client.Gauge(
            namespace="propensity",
            name="reference_ratio",
            documentation="Share of the hold-out set that falls into the bin",
            labelnames=["model", "field", "bin"],
            multiprocess_mode="livemax",
        )
        self._rows = {}
        for field, distribution in reference.items():
            names = bins(field, distribution)
            self._rows[field] = [rows.labels(model=model, field=field, bin=name) for name in names]
            for name, ratio in zip(names, distribution.ratios, strict=True):
                ratios.labels(model=model, field=field, bin=name).set(ratio)

    def count(self, features: Features, propensities: Propensities) -> None:
        """Count applications and what was predicted for them."""
        for field, counted in count_all(self._reference, features, propensities).items():
            for rows, by in zip(self._rows[field], counted.tolist(), strict=True):
                if by:
                    rows.inc(by)

    def indices(self, families: Iterable[Metric]) -> Iterator[Metric]:
        """What follows from the counts of all workers: the PSI and the missing share of each field.

        Args:
            families: all that the workers of this service expose.
        """
        from prometheus_client.metrics_core import GaugeMetricFamily  # noqa: PLC0415 — see metrics.py

        labels = ["model", "field"]
        indices = GaugeMetricFamily(
            "propensity_psi", "PSI beside the hold-out set, since the start", labels=labels
        )
        missing = GaugeMetricFamily(
            "propensity_missing_ratio", "Share without it, since the start", labels=labels
        )
        between = GaugeMetricFamily(
            "propensity_challenger_psi",
            "PSI of the challenger's propensities beside the model's, since the start",
            labels=["challenger"],
        )
        for family in families:
            if family.name == _ROWS:
                for field, counted in self._counted(family).items():
                    total = sum(counted.values())
                    if not total:
                        continue
                    index = psi(self._reference[field].ratios, [*counted.values()])
                    indices.add_metric([self._model, field], index)
                    if MISSING in counted:
                        missing.add_metric([self._model, field], counted[MISSING] / total)
            elif family.name == _PAIRS:
                for challenger, (by_model, by_challenger) in _pairs(family).items():
                    if sum(by_model):
                        between.add_metric([challenger], psi(by_model, by_challenger))
        yield from (indices, missing, between)

    def _counted(self, family: Metric) -> dict[str, dict[str, float]]:
        """Counts by field and bin, in the order of the reference."""
        found = {field: dict.fromkeys(bins(field, of), 0.0) for field, of in self._reference.items()}
        for sample in family.samples:
            if sample.name == f"{_ROWS}_total" and sample.labels["model"] == self._model:
                found[sample.labels["field"]][sample.labels["bin"]] += sample.value
        return found


def _pairs(family: Metric) -> dict[str, tuple[list[float], list[float]]]:
    """Of each challenger: predictions in each bucket, of the model and of itself."""
    up_to: dict[tuple[str, str], dict[float, float]] = {}
    for sample in family.samples:
        if sample.name == f"{_PAIRS}_bucket":
            series = up_to.setdefault((sample.labels["challenger"], sample.labels["by"]), {})
            series[float(sample.labels["le"])] = sample.value
    found = {}
    for challenger in {challenger for challenger, _ in up_to}:
        of_model, of_challenger = (
            np.diff([value for _, value in sorted(up_to[challenger, by].items())], prepend=0.0).tolist()
            for by in ("model", "challenger")
        )
        found[challenger] = of_model, of_challenger
    return found
