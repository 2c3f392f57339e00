"""The drift report: how far the logged predictions have moved from the model's hold-out set.

    propensity drift /var/log/propensity --days 7 --page drift.html

Prints the population stability index (PSI) of each field and of the propensity, and writes a page to look at.
The exit code is 1 if one of them has moved.
"""

from __future__ import annotations

import html
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from bentoml.exceptions import BentoMLException

from propensity.contract.contract import Contract
from propensity.contract.field import Field
from propensity.evaluation.errors import EvaluationError
from propensity.evaluation.logged_predictions import read, values
from propensity.model import store
from propensity.model.manifest import Distribution
from propensity.model.reference import MOVED, NOTICED, Counts, bins, count, of_propensity, psi


@dataclass(frozen=True)
class Drift:
    """The drift of one field.

    Attributes:
        field: the field; None for the propensity.
        reference: the distribution in the hold-out set.
        counts: logged values in each bin of the reference, shape (bins,).
        index: the population stability index.
    """

    field: Field | None
    reference: Distribution
    counts: Counts
    index: float

    @property
    def verdict(self) -> str:
        """The index in words."""
        if self.index > MOVED:
            return "moved"
        return "noticeable" if self.index > NOTICED else "the same"

    @property
    def bins(self) -> list[str]:
        """What falls into each bin, in words."""
        names, bounds = bins(self.field, self.reference), self.reference.bounds
        if bounds is None:
            return names
        return [*(f"up to {name}" for name in names[: len(bounds)]), "above", *names[len(bounds) + 1 :]]


def measure_drift(
    log: Path, model: str, since: datetime, references: Mapping[str, Distribution], contract: Contract
) -> dict[str, Drift]:
    """Return the drift of the propensity and of each field in the log, the largest first.

    Args:
        log: folder of the prediction log.
        model: tag; predictions of other models are ignored.
        since: time of the oldest prediction to include.
        references: the distributions of that model by field.
        contract: the contract of that model.

    Raises:
        EvaluationError: the log has no such predictions, or can't be read.
    """
    counts: dict[str, Counts] = {}
    wanted = (pc.field("model") == model) & (
        pc.field("predicted_at") >= pa.scalar(since, pa.timestamp("us", "UTC"))
    )
    for table in read(log, wanted):
        for name, reference in references.items():
            field = contract.by_name.get(name)
            logged = values(field, table, contract)
            if logged is not None:
                if field is None:  # missing where the model failed
                    logged = logged[~np.isnan(logged)]
                counts[name] = counts.get(name, 0) + count(field, reference, logged)
    if not counts or not counts[of_propensity(contract)].sum():
        raise EvaluationError(f"{log}: no predictions of {model} since {since:%Y-%m-%d %H:%M}")
    drifts = {
        name: Drift(
            contract.by_name.get(name), references[name], counted, psi(references[name].ratios, counted)
        )
        for name, counted in counts.items()
        if counted.sum()
    }
    return dict(sorted(drifts.items(), key=lambda item: -item[1].index))


def page(drifts: Mapping[str, Drift], title: str) -> str:
    """Return an HTML page that draws both distributions of each field; it needs no other file."""
    sections = "".join(_section(name, drift) for name, drift in drifts.items())
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Drift</title><style>{_STYLE}</style>\n'
        f"<h1>Drift</h1><p>{html.escape(title)} Grey is the hold-out set, blue the log.</p>\n"
        f"<main>{sections}</main></html>\n"
    )


_STYLE = """
body { font: 15px sans-serif; margin: 2rem }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(24rem, 1fr)); gap: 1rem }
th, td { font-weight: normal; text-align: right; padding: 0 6px; white-space: nowrap }
td:nth-child(2) { width: 12rem }
i, b { display: block; height: 7px; background: #b0b0b0 } b { background: #1f4e79 }
"""


def _section(name: str, drift: Drift) -> str:
    rows = ""
    shares = drift.counts / drift.counts.sum()
    for label, expected, share in zip(drift.bins, drift.reference.ratios, shares, strict=True):
        rows += (
            f"<tr><th>{html.escape(label)}</th>"
            f'<td><i style="width:{expected:.1%}"></i><b style="width:{share:.1%}"></b></td>'
            f"<td>{expected:.1%}</td><td>{share:.1%}</td></tr>"
        )
    return (
        f"<section><h2>{html.escape(name)}: PSI {drift.index:.3f}, {drift.verdict}</h2><table>"
        f"<tr><th></th><th></th><th>hold-out</th><th>log</th></tr>{rows}</table></section>\n"
    )


def run(log: Path, days: float, model: str | None, page_path: Path | None) -> None:
    """Run the command `drift`."""
    try:
        found = store.ImportedModel(model or str(store.SERVED.tag)).resolve()
        manifest = store.manifest_of(found)
        since = datetime.now(UTC) - timedelta(days=days)
        drifts = measure_drift(log, str(found.tag), since, manifest.reference, manifest.contract)
    except (EvaluationError, BentoMLException) as error:
        sys.exit(f"propensity drift: {error}")
    propensity = of_propensity(manifest.contract)
    rows = int(drifts[propensity].counts.sum())
    title = f"{rows:,} predictions of {found.tag} in the last {days:g} days, beside its hold-out set."
    print(f"{title}\n")
    width = max(map(len, drifts))
    for name, drift in drifts.items():
        print(f"{name:{width}} {drift.index:8.4f}  {drift.verdict}")
    absent = [name for name in (*manifest.contract.columns.names, propensity) if name not in drifts]
    if absent:
        print(f"\nnot compared, since the log omits or hashes them: {', '.join(absent)}")
    if page_path:
        try:
            page_path.write_text(page(drifts, title), encoding="utf-8")
        except OSError as error:
            sys.exit(f"propensity drift: {page_path}: {error.strerror}")
        print(f"\ndrift: wrote {page_path}")
    moved = [name for name, drift in drifts.items() if drift.index > MOVED]
    if moved:
        sys.exit(f"propensity drift: moved: {', '.join(moved)}")
