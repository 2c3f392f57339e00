"""The sections of a model card, made of the manifest and perhaps of an evaluation.

A section begins with its heading, and is empty where the manifest says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from propensity.contract.contract import Contract
from propensity.contract.field import Field
from propensity.evaluation.figures import Figures
from propensity.evaluation.markdown import code, table, text
from propensity.model.manifest import FormName, Manifest, Served

FEW = 100
"""Number of rows below which the figures of a group say little."""

LISTED = 12
"""Categories of a field that are listed; of more, the number is given."""

_METRICS = {
    "auc": "AUC: how often a positive ranks above a negative",
    "gini": "Gini: 2 AUC - 1",
    "ks": "KS: largest distance between the two distributions",
    "average_precision": "average precision",
    "brier": "Brier: mean squared error of the propensity",
    "log_loss": "log loss",
    "calibration_in_the_large": "mean propensity less share of positives",
    "selected": "selected: share from the threshold on",
    "recall": "recall: share of the positives that is selected",
    "false_positive_rate": "false positive rate: share of the negatives that is selected",
}
_GROUP = {
    "positive_rate": "positive",
    "mean_propensity": "mean propensity",
    "auc": "AUC",
    "selected": "selected",
    "recall": "recall",
    "false_positive_rate": "false positive rate",
}
_FORMS: dict[FormName, str] = {
    "grids": "grids of its leaves",
    "tables": "tables of its trees",
    "additive": "a sum of functions of one field each",
    "mixture": "a mean of compiled forms",
    "forest": "a compiled forest",
    "pipeline": "the pipeline itself",
}


def sections(manifest: Manifest, evaluation: Figures | None) -> dict[str, str]:
    """Return the sections by name.

    Args:
        manifest: the manifest of the model.
        evaluation: the figures of an evaluation of the model, if there is one.
    """
    made = {
        "summary": _summary(manifest, evaluation),
        "fields": _fields(manifest.contract),
        "data": _data(manifest),
        "quality": _stated_quality(manifest) if evaluation is None else _quality(manifest, evaluation),
        "groups": _groups(manifest),
        "importance": _importance(manifest),
        "form": () if evaluation is None else _form(evaluation.served),
        "limits": _limits(manifest),
    }
    return {name: "\n".join(lines) for name, lines in made.items()}


def _summary(manifest: Manifest, evaluation: Figures | None) -> Iterator[str]:
    contract, threshold = manifest.contract, manifest.threshold.model_dump()
    negative, positive = contract.decision_names
    model = manifest.name if evaluation is None else evaluation.model
    yield (
        f"**{model}**: {text(manifest.algorithm)}. `GET /v1/model` has its digest, its libraries and when it"
        " was trained."
    )
    yield ""
    yield (
        f"Predicts, for {contract.a_row}, the probability that {text(contract.meaning)}. In the data, that"
        f" is {code(manifest.target.positive)} in the column {code(manifest.target.name)}, and not"
        f" {code(manifest.target.negative)}. From a propensity of {threshold['value']:.12g} on, the decision"
        f" is {code(positive)}, else {code(negative)}."
    )
    costs = [threshold.get(f"cost_false_{kind}") for kind in ("negative", "positive")]
    if None not in costs:
        yield (
            f"A false negative was taken to cost {text(costs[0])}, a false positive {text(costs[1])}; other"
            " costs need another threshold."
        )
    if threshold.get("chosen_on"):
        yield f"The threshold was chosen on {text(threshold['chosen_on'])}."


def _fields(contract: Contract) -> Iterator[str]:
    yield "## What it takes"
    if contract.description:
        yield from ("", text(contract.description))
    columns: dict[str, list[str]] = {
        "Field": [code(field.name) for field in contract.fields],
        "Kind": [field.kind for field in contract.fields],
        "Values": [_values(field) for field in contract.fields],
        "Unit": [text(field.unit or "") for field in contract.fields],
        "May be missing": ["yes" if field.nullable else "" for field in contract.fields],
        "Meaning": [text(field.description or "") for field in contract.fields],
        "Bounds from": [text(field.bounds_from or "") for field in contract.fields],
    }
    stated = {name: cells for name, cells in columns.items() if any(cells)}
    yield ""
    yield from table([*stated], [*zip(*stated.values(), strict=True)], texts=len(stated))


def _values(field: Field) -> str:
    if field.categories is not None:
        more = len(field.categories) - LISTED
        listed = ", ".join(map(code, field.categories[:LISTED]))
        return listed if more <= 0 else f"{listed} and {more:,} more"
    low, high = (None if bound is None else f"{bound:,.12g}" for bound in (field.minimum, field.maximum))
    if low is None:
        return "" if high is None else f"up to {high}"
    return f"from {low}" if high is None else f"{low} to {high}"


def _data(manifest: Manifest) -> Iterator[str]:
    holdout = manifest.holdout
    yield from ("## Data", "")
    for name, stated in manifest.data.items():
        yield f"- {text(name).replace('_', ' ')}: {text(stated)}"
    yield (
        f"- hold-out set: {holdout.rows:,} {manifest.contract.rows}, {holdout.positives:,} of them positive;"
        " they took no part in training or in any choice"
    )
    if manifest.seed is not None:
        yield f"- seed: {manifest.seed}"


def _quality(manifest: Manifest, evaluation: Figures) -> Iterator[str]:
    yield from ("## Quality, as deployed", "")
    yield (
        f"On {evaluation.rows:,} {manifest.contract.rows}, {evaluation.positives:,} of them positive,"
        f" {evaluation.of}:"
    )
    rows = []
    for name, value in evaluation.metrics.items():
        low, high = evaluation.intervals[name]
        stated = evaluation.notebook.get(name)
        notebook = "" if stated is None else f"{stated:.4f}"
        rows.append([_metric(name), f"{value:.4f}", f"{low:.4f} to {high:.4f}", notebook])
    yield ""
    yield from table(["", "deployed", "95 of 100 samples", "notebook"], rows)
    if evaluation.max_difference is not None:
        yield ""
        yield (
            "The largest difference from the propensities of the notebook's pickle is"
            f" {evaluation.max_difference:.1e}."
        )
    if evaluation.faults:
        yield from (
            "",
            "The evaluation found faults:",
            "",
            *(f"- {text(fault)}" for fault in evaluation.faults),
        )


def _stated_quality(manifest: Manifest) -> Iterator[str]:
    figures = _numbers(manifest.metrics.model_dump())
    yield from ("## Quality, as stated", "", "On the hold-out set, from the manifest:", "")
    yield from table(["", "notebook"], [[_metric(name), f"{value:.4f}"] for name, value in figures.items()])


def _metric(name: str) -> str:
    return _METRICS.get(name, text(name).replace("_", " "))


def _groups(manifest: Manifest) -> Iterator[str]:
    groups = _members(manifest.metrics.model_dump().get("groups"))
    if not groups:
        return
    rows = manifest.contract.rows
    yield from ("## By group", "")
    yield (
        f"On the hold-out set, from the notebook. For groups with fewer than {FEW} {rows} (*) the figures say"
        " little."
    )
    for field, members in groups.items():
        yield ""
        yield from _group(field, {name: _numbers(each) for name, each in _members(members).items()}, rows)


def _group(field: str, members: Mapping[str, Mapping[str, float]], rows: str) -> Iterator[str]:
    yield from table(
        [code(field), rows, *_GROUP.values()],
        [
            [
                code(name) + ("*" if figures.get("rows", 0) < FEW else ""),
                f"{figures.get('rows', 0):,.0f}",
                *(f"{figures[each]:.2f}" if each in figures else "" for each in _GROUP),
            ]
            for name, figures in members.items()
        ],
    )
    rates = {
        name: figures["false_positive_rate"]
        for name, figures in members.items()
        if figures.get("rows", 0) >= FEW and "false_positive_rate" in figures
    }
    if len(rates) > 1:
        most, least = max(rates, key=rates.__getitem__), min(rates, key=rates.__getitem__)
        times = f": {rates[most] / rates[least]:.1f} times as many" if rates[least] else ""
        yield ""
        yield (
            f"Of the negatives, {rates[most]:.0%} of {code(field)} {code(most)} are selected,"
            f" {rates[least]:.0%} of {code(least)}{times}."
        )


def _importance(manifest: Manifest) -> Iterator[str]:
    importance = _numbers(manifest.metrics.model_dump().get("permutation_importance"))
    if not importance:
        return
    yield from ("## What it rests on", "")
    yield "From the notebook: how much worse the predictions are when a field's values are shuffled."
    yield ""
    yield from table(["Field", "by"], [[code(name), f"{by:.4f}"] for name, by in importance.items()])


def _form(served: Served) -> Iterator[str]:
    yield from ("## How it is served", "")
    parity = served.parity
    if parity is None:
        yield f"As {_FORMS[served.form]}."
    else:
        yield (
            f"As {_FORMS[served.form]}. On {parity.rows:,} rows, the largest difference from the pipeline's"
            f" propensities is {parity.max_difference:.1e}; {parity.decisions_changed:,} decisions differ."
        )
    if served.passed_over:
        yield ""
        yield from (f"- Not as {_FORMS[each.form]}: {text(each.reason)}" for each in served.passed_over)


def _limits(manifest: Manifest) -> Iterator[str]:
    yield from ("## Limits", "")
    yield (
        "- Values beyond those of the training set, within the bounds of the fields, are accepted, though"
        " nobody has measured how good the predictions are there."
    )
    yield (
        "- Quality is that of the hold-out set. `propensity drift` tells when production has moved"
        " away from it, and `propensity evaluate --outcomes` measures quality as outcomes arrive."
    )
    yield "- A contribution says what the model does, not what causes the outcome."
    if not _members(manifest.metrics.model_dump().get("groups")):
        yield "- The manifest states no figures by group: how the model treats different groups is not known."


def _members(stated: Any) -> Mapping[str, Any]:
    """Return the members of what a manifest may state as an object."""
    return stated if isinstance(stated, Mapping) else {}


def _numbers(stated: Any) -> dict[str, float]:
    members: Iterable[tuple[str, Any]] = _members(stated).items()
    return {name: figure for name, figure in members if isinstance(figure, int | float)}
