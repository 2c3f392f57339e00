"""Writes what an import needs: pickle, manifest and hold-out file."""

from __future__ import annotations

import hashlib
import json
import os
import pickle  # nosec B403
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any

from pydantic import ValidationError

from propensity.contract.field import Field
from propensity.handover.draft import Draft, draft
from propensity.handover.faults import first_fault
from propensity.importing import figures
from propensity.importing.anatomy import last_step
from propensity.model.gate import GateError
from propensity.model.manifest import Manifest

BINS = 10
"""Quantiles of the calibration curve."""


@dataclass(frozen=True, repr=False)
class Handover:
    """What was written, and what a person should look at.

    Attributes:
        manifest: as it was written.
        files: pickle, manifest and hold-out file.
        notes: what a person should look at.
    """

    manifest: Manifest
    files: tuple[Path, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        width = max(len(field.name) for field in self.manifest.contract.fields)
        fields = [f"  {field.name:{width}}  {_described(field)}" for field in self.manifest.contract.fields]
        notes = [f"  - {note}" for note in self.notes]
        return "\n".join(
            [self._summary(), "", "Fields:", *fields, "", "To look at:", *(notes or ["  nothing"])]
        )

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        fields = [f"| `{field.name}` | {_described(field)} |" for field in self.manifest.contract.fields]
        notes = [f"- {note}" for note in self.notes]
        table = ["| Field | What the API takes |", "|---|---|", *fields]
        return "\n".join([self._summary(), "", *table, "", "**To look at:**", "", *(notes or ["nothing"])])

    def _summary(self) -> str:
        manifest = self.manifest
        names = ", ".join(path.name for path in self.files)
        return (
            f"Wrote {names}. The propensity is the probability that {manifest.contract.meaning}; from"
            f" {manifest.threshold.value:g} on, the decision is {manifest.contract.decisions.positive}."
            f" AUC {manifest.metrics.auc:.3f} on {manifest.holdout.rows:,} rows, of which"
            f" {manifest.holdout.positives:,} are positive."
        )


def write(
    folder: str | os.PathLike[str],
    pipeline: Any,
    X_holdout: Any,  # noqa: N803 - as in every notebook
    y_holdout: Any,
    *,
    name: str = "propensity",
    target: str | None = None,
    positive: object = None,
    threshold: float | None = None,
    chosen_on: str | None = None,
    costs: Mapping[str, float] | None = None,
    training: Any = None,
    contract: Mapping[str, Any] | None = None,
    groups: Mapping[str, Sequence[str] | None] | None = None,
    metrics: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    others: Mapping[str, Any] | None = None,
    holdout: str | os.PathLike[str] | None = None,
    seed: int | None = None,
    trained_at: datetime | None = None,
    training_seconds: float | None = None,
    algorithm: str | None = None,
) -> Handover:
    """Write pickle, manifest and hold-out file of a fitted binary classifier.

    What the API accepts is inferred from the pipeline and the rows. Look at what this returns: what is wrong
    there can be stated in `contract`.

    Args:
        folder: where to write `NAME.pkl`, `NAME.json` and `NAME.holdout.json`.
        pipeline: fitted, with all preprocessing inside.
        X_holdout: rows that took no part in training or in any choice, a frame or an array.
        y_holdout: their outcomes.
        name: of the model and its files.
        target: name of the outcome; by default that of `y_holdout`, or `target`.
        positive: the class whose probability is the propensity; by default True, 1 or "yes", else the second.
        threshold: propensity from which on the decision is positive; by default that of least cost, or 0.5.
        chosen_on: what the threshold was chosen on.
        costs: of a `false_negative` and of a `false_positive`.
        training: the rows of the training, which tell more about bounds and missing values.
        contract: members of the contract that are not to be inferred, in its own shape; `fields` maps names
            to members of the fields.
        groups: fields whose groups are compared: categories, or bands such as `26-35` and `56+`; None for all
            categories.
        metrics: further figures.
        data: source, licence and size of the data.
        others: further members of the manifest.
        holdout: another path for the hold-out file.
        seed: of all that was drawn at random.
        trained_at: when it was trained.
        training_seconds: how long that took.
        algorithm: what it is called; by default the class of the last step.

    Returns:
        What was written; a notebook shows it as a table, with what a person should look at.

    Raises:
        GateError: the model can't be served, or a file of somebody else's would be overwritten; nothing was
            written, and the message says what to do.
    """
    pickle_path = Path(folder) / f"{name}.pkl"
    holdout_path = Path(folder) / f"{name}.holdout.json" if holdout is None else Path(holdout)
    _check_own(pickle_path)
    outcome = str(target or getattr(y_holdout, "name", None) or "target")
    drafted = draft(
        pipeline, X_holdout, y_holdout,
        target=outcome, positive=positive, others=[] if training is None else [training],
        stated=contract, knows_training=training is not None,
    )  # fmt: skip
    content = pickle.dumps(pipeline, protocol=5)
    manifest = manifest_of(
        drafted, name=name, target=outcome, file=pickle_path.name, sha256=hashlib.sha256(content).hexdigest(),
        libraries=libraries_of(pipeline), holdout=os.path.relpath(holdout_path, folder),
        threshold=threshold_of(threshold, chosen_on, costs), groups=groups, metrics=metrics,
        stated=_known({
            "algorithm": algorithm or algorithm_of(pipeline), "data": data, "seed": seed,
            "trained_at": trained_at, "training_seconds": training_seconds, **(others or {}),
        }),
    )  # fmt: skip
    pickle_path.parent.mkdir(parents=True, exist_ok=True)
    holdout_path.parent.mkdir(parents=True, exist_ok=True)
    pickle_path.write_bytes(content)
    holdout_path.write_text(drafted.text, encoding="utf-8")
    manifest_path = pickle_path.with_suffix(".json")
    manifest_path.write_text(text_of(manifest), encoding="utf-8")
    return Handover(manifest, (pickle_path, manifest_path, holdout_path), tuple(drafted.notes))


def manifest_of(
    drafted: Draft,
    *,
    name: str,
    target: str,
    file: str,
    sha256: str,
    libraries: Mapping[str, str],
    holdout: str,
    threshold: Mapping[str, Any],
    stated: Mapping[str, Any],
    groups: Mapping[str, Sequence[str] | None] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> Manifest:
    """Return the manifest of a draft.

    Args:
        drafted: contract and hold-out set.
        name: of the model.
        target: name of the outcome.
        file: name of the pickle, beside the manifest.
        sha256: its digest.
        libraries: that it needs, with their versions.
        holdout: path of the hold-out file, relative to the manifest.
        threshold: its members.
        stated: further members.
        groups: fields whose groups are compared, as in `write`.
        metrics: further figures.

    Raises:
        GateError: a member is not valid.
    """
    contract, truth = drafted.contract, drafted.truth
    named = {
        field: contract.by_name[field].categories or ()
        if names is None and field in contract.by_name
        else names or ()
        for field, names in (groups or {}).items()
    }
    found = figures.metrics_of(
        truth, drafted.propensities, threshold, bins=BINS,
        groups=figures.members(contract, drafted.features, named),
    )  # fmt: skip
    members = {
        "name": name,
        "pickle": {"file": file, "sha256": sha256},
        "libraries": libraries,
        "takes": drafted.takes,
        "target": {"name": target, "positive": drafted.labels.positive, "negative": drafted.labels.negative},
        "contract": contract,
        "threshold": threshold,
        "metrics": {**found, **(metrics or {})},
        "holdout": {
            "file": Path(holdout).as_posix(),
            "sha256": hashlib.sha256(drafted.text.encode()).hexdigest(),
            "rows": len(truth),
            "positives": int(truth.sum()),
        },
        **stated,
    }
    try:
        return Manifest.model_validate(members)
    except ValidationError as error:
        raise GateError(first_fault(error)) from error


def text_of(manifest: Manifest) -> str:
    """Return a manifest as people read it: what is not stated is left out, and 18 is not 18.0."""
    members = manifest.model_dump(mode="json", exclude_none=True)
    members["contract"]["fields"] = [_stated(field) for field in manifest.contract.fields]
    return json.dumps(members, indent=2, ensure_ascii=False) + "\n"


def libraries_of(pipeline: Any) -> dict[str, str]:
    """Return the versions of Python and of the libraries that the classes of a pipeline belong to."""
    pickler = _NotingPickler()
    pickler.dump(pipeline)
    foreign = pickler.modules - {"sklearn", "numpy", "pandas"} - sys.stdlib_module_names
    distributions = packages_distributions() if foreign else {}  # which takes a second
    owners = {owner for module in foreign for owner in distributions.get(module, ())}
    names = ["scikit-learn", "numpy", "pandas", *sorted(owners)]
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python} | {name: version(name) for name in names}


class _NotingPickler(pickle.Pickler):
    """A pickler that notes the modules of what it pickles, and keeps nothing."""

    def __init__(self) -> None:
        super().__init__(_Nowhere(), protocol=5)
        self.modules: set[str] = set()

    def persistent_id(self, part: Any) -> None:
        """Note a part; it is pickled as ever."""
        named = part if isinstance(part, type | FunctionType | BuiltinFunctionType) else type(part)
        self.modules.add(str(named.__module__).partition(".")[0])


class _Nowhere:
    """A file that forgets what is written into it."""

    def write(self, written: Any) -> int:
        """Return how many bytes were given."""
        return memoryview(written).nbytes  # a buffer of a large array has no length


def algorithm_of(pipeline: Any) -> str:
    """Return the class of a pipeline's last step in plain words, such as `gradient boosting`."""
    name = type(last_step(pipeline)).__name__
    for brand, spelt in {"XGB": "XGBoost", "LGBM": "LightGBM", "CatBoost": "CatBoost"}.items():
        if name.startswith(brand):
            return spelt
    plain = re.sub("(Classifier)?(CV)?$", "", name)
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*", plain)
    return " ".join(word if word.isupper() else word.lower() for word in words) or name


def _check_own(path: Path) -> None:
    """Check that a pickle that would be overwritten was written here: its manifest vouches for it.

    Raises:
        GateError: it does not.
    """
    if not path.exists():
        return
    try:
        vouched = json.loads(path.with_suffix(".json").read_bytes())["pickle"]["sha256"]
    except (OSError, ValueError, LookupError, TypeError):
        vouched = None
    if vouched != hashlib.sha256(path.read_bytes()).hexdigest():
        raise GateError(
            f"{path}: is there already, and no manifest beside it is of this pickle; choose another name or"
            " folder, or move it away"
        )


def threshold_of(
    value: float | None, chosen_on: str | None = None, costs: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Return the threshold as a manifest states it.

    Args:
        value: propensity from which on the decision is positive; None for that of least cost, or 0.5.
        chosen_on: what it was chosen on.
        costs: of a `false_negative` and of a `false_positive`.
    """
    members: dict[str, Any] = {"value": 0.5, "positive_at_or_above": True}
    chosen: str | None = "nothing: it is 0.5 until somebody chooses one"
    if costs is not None:
        negative, positive = float(costs["false_negative"]), float(costs["false_positive"])
        members |= {"cost_false_negative": negative, "cost_false_positive": positive}
        members["value"], chosen = positive / (positive + negative), "the costs alone"
    if value is not None:
        members["value"], chosen = float(value), None
    return members | _known({"chosen_on": chosen_on or chosen})


def _known(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _stated(field: Field) -> dict[str, Any]:
    members = field.model_dump(mode="json", exclude_none=True)
    whole = {
        bound: int(members[bound])
        for bound in ("minimum", "maximum")
        if isinstance(members.get(bound), float) and members[bound].is_integer()
    }
    unsaid = {"words": {}, "category_words": {}, "missing": "NaN"}
    return {name: value for name, value in (members | whole).items() if unsaid.get(name) != value}


def _described(field: Field) -> str:
    parts: list[str] = [field.kind]
    if field.categories is not None:
        shown = ", ".join(field.categories[:8])
        parts = [f"one of {shown}" + (f", … ({len(field.categories)})" if len(field.categories) > 8 else "")]  # noqa: PLR2004
    if field.minimum is not None or field.maximum is not None:
        parts.append(f"{_plain(field.lowest)} to {_plain(field.highest)}")
    if field.bounds_from:
        parts.append(f"({field.bounds_from})")
    return " ".join(parts) + (", or null" if field.nullable else "")


def _plain(bound: float) -> str:
    return f"{bound:,.0f}" if bound.is_integer() and abs(bound) < 1e15 else f"{bound:g}"  # noqa: PLR2004
