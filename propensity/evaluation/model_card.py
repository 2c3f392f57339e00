"""Writes the model card, docs/model_card.md, from the manifest and the evaluation in docs.

python -m propensity card      # `make model-card` evaluates the running service first
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from propensity.model.manifest import Manifest, ManifestError, read_manifest

DOCS = Path("docs")
MANIFEST = Path("artifacts/propensity.json")

FEW = 100
"""Number of applications below which the figures of a group say little."""

_METRICS = {
    "auc": "AUC: how often a default ranks above a good credit",
    "gini": "Gini: 2 AUC - 1",
    "ks": "KS: largest distance between the two distributions",
    "brier": "Brier: mean squared error of the propensity",
    "log_loss": "log loss",
    "calibration_in_the_large": "mean propensity less share of defaults",
    "declined": "declined",
    "defaults_declined": "defaults that are declined",
    "good_declined": "good applicants that are declined",
}
_GROUP = {
    "default_rate": "defaults",
    "mean_propensity": "mean propensity",
    "auc": "AUC",
    "declined": "declined",
    "defaults_declined": "defaults declined",
    "good_declined": "good declined",
}


def card(template: str, manifest: Manifest, evaluation: dict[str, Any]) -> str:
    """Return the model card as Markdown.

    Args:
        template: the text, with placeholders for the figures.
        manifest: the notebook's manifest.
        evaluation: the content of an `evaluation.json`.
    """
    metrics = manifest.metrics.model_dump()
    importance: dict[str, float] = metrics["permutation_importance"]
    return template.format(
        model=evaluation["model"],
        algorithm=manifest.algorithm,
        threshold=manifest.threshold.value,
        cost_default_approved=manifest.threshold.model_dump()["cost_default_approved"],
        source=manifest.data["source"],
        licence=manifest.data["licence"],
        rows=manifest.data["rows"],
        training_rows=manifest.data["training_rows"],
        holdout_rows=manifest.holdout.rows,
        seed=manifest.seed,
        evaluated=evaluation["rows"],
        defaults=evaluation["defaults"],
        of=evaluation["of"],
        quality="\n".join(_quality(evaluation)),
        max_difference=evaluation["max_difference"],
        few=FEW,
        groups="\n\n".join("\n".join(_group(*each)) for each in metrics["groups"].items()),
        importance="\n".join(
            _table(["Field", "AUC"], [[name, f"{by:.4f}"] for name, by in importance.items()])
        ),
    )


def _table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    """Yield the lines of a table whose first column is text, and whose other columns are figures."""
    yield f"| {' | '.join(head)} |"
    yield f"|---|{'---:|' * (len(head) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _quality(evaluation: dict[str, Any]) -> Iterator[str]:
    rows = []
    for name, words in _METRICS.items():
        low, high = evaluation["intervals"][name]
        stated = evaluation["notebook"].get(name)
        notebook = "" if stated is None else f"{stated:.4f}"
        rows.append([words, f"{evaluation['metrics'][name]:.4f}", f"{low:.4f} to {high:.4f}", notebook])
    yield from _table(["", "deployed", "95 of 100 samples", "notebook"], rows)


def _group(field: str, members: dict[str, dict[str, float]]) -> Iterator[str]:
    rows = []
    for name, figures in members.items():
        count = figures["rows"]
        mark = "*" if count < FEW else ""
        rows.append([f"{name}{mark}", f"{count:,.0f}", *(f"{figures[each]:.2f}" for each in _GROUP)])
    yield from _table([field, "applications", *_GROUP.values()], rows)
    share = {name: each["good_declined"] for name, each in members.items() if each["rows"] >= FEW}
    most, least = max(share, key=share.__getitem__), min(share, key=share.__getitem__)
    yield ""
    yield (
        f"Of good applicants, {share[most]:.0%} of {field} {most} are declined, {share[least]:.0%} of"
        f" {least}: {share[most] / share[least]:.1f} times as many."
    )


def main() -> None:
    """Run the command `card`."""
    argparse.ArgumentParser(
        prog="python -m propensity card",
        description="Writes docs/model_card.md from the manifest and the evaluation in docs.",
    ).parse_args()
    evaluated = DOCS / "evaluation/evaluation.json"
    try:
        manifest = read_manifest(MANIFEST)
        evaluation = json.loads(evaluated.read_bytes())
    except ManifestError as error:
        sys.exit(f"card: {error}")
    except (OSError, ValueError) as error:
        sys.exit(f"card: {evaluated}: {error}; `make model-card` makes it, while the service runs")
    template = (DOCS / "model_card.md.in").read_text(encoding="utf-8")
    (DOCS / "model_card.md").write_text(card(template, manifest, evaluation), encoding="utf-8")
    print(f"card: wrote {DOCS / 'model_card.md'}")
