"""Drift metrics: each worker counts, a scrape sums the counts, and the indices are computed from the sums."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from bentoml._internal.configuration.containers import BentoMLContainer

from propensity.contract.contract import Contract
from propensity.contract.features import Features, Propensities
from propensity.model.manifest import Distribution
from propensity.model.reference import bins, count_all, psi

if TYPE_CHECKING:
    from prometheus_client import Metric

_ROWS, _PAIRS = "propensity_field_rows", "propensity_challenger_predicted"


class DriftMetrics:
    """Counts the rows and propensities of one worker in the bins of the model's reference."""

    def __init__(self, model: str, contract: Contract, reference: Mapping[str, Distribution]) -> None:
        """Create the metrics of a worker.

        Args:
            model: model tag.
            contract: contract of that model.
            reference: reference distributions of that model, by field.
        """
        self._model = model
        self._contract = contract
        self._reference = reference
        client = BentoMLContainer.metrics_client.get()
        rows = client.Counter(
            namespace="propensity",
            name="field_rows",
            documentation="Rows by the bin that a field, or the propensity, falls into",
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
            names = self._bins(field)
            self._rows[field] = [rows.labels(model=model, field=field, bin=name) for name in names]
            for name, ratio in zip(names, distribution.ratios, strict=True):
                ratios.labels(model=model, field=field, bin=name).set(ratio)

    def _bins(self, field: str) -> list[str]:
        return bins(self._contract.by_name.get(field), self._reference[field])

    def count(self, features: Features, propensities: Propensities) -> None:
        """Count rows, shape (n, columns), and propensities, one for each row that was predicted."""
        for field, counts in count_all(self._reference, features, propensities, self._contract).items():
            for rows, count in zip(self._rows[field], counts.tolist(), strict=True):
                if count:
                    rows.inc(count)

    def indices(self, families: Iterable[Metric]) -> Iterator[Metric]:
        """The PSI and missing share of each field, and the PSI of each challenger, over all workers.

        Args:
            families: the metrics of all workers, summed.
        """
        from prometheus_client.metrics_core import GaugeMetricFamily  # noqa: PLC0415 — see request_metrics.py

        labels = ["model", "field"]
        indices = GaugeMetricFamily(
            "propensity_psi", "PSI beside the hold-out set, since the start", labels=labels
        )
        missing = GaugeMetricFamily(
            "propensity_missing_ratio", "Share without it, since the start", labels=labels
        )
        challenger_indices = GaugeMetricFamily(
            "propensity_challenger_psi",
            "PSI of the challenger's propensities beside the model's, since the start",
            labels=["challenger"],
        )
        for family in families:
            if family.name == _ROWS:
                for field, counts in self._counts(family).items():
                    total = sum(counts.values())
                    if not total:
                        continue
                    index = psi(self._reference[field].ratios, [*counts.values()])
                    indices.add_metric([self._model, field], index)
                    if field in self._contract.columns.nullable:
                        missing.add_metric([self._model, field], [*counts.values()][-1] / total)
            elif family.name == _PAIRS:
                for challenger, by_model, by_challenger in _pairs(family):
                    if sum(by_model):
                        challenger_indices.add_metric([challenger], psi(by_model, by_challenger))
        yield from (indices, missing, challenger_indices)

    def _counts(self, family: Metric) -> dict[str, dict[str, float]]:
        """Rows by field and bin, in the order of the reference."""
        counts = {field: dict.fromkeys(self._bins(field), 0.0) for field in self._reference}
        for sample in family.samples:
            if sample.name == f"{_ROWS}_total" and sample.labels["model"] == self._model:
                counts[sample.labels["field"]][sample.labels["bin"]] += sample.value
        return counts


def _pairs(family: Metric) -> Iterator[tuple[str, list[float], list[float]]]:
    """Each challenger, with the predictions in each bucket of the model and of the challenger."""
    up_to: dict[tuple[str, str], dict[float, float]] = {}
    for sample in family.samples:
        if sample.name == f"{_PAIRS}_bucket":
            series = up_to.setdefault((sample.labels["challenger"], sample.labels["by"]), {})
            series[float(sample.labels["le"])] = sample.value
    for challenger in {challenger for challenger, _ in up_to}:
        by_model, by_challenger = (
            np.diff([value for _, value in sorted(up_to[challenger, by].items())], prepend=0.0).tolist()
            for by in ("model", "challenger")
        )
        yield challenger, by_model, by_challenger
