"""The ladder: the forms that a model may be served in, fastest first; the first that is proven is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from propensity.contract.features import Features
from propensity.importing.additive import compile_additive
from propensity.importing.encoding import Compiled, NotCompilableError
from propensity.importing.grids import compile_grids
from propensity.importing.mixture import compile_mixture, deciding, mixed
from propensity.importing.parity import COMPANY, SEED, Proof, company, first_line
from propensity.importing.steps import put_together, take_apart
from propensity.importing.trees import compile_forest, compile_tables
from propensity.model.forms import Form, load
from propensity.model.manifest import FormName, Parity, PassedOver
from propensity.model.pipeline import PipelineForm

TOLERANCE = 1e-9
SINGLE_TOLERANCE = 1e-6
"""Largest difference from the propensities of a pipeline, and from those of one that computes in 32 bits."""


class InconsistentPipelineError(Exception):
    """A pipeline can't be served, since its rows influence each other; the message says by how much."""


@dataclass(frozen=True)
class Climbed:
    """The form that a model is to be served in.

    Attributes:
        form: the form.
        name: as in the manifest.
        content: what a compiled form is stored as; empty for the pipeline.
        parity: how a compiled form was proven.
        passed_over: the forms before it, and why it is none of them.
    """

    form: Form
    name: FormName
    content: bytes = b""
    parity: Parity | None = None
    passed_over: list[PassedOver] = field(default_factory=list)


def climb(form: PipelineForm, threshold: float, rows: Features) -> Climbed:
    """Return the first form that a pipeline can be compiled to and that equals it.

    Args:
        form: the pipeline.
        threshold: propensity from which on the decision is the positive one.
        rows: features of the hold-out set.
    """
    proof = Proof(form, threshold, rows, tolerance_of(form, rows))
    plain = PipelineForm(put_together(*take_apart(form.pipeline)), form.contract, form.takes, form.positive)
    passed_over: list[PassedOver] = []
    for name, compiled_as in _RUNGS.items():
        try:
            compiled = compiled_as(plain, rows)
            content = compiled.form.to_bytes()
            loaded = load(name, content)
            parity = proof.of(loaded, compiled.probes)
        except NotCompilableError as error:
            passed_over.append(PassedOver(form=name, reason=str(error)))
        except Exception as error:
            # Whatever a team's own classes do, their pipeline can be served.
            reason = f"compiling it fails with {type(error).__name__}: {first_line(error)}"
            passed_over.append(PassedOver(form=name, reason=reason))
        else:
            return Climbed(loaded, name, content, parity, passed_over)
    return Climbed(form, "pipeline", passed_over=passed_over)


def check_consistency(form: PipelineForm, rows: Features) -> None:
    """Check that a pipeline predicts a row the same alone, in a batch, and in other company.

    Args:
        form: the pipeline.
        rows: features of the hold-out set, of which a sample is predicted.

    Raises:
        InconsistentPipelineError: it does not.
    """
    sample = np.sort(np.random.default_rng(SEED).permutation(len(rows))[:COMPANY])
    apart = company(form, rows[sample])
    wrong = np.flatnonzero(~(apart <= tolerance_of(form, rows)))
    if len(wrong):
        raise InconsistentPipelineError(
            "the pipeline's propensity of a row depends on the rows beside it, by up to"
            f" {apart.max():.2g}; the first is row {sample[wrong[0]]} of the hold-out set. A step learns from"
            " the rows that it predicts; let it learn from the training set only"
        )


def tolerance_of(form: PipelineForm, rows: Features) -> float:
    """Return by how much propensities may differ from those of a pipeline."""
    return SINGLE_TOLERANCE if _is_single(form, rows) else TOLERANCE


def _is_single(form: PipelineForm, rows: Features) -> bool:
    """Return whether a pipeline, or a member of a mixture, computes in 32 bits."""
    probabilities = form.pipeline.predict_proba(form.input(rows[:1]))
    if np.asarray(probabilities).dtype == np.float32:
        return True
    try:
        members = mixed(form, rows).members
    except NotCompilableError:
        return False
    return any(_is_single(member.form, rows) for member in members)


def _additive(form: PipelineForm, rows: Features) -> Compiled[Any]:
    return compile_additive(deciding(form), rows)


def _mixture(form: PipelineForm, rows: Features) -> Compiled[Any]:
    return compile_mixture(form, rows, _member)


def _member(form: PipelineForm, rows: Features) -> tuple[FormName, Compiled[Any]]:
    reasons = []
    for name, compiled_as in _RUNGS.items():
        try:
            return name, compiled_as(form, rows)
        except NotCompilableError as error:
            reasons.append(f"{name}: {error}")
    raise NotCompilableError("; ".join(reasons))


_RUNGS: dict[FormName, Callable[[PipelineForm, Features], Compiled[Any]]] = {
    "grids": compile_grids,
    "tables": compile_tables,
    "additive": _additive,
    "mixture": _mixture,
    "forest": compile_forest,
}
