"""The report of an evaluation: tables, and the notebook's pictures with the deployed model added."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from sklearn.metrics import roc_curve

from propensity.evaluation.evaluation import Evaluation
from propensity.evaluation.figures import Figures
from propensity.evaluation.markdown import table
from propensity.importing.figures import calibration

NOTEBOOK, DEPLOYED = "#b0b0b0", "#1f4e79"


def lines(evaluation: Evaluation) -> list[str]:
    """Return the evaluation as Markdown tables."""
    deployed, stated = evaluation.deployed, evaluation.stated
    metrics = []
    for name, value in evaluation.metrics.items():
        low, high = evaluation.intervals[name]
        theirs = stated.metrics.get(name)
        notebook = ("", "") if theirs is None else (f"{theirs:.6f}", f"{value - theirs:+.1e}")
        metrics.append([name, f"{value:.6f}", f"{low:.4f} to {high:.4f}", *notebook])
    decided = [
        [
            name.replace("_", " "),
            f"{count:,}",
            f"{stated.confusion[name]:,.0f}" if name in stated.confusion else "",
        ]
        for name, count in evaluation.confusion.items()
    ]
    curves = [
        *evaluation.calibration.values(),
        *(stated.calibration.get(name, []) for name in evaluation.calibration),
    ]
    quantiles = [
        [str(place + 1), *("" if point is None else f"{point:.4f}" for point in points)]
        for place, points in enumerate(zip_longest(*curves))
    ]
    compared = (
        "Each propensity was not compared with the notebook's: no pickle was given, or not all fields."
        if evaluation.max_difference is None
        else "Each propensity beside what the notebook's pickle predicts: they differ by"
        f" {evaluation.max_difference:.1e}."
    )
    return [
        f"Model {deployed.card.tag}, on {len(deployed.truth):,} {deployed.card.contract.rows},"
        f" {int(deployed.truth.sum()):,} of them positive, {deployed.of}.",
        "",
        *table(["Metric", "deployed", "95 of 100 samples", "notebook", "difference"], metrics),
        "",
        *table([f"At the threshold of {deployed.card.threshold.value:g}", "deployed", "notebook"], decided),
        "",
        *table(
            [
                "Quantile, by propensity", "mean propensity", "share of positives", "notebook: propensity",
                "positives",
            ],
            quantiles,
        ),
        "",
        compared,
    ]  # fmt: skip


def write(evaluation: Evaluation, folder: Path) -> Path:
    """Write the report, its picture and its figures.

    Returns:
        The path of the report.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _draw(evaluation, folder / "evaluation.png")
    figures = Figures.of_evaluation(evaluation)
    (folder / "evaluation.json").write_text(figures.model_dump_json(indent=1) + "\n", encoding="utf-8")
    verdict = ["As promised."] if not evaluation.faults else ["**Not** as promised:", ""]
    verdict += [f"- {fault}" for fault in evaluation.faults]
    report = folder / "evaluation.md"
    content = ["# Evaluation", "", *verdict, "", *lines(evaluation), "", "![Pictures](evaluation.png)", ""]
    report.write_text("\n".join(content), encoding="utf-8")
    return report


def _draw(evaluation: Evaluation, path: Path) -> None:
    mpl.use("Agg")
    truth, deployed = evaluation.deployed.truth, evaluation.deployed.propensities
    card, bins = evaluation.deployed.card, len(evaluation.calibration["mean_propensity"])
    drawn = [(deployed, "deployed", DEPLOYED, "--", 1.4)]
    if evaluation.promised is not None:
        drawn.insert(0, (evaluation.promised, "notebook", NOTEBOOK, "-", 4.0))
    with plt.rc_context({
        "font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
        "text.parse_math": False,  # the contract's words may hold dollar signs
    }):  # fmt: skip
        figure, (ranks, calibrates, spreads) = plt.subplots(1, 3, figsize=(13, 4), dpi=110)
        for propensities, name, colour, line, width in drawn:
            false_positive_rate, recall, _ = roc_curve(truth, propensities)
            ranks.plot(false_positive_rate, recall, line, color=colour, linewidth=width, label=name)
            curve = [*calibration(truth, propensities, bins).values()]
            calibrates.plot(*curve, line, marker="o", color=colour, linewidth=width, label=name)
            spreads.hist(
                propensities, bins=np.linspace(0, 1, 31).tolist(), color=colour, linewidth=1.6, label=name,
                histtype="step" if line == "--" else "bar",
            )  # fmt: skip
        for axis in (ranks, calibrates):
            axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
        auc, brier = evaluation.metrics["auc"], evaluation.metrics["brier"]
        ranks.set(xlabel="false positive rate", ylabel="recall", title=f"ROC: AUC {auc:.3f}")
        calibrates.set(
            xlabel="mean propensity, by quantile", ylabel="share of positives",
            title=f"Calibration: Brier {brier:.3f}",
        )  # fmt: skip
        spreads.axvline(card.threshold.value, color="black", linewidth=1, label="threshold")
        spreads.set(xlabel="propensity", ylabel=card.contract.rows, title=card.contract.title)
        for axis in (ranks, calibrates, spreads):
            axis.legend(frameon=False)
        figure.tight_layout()
        figure.savefig(path)
        plt.close(figure)
