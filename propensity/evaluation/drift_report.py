"""The drift report: how far the predictions in the log have moved from the model's hold-out set.

    python -m propensity drift /var/log/propensity --days 7 --page drift.html

Prints the population stability index of each field and of the propensity, writes a page to look at, and ends
with exit code 1 where one of them has moved.
"""

from __future__ import annotations

import argparse
import html
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from bentoml.exceptions import BentoMLException

from propensity.contract.features import COLUMNS
from propensity.evaluation.logged_predictions import files, values
from propensity.model import store
from propensity.model.manifest import Distribution
from propensity.model.reference import MOVED, NOTICED, PROPENSITY, Counts, bins, count, psi


class DriftReportError(Exception):
    """A report that can't be made; the message says why."""


@dataclass(frozen=True)
class Drift:
    """What the log says of one field.

    Attributes:
        of: the reference.
        counts: in its bins.
        index: the population stability index.
    """

    of: Distribution
    counts: Counts
    index: float

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.index > MOVED:
            return "moved"
        return "noticeable" if self.index > NOTICED else "the same"


def drifts(log: Path, model: str, since: datetime, reference: Mapping[str, Distribution]) -> dict[str, Drift]:
    """The drift of each field that the log has, and of the propensity.

    Args:
        log: folder of the prediction log.
        model: tag; predictions of other models are passed over.
        since: predictions before this are passed over.
        reference: of that model.

    Raises:
        DriftReportError: there are no such predictions.
    """
    written = files(log)
    if not written:
        raise DriftReportError(
            f"{log}: no predictions there; PROPENSITY_LOG_FOLDER names the folder of the log"
        )
    found: dict[str, Counts] = {}
    for file in written:
        for table in _tables(file, model, since):
            for field, of in reference.items():
                logged = values(field, table)
                if logged is not None:
                    if field == PROPENSITY:  # there is none where the model failed
                        logged = logged[~np.isnan(logged)]
                    found[field] = found.get(field, 0) + count(field, of, logged)
    if not found or not found[PROPENSITY].sum():
        raise DriftReportError(f"{log}: no predictions of {model} since {since:%Y-%m-%d %H:%M}")
    return {
        field: Drift(reference[field], counts, psi(reference[field].ratios, counts))
        for field, counts in found.items()
        if counts.sum()
    }


def _tables(file: Path, model: str, since: datetime) -> Iterator[pa.Table]:
    wanted = (pc.field("model") == model) & (
        pc.field("predicted_at") >= pa.scalar(since, pa.timestamp("us", "UTC"))
    )
    try:
        for batch in ds.dataset(file).to_batches(filter=wanted):
            yield pa.Table.from_batches([batch])
    except (pa.ArrowException, OSError) as error:
        raise DriftReportError(f"{file}: {str(error).splitlines()[0]}; move it out of the log") from error


def lines(found: Mapping[str, Drift]) -> list[str]:
    """A line for each field, the one that has moved most first."""
    ranked = sorted(found.items(), key=lambda each: -each[1].index)
    return [f"{field:12} {each.index:8.4f}  {each.verdict}" for field, each in ranked]


def page(found: Mapping[str, Drift], title: str) -> str:
    """The report as a page that needs nothing else: of each field, both distributions as bars."""
    ranked = sorted(found.items(), key=lambda each: -each[1].index)
    return _PAGE.format(title=html.escape(title), fields="".join(_section(*each) for each in ranked))


def _section(field: str, drift: Drift) -> str:
    rows = ""
    shares = drift.counts / drift.counts.sum()
    for name, expected, share in zip(bins(field, drift.of), drift.of.ratios, shares, strict=True):
        label = name if drift.of.bounds is None or name == "missing" else f"up to {name}"
        rows += (
            f"<tr><th>{html.escape(label.replace('up to +Inf', 'above'))}</th>"
            f'<td><i style="width:{expected:.1%}"></i><b style="width:{share:.1%}"></b></td>'
            f"<td>{expected:.1%}</td><td>{share:.1%}</td></tr>"
        )
    return (
        f"<section><h2>{field} <small>PSI {drift.index:.3f}: {drift.verdict}</small></h2><table><tr><th></th>"
        f"<th></th><th>hold-out</th><th>log</th></tr>{rows}</table></section>"
    )


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Drift</title><style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2rem; color: #222 }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(24rem, 1fr)); gap: 1.5rem }}
h2 {{ font-size: 1rem; margin: 0 }} small {{ font-weight: normal; color: #555 }}
table {{ width: 100%; border-collapse: collapse; font-size: .85rem }}
th, td {{ text-align: right; font-weight: normal; padding: 1px 6px; white-space: nowrap }}
td:nth-child(2) {{ width: 50% }} i, b {{ display: block; height: 7px; min-width: 1px }}
i {{ background: #b0b0b0 }} b {{ background: #1f4e79 }}
</style></head><body><h1>Drift</h1><p>{title} Grey is the hold-out set, blue the log.</p>
<main>{fields}</main></body></html>
"""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m propensity drift",
        description="How far have the predictions in the log moved from the model's hold-out set?",
    )
    parser.add_argument("log", type=Path, help="folder of the prediction log")
    parser.add_argument("--days", type=float, default=7, help="back from now that are looked at (7)")
    parser.add_argument("--model", default=str(store.SERVED.tag), help=f"tag ({store.SERVED.tag})")
    parser.add_argument("--page", type=Path, help="an HTML file to write")
    given = parser.parse_args()
    try:
        model = store.ImportedModel(given.model).resolve()
        reference = store.manifest_of(model).reference
        found = drifts(given.log, str(model.tag), datetime.now(UTC) - timedelta(days=given.days), reference)
    except (DriftReportError, BentoMLException) as error:
        sys.exit(f"drift: {error}")
    rows = int(found[PROPENSITY].counts.sum())
    title = f"{rows:,} predictions of {model.tag} in the last {given.days:g} days, beside its hold-out set."
    print("\n".join([title, "", *lines(found)]))
    absent = [field for field in (*COLUMNS, PROPENSITY) if field not in found]
    if absent:
        print(f"\nnot looked at, since the log leaves them out or has hashes of them: {', '.join(absent)}")
    if given.page:
        given.page.write_text(page(found, title), encoding="utf-8")
        print(f"\ndrift: wrote {given.page}")
    moved = [field for field, each in found.items() if each.index > MOVED]
    if moved:
        sys.exit(f"drift: moved: {', '.join(moved)}")
