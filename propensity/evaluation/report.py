"""The report of an evaluation: tables, and the notebook's pictures with the deployed model added."""

from __future__ import annotations

import json
from itertools import zip_longest
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

from propensity.evaluation.evaluation import Evaluation

NOTEBOOK, DEPLOYED = "#b0b0b0", "#1f4e79"


def lines(evaluation: Evaluation) -> list[str]:
    """Return the evaluation as Markdown tables."""
    deployed = evaluation.deployed
    report = [
        f"Model {deployed.card.tag}, on {len(deployed.defaults):,} applications, "
        f"{int(deployed.defaults.sum()):,} of them defaults, {deployed.of}.",
        "",
        "| Metric | deployed | 95 of 100 samples | notebook | difference |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, value in evaluation.metrics.items():
        low, high = evaluation.intervals[name]
        stated = evaluation.stated.get(name)
        notebook = ("", "") if stated is None else (f"{stated:.6f}", f"{value - stated:+.1e}")
        report.append(f"| {name} | {value:.6f} | {low:.4f} to {high:.4f} | {notebook[0]} | {notebook[1]} |")
    manifest = deployed.card.metrics.model_dump()
    decided = manifest.get("confusion") or {}
    report += [
        "",
        f"| At the threshold of {deployed.card.threshold.value:g} | deployed | notebook |",
        "|---|---:|---:|",
        *(
            f"| {name.replace('_', ' ')} | {count:,} | {decided.get(name, '')} |"
            for name, count in evaluation.confusion.items()
        ),
        "",
        "| Tenth, by propensity | mean propensity | share of defaults | notebook: propensity | defaults |",
        "|---|---:|---:|---:|---:|",
    ]
    tenths = manifest.get("calibration") or {"mean_propensity": [], "default_rate": []}
    for place, (predicted, observed, stated_predicted, stated_observed) in enumerate(
        zip_longest(*evaluation.calibration.values(), tenths["mean_propensity"], tenths["default_rate"])
    ):
        cells = (predicted, observed, stated_predicted, stated_observed)
        report.append(
            f"| {place + 1} | {' | '.join('' if cell is None else f'{cell:.4f}' for cell in cells)} |"
        )
    if evaluation.max_difference is None:
        report += [
            "",
            "Each propensity was not compared with the notebook's: no pickle was given, or not all fields.",
        ]
    else:
        report += [
            "",
            "Each propensity beside what the notebook's pickle predicts: they differ by"
            f" {evaluation.max_difference:.1e}.",
        ]
    return report


def figures(evaluation: Evaluation) -> dict[str, Any]:
    """Return the figures of the report, for programs to read."""
    deployed = evaluation.deployed
    return {
        "model": deployed.card.tag,
        "of": deployed.of,
        "rows": len(deployed.defaults),
        "defaults": int(deployed.defaults.sum()),
        "metrics": evaluation.metrics,
        "intervals": evaluation.intervals,
        "notebook": evaluation.stated,
        "confusion": evaluation.confusion,
        "calibration": evaluation.calibration,
        "max_difference": evaluation.max_difference,
        "faults": evaluation.faults,
    }


def write(evaluation: Evaluation, folder: Path) -> Path:
    """Write the report, its picture and its figures.

    Returns:
        The path of the report.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _draw(evaluation, folder / "evaluation.png")
    (folder / "evaluation.json").write_text(
        json.dumps(figures(evaluation), indent=1) + "\n", encoding="utf-8"
    )
    verdict = ["As promised."] if not evaluation.faults else ["**Not** as promised:", ""]
    verdict += [f"- {fault}" for fault in evaluation.faults]
    report = folder / "evaluation.md"
    content = ["# Evaluation", "", *verdict, "", *lines(evaluation), "", "![Pictures](evaluation.png)", ""]
    report.write_text("\n".join(content), encoding="utf-8")
    return report


def _draw(evaluation: Evaluation, path: Path) -> None:
    mpl.use("Agg")
    outcomes, deployed = evaluation.deployed.defaults, evaluation.deployed.propensities
    drawn = [(deployed, "deployed", DEPLOYED, "--", 1.4)]
    if evaluation.promised is not None:
        drawn.insert(0, (evaluation.promised, "notebook", NOTEBOOK, "-", 4.0))
    with plt.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure, (ranks, calibrates, spreads) = plt.subplots(1, 3, figsize=(13, 4), dpi=110)
        for propensities, name, colour, style, width in drawn:
            good, defaults, _ = roc_curve(outcomes, propensities)
            ranks.plot(good, defaults, style, color=colour, linewidth=width, label=name)
            observed, predicted = calibration_curve(outcomes, propensities, n_bins=10, strategy="quantile")
            calibrates.plot(predicted, observed, style, marker="o", color=colour, linewidth=width, label=name)
            spreads.hist(
                propensities, bins=np.linspace(0, 1, 31).tolist(), color=colour, linewidth=1.6, label=name,
                histtype="step" if style == "--" else "bar",
            )  # fmt: skip
        for axis in (ranks, calibrates):
            axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
        auc, brier = evaluation.metrics["auc"], evaluation.metrics["brier"]
        ranks.set(xlabel="good applicants declined", ylabel="defaults declined", title=f"ROC: AUC {auc:.3f}")
        calibrates.set(
            xlabel="mean propensity (tenths)", ylabel="share that defaulted",
            title=f"Calibration: Brier {brier:.3f}",
        )  # fmt: skip
        spreads.axvline(
            evaluation.deployed.card.threshold.value, color="black", linewidth=1, label="threshold"
        )
        spreads.set(xlabel="propensity", ylabel="applications", title="Propensities")
        for axis in (ranks, calibrates, spreads):
            axis.legend(frameon=False)
        figure.tight_layout()
        figure.savefig(path)
        plt.close(figure)
