"""The comparison of a loaded pipeline with the contract in its manifest."""

from __future__ import annotations

from typing import Any

from propensity.contract.contract import Contract
from propensity.importing.anatomy import Anatomy, check_classifier
from propensity.model.gate import GateError
from propensity.model.manifest import Manifest
from propensity.model.pipeline import PipelineForm


def check(pipeline: Any, manifest: Manifest) -> PipelineForm:
    """Check that a pipeline takes the rows of its contract, and return the form that predicts them.

    Raises:
        GateError: a field, a category or a class differs; the message says which.
    """
    check_classifier(pipeline)
    classes = {str(label) for label in pipeline.classes_}
    stated = {manifest.target.positive, manifest.target.negative}
    if classes != stated:
        raise GateError(
            f"the pipeline's classes are {', '.join(sorted(classes))}, the manifest's"
            f" {', '.join(sorted(stated))}: state the pipeline's as target.positive and target.negative"
        )
    contract = manifest.contract
    names = tuple(field.name for field in contract.fields)
    anatomy = Anatomy.of(pipeline, names)
    _check_names(anatomy, names, getattr(pipeline, "n_features_in_", len(names)))
    _check_categories(anatomy, contract)
    return PipelineForm(pipeline, contract, manifest.takes, manifest.target.positive)


def _check_names(anatomy: Anatomy, names: tuple[str, ...], count: int) -> None:
    if anatomy.taken is None:
        if count != len(names):
            raise GateError(f"the pipeline takes {count} features, the contract has {len(names)} fields")
        return
    if names in {anatomy.names, anatomy.taken}:
        return
    lacking = [name for name in anatomy.taken if name not in names]
    strange = [name for name in names if name not in anatomy.taken]
    differing = [
        *([f"the contract lacks {', '.join(lacking)}"] if lacking else []),
        *([f"the pipeline takes no {', '.join(strange)}"] if strange else []),
    ]
    reason = "; ".join(differing) or f"the pipeline takes them in the order {', '.join(anatomy.taken)}"
    raise GateError(f"the fields of the contract are not the features of the pipeline: {reason}")


def _check_categories(anatomy: Anatomy, contract: Contract) -> None:
    for field in contract.fields:
        encoder = anatomy.encoders.get(field.name)
        if encoder is None or not encoder.refuses_others or field.categories is None:
            continue
        unknown = [name for name in field.categories if name not in encoder.texts]
        if unknown:
            raise GateError(
                f"field {field.name}: {encoder.name} does not know {', '.join(unknown)} and would fail; leave"
                " them out of the contract's categories, or train with handle_unknown='ignore'"
            )
