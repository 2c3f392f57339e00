"""The drift report: how far the logged predictions have moved from the model's hold-out set.

    python -m propensity drift /var/log/propensity --days 7 --page drift.html

Prints the population stability index (PSI) of each field and of the propensity, and writes a page to look at.
The exit code is 1 if one of them has moved.
"""

from __future__ import annotations

import argparse
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

from propensity.contract.features import COLUMNS
from propensity.evaluation.errors import EvaluationError
from propensity.evaluation.logged_predictions import read, values
from propensity.model import store
from propensity.model.manifest import Distribution
from propensity.model.reference import MISSING, MOVED, NOTICED, PROPENSITY, Counts, bins, count, psi


@dataclass(frozen=True)
class Drift:
    """The drift of one field.

    Attributes:
        reference: the distribution in the hold-out set.
        counts: logged values in each bin of the reference, shape (bins,).
        index: the population stability index.
    """

    reference: Distribution
    counts: Counts
    index: float

    @property
    def verdict(self) -> str:
        """The index in words."""
        if self.index > MOVED:
            return "moved"
        return "noticeable" if self.index > NOTICED else "the same"


def measure_drift(
    log: Path, model: str, since: datetime, references: Mapping[str, Distribution]
) -> dict[str, Drift]:
    """Return the drift of the propensity and of each field in the log, the largest first.

    Args:
        log: folder of the prediction log.
        model: tag; predictions of other models are ignored.
        since: time of the oldest prediction to include.
        references: the distributions of that model by field.

    Raises:
        EvaluationError: the log has no such predictions, or can't be read.
    """
    counts: dict[str, Counts] = {}
    wanted = (pc.field("model") == model) & (
        pc.field("predicted_at") >= pa.scalar(since, pa.timestamp("us", "UTC"))
    )
    for table in read(log, wanted):
        for field, reference in references.items():
            logged = values(field, table)
            if logged is not None:
                if field == PROPENSITY:  # missing where the model failed
                    logged = logged[~np.isnan(logged)]
                counts[field] = counts.get(field, 0) + count(field, reference, logged)
    if not counts or not counts[PROPENSITY].sum():
        raise EvaluationError(f"{log}: no predictions of {model} since {since:%Y-%m-%d %H:%M}")
    drifts = {
        field: Drift(references[field], counted, psi(references[field].ratios, counted))
        for field, counted in counts.items()
        if counted.sum()
    }
    return dict(sorted(drifts.items(), key=lambda item: -item[1].index))


def page(drifts: Mapping[str, Drift], title: str) -> str:
    """Return an HTML page that draws both distributions of each field; it needs no other file."""
    sections = "".join(_section(field, drift) for field, drift in drifts.items())
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


def _section(field: str, drift: Drift) -> str:
    rows = ""
    reference, shares = drift.reference, drift.counts / drift.counts.sum()
    for name, expected, share in zip(bins(field, reference), reference.ratios, shares, strict=True):
        label = name if reference.bounds is None or name == MISSING else f"up to {name}"
        rows += (
            f"<tr><th>{html.escape(label.replace('up to +Inf', 'above'))}</th>"
            f'<td><i style="width:{expected:.1%}"></i><b style="width:{share:.1%}"></b></td>'
            f"<td>{expected:.1%}</td><td>{share:.1%}</td></tr>"
        )
    return (
        f"<section><h2>{field}: PSI {drift.index:.3f}, {drift.verdict}</h2><table>"
        f"<tr><th></th><th></th><th>hold-out</th><th>log</th></tr>{rows}</table></section>\n"
    )


def main() -> None:
    """Run the command `drift`."""
    parser = argparse.ArgumentParser(
        prog="python -m propensity drift",
        description="How far have the predictions in the log moved from the model's hold-out set?",
    )
    parser.add_argument("log", type=Path, help="folder of the prediction log")
    parser.add_argument("--days", type=float, default=7, help="number of days to look back (7)")
    parser.add_argument("--model", default=str(store.SERVED.tag), help=f"tag ({store.SERVED.tag})")
    parser.add_argument("--page", type=Path, help="HTML file to write")
    given = parser.parse_args()
    try:
        model = store.ImportedModel(given.model).resolve()
        references = store.manifest_of(model).reference
        since = datetime.now(UTC) - timedelta(days=given.days)
        drifts = measure_drift(given.log, str(model.tag), since, references)
    except (EvaluationError, BentoMLException) as error:
        sys.exit(f"drift: {error}")
    rows = int(drifts[PROPENSITY].counts.sum())
    title = f"{rows:,} predictions of {model.tag} in the last {given.days:g} days, beside its hold-out set."
    print(f"{title}\n")
    for field, drift in drifts.items():
        print(f"{field:12} {drift.index:8.4f}  {drift.verdict}")
    absent = [field for field in (*COLUMNS, PROPENSITY) if field not in drifts]
    if absent:
        print(f"\nnot compared, since the log omits or hashes them: {', '.join(absent)}")
    if given.page:
        given.page.write_text(page(drifts, title), encoding="utf-8")
        print(f"\ndrift: wrote {given.page}")
    moved = [field for field, drift in drifts.items() if drift.index > MOVED]
    if moved:
        sys.exit(f"drift: moved: {', '.join(moved)}")
