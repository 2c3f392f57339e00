"""The import: what passes the gate is stored; nothing else is executed or stored."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bentoml
import commands
import numpy as np
import pytest
from conftest import ARTIFACTS, ROOT, few_generated_rows
from demonstration import CATEGORIES, CONTRACT, FEATURES
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from import_model import import_model, main
from propensity.contract.features import Features
from propensity.importing import figures, holdout
from propensity.importing.figures import Truth
from propensity.model import store
from propensity.model.gate import GateError
from propensity.model.manifest import Manifest, ManifestError, read_manifest
from propensity.model.pipeline import PipelineForm, frame

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def bundle(tmp_path: Path, pickle_path: Path) -> Iterator[Path]:
    """The pickle, in a copy of the notebook's three files that tests may tamper with."""
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "load_tests/data").mkdir(parents=True)
    shutil.copy(ARTIFACTS / "propensity.json", tmp_path / "artifacts")
    shutil.copy(ROOT / "load_tests/data/applications.json", tmp_path / "load_tests/data")
    with few_generated_rows():
        yield Path(shutil.copy(pickle_path, tmp_path / "artifacts"))


def change_manifest(bundle: Path, change: Change) -> None:
    path = bundle.with_suffix(".json")
    manifest = json.loads(path.read_bytes())
    change(manifest)
    path.write_text(json.dumps(manifest))


def change_holdout(bundle: Path, content: str) -> None:
    """Put another hold-out file in place, and its digest into the manifest."""
    (bundle.parents[1] / "load_tests/data/applications.json").write_text(content)
    digest = hashlib.sha256(content.encode()).hexdigest()
    change_manifest(bundle, lambda manifest: manifest["holdout"].update(sha256=digest))


def vouch_for(bundle: Path) -> None:
    """Put the digest of the present pickle into the manifest, as an attacker would."""
    digest = hashlib.sha256(bundle.read_bytes()).hexdigest()
    change_manifest(bundle, lambda manifest: manifest["pickle"].update(sha256=digest))


def form_of(pipeline: Any) -> PipelineForm:
    return PipelineForm(pipeline, CONTRACT, "frame", "True")


def held_out() -> tuple[Features, Truth]:
    content = (ROOT / "load_tests/data/applications.json").read_bytes()
    return holdout.parse(content, CONTRACT, "default")


def restate(bundle: Path) -> None:
    """Put the figures of the present pickle and threshold into the manifest, as the notebook would."""
    manifest = read_manifest(bundle.with_suffix(".json"))
    features, truth = held_out()
    propensities = form_of(pickle.loads(bundle.read_bytes())).propensities(features)
    found = figures.reproduced(manifest, features, truth, propensities)
    change_manifest(bundle, lambda manifest: manifest["metrics"].update(found["metrics"]))


class WritesAFile:
    """An object whose pickle executes code when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def refusal(bundle: Path) -> str:
    with pytest.raises((GateError, ManifestError)) as caught:
        import_model(bundle)
    return str(caught.value)


def test_a_good_pickle_is_stored_with_its_manifest(
    bundle: Path, empty_store: Any, manifest: dict[str, Any]
) -> None:
    model = bentoml.models.get(import_model(bundle))
    assert [str(kept.tag) for kept in empty_store.list()] == [str(model.tag)]
    kept = store.manifest_of(model)
    added = {"holdout_curves", "reference", "served"}
    assert Manifest.model_validate(kept.model_dump(exclude=added)) == read_manifest(
        bundle.with_suffix(".json")
    )
    assert kept.served.form == "grids"
    assert set(kept.reference) == {*FEATURES, "propensity"}
    assert hashlib.sha256(store.check(model)).hexdigest() == kept.served.sha256


def test_the_roc_curve_of_the_holdout_set_is_kept_with_the_model(bundle: Path, empty_store: Any) -> None:
    kept = store.manifest_of(bentoml.models.get(import_model(bundle)))
    assert kept.holdout_curves is not None
    alarms, recall = kept.holdout_curves.roc.false_positive_rate, kept.holdout_curves.roc.recall
    assert 50 < len(alarms) == len(recall) <= figures.ROC_POINTS
    assert (alarms[0], recall[0], alarms[-1], recall[-1]) == (0, 0, 1, 1)
    assert alarms == sorted(alarms)
    assert recall == sorted(recall)
    assert np.trapezoid(recall, alarms) == pytest.approx(kept.metrics.auc, abs=0.005)
    # The manifest states it already.
    assert kept.holdout_curves.calibration is None


def test_a_calibration_curve_that_the_manifest_lacks_is_computed(bundle: Path, pipeline: Any) -> None:
    features, truth = held_out()
    propensities = form_of(pipeline).propensities(features)
    change_manifest(bundle, lambda manifest: manifest["metrics"].pop("calibration"))
    manifest = read_manifest(bundle.with_suffix(".json"))
    curve = figures.curves(manifest, truth, propensities).calibration
    assert curve is not None
    assert curve.model_dump() == figures.calibration(truth, propensities, figures.QUANTILES)


def test_importing_a_model_of_an_older_version_again_adds_its_curves(bundle: Path, empty_store: Any) -> None:
    model = bentoml.models.get(import_model(bundle))
    curves = store.manifest_of(model).holdout_curves
    older = store.manifest_of(model).model_copy(update={"holdout_curves": None})
    store.save(store.check(model), older)
    assert store.manifest_of(bentoml.models.get(model.tag)).holdout_curves is None
    assert import_model(bundle) == str(model.tag)
    assert store.manifest_of(bentoml.models.get(model.tag)).holdout_curves == curves


@pytest.mark.thorough
def test_the_parity_of_the_compiled_form_is_kept_with_it(pickle_path: Path, empty_store: Any) -> None:
    """On every generated row, as a user imports; other tests import with few_generated_rows."""
    parity = store.manifest_of(bentoml.models.get(import_model(pickle_path))).served.parity
    assert parity is not None
    assert parity.rows > 20_000
    assert parity.max_difference < 1e-12
    assert parity.decisions_changed == 0


@pytest.fixture
def neighbours(bundle: Path) -> Path:
    """A pickle that can't be compiled, with a matching manifest."""
    numbers = [name for name in FEATURES if name not in CATEGORIES]
    encoder = OneHotEncoder(
        categories=list(CATEGORIES.values()), handle_unknown="ignore", sparse_output=False
    )
    preprocessing = ColumnTransformer(
        [("numbers", SimpleImputer(strategy="median"), numbers), ("categories", encoder, list(CATEGORIES))]
    )
    steps = [
        ("preprocessing", preprocessing),
        ("scale", StandardScaler()),
        ("classifier", KNeighborsClassifier(30)),
    ]
    features, truth = held_out()
    bundle.write_bytes(pickle.dumps(Pipeline(steps).fit(frame(features, CONTRACT), truth)))
    vouch_for(bundle)
    restate(bundle)
    return bundle


def test_a_pipeline_that_can_not_be_compiled_is_served_as_it_is_and_says_so(
    neighbours: Path, empty_store: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    model = bentoml.models.get(import_model(neighbours))
    (line,) = [line for line in capsys.readouterr().err.splitlines() if " kept as " in line]
    assert line.startswith("propensity import: kept as a pipeline, which is slower (grids: ")
    assert "KNeighborsClassifier" in line
    served = store.manifest_of(model).served
    assert (served.form, served.parity) == ("pipeline", None)
    assert served.sha256 == hashlib.sha256(neighbours.read_bytes()).hexdigest()
    features, _ = held_out()
    found = store.load_predictor(model).predict(features)
    assert found.tolist() == form_of(pickle.loads(neighbours.read_bytes())).propensities(features).tolist()


def test_a_stored_model_that_was_changed_is_not_loaded(
    bundle: Path, neighbours: Path, empty_store: Any
) -> None:
    model = bentoml.models.get(import_model(neighbours))
    (stored,) = Path(model.path).glob("*.pkl")
    stored.write_bytes(b"changed")
    with pytest.raises(
        store.StoreError,
        match=rf"model {model.tag}: .*{stored.name}: its SHA-256 is.*; delete the model and import it",
    ):
        store.load_predictor(model)


def test_importing_twice_keeps_one_model(bundle: Path, empty_store: Any) -> None:
    first = import_model(bundle)
    created = bentoml.models.get(first).creation_time
    assert import_model(bundle) == first
    assert [str(kept.tag) for kept in empty_store.list()] == [first]
    assert bentoml.models.get(first).creation_time == created


def test_another_threshold_is_another_model_and_the_last_import_is_the_latest(
    bundle: Path, empty_store: Any
) -> None:
    first = import_model(bundle)
    change_manifest(bundle, lambda manifest: manifest["threshold"].update(value=0.5))
    restate(bundle)
    second = import_model(bundle)
    assert first != second
    assert str(bentoml.models.get("propensity:latest").tag) == second
    change_manifest(bundle, lambda manifest: manifest["threshold"].update(value=0.26))
    restate(bundle)
    assert import_model(bundle) == first
    assert str(bentoml.models.get("propensity:latest").tag) == first
    assert len(empty_store.list()) == 2


def paths(figure: Any, *names: str | int) -> Iterator[tuple[str | int, ...]]:
    """The paths to the numbers in a part of a manifest."""
    if isinstance(figure, dict | list):
        for name, part in figure.items() if isinstance(figure, dict) else enumerate(figure):
            yield from paths(part, *names, name)
    elif isinstance(figure, int | float):
        yield names


NOT_OF_THE_HOLDOUT = {"permutation_importance"}
"""Figures that depend on how the notebook shuffled."""


def test_a_figure_that_the_holdout_set_does_not_give_is_refused(
    bundle: Path, manifest: dict[str, Any]
) -> None:
    """Each figure of the notebook, changed by a millionth or by one."""
    features, truth = held_out()
    propensities = form_of(pickle.loads(bundle.read_bytes())).propensities(features)
    stated = {part: manifest[part] for part in ("threshold", "holdout", "metrics")}
    figures.check(Manifest.model_validate(manifest), features, truth, propensities)
    tampered = 0
    for path in paths(stated):
        changed = copy.deepcopy(manifest)
        *parents, last = path
        parent: Any = changed
        for name in parents:
            parent = parent[name]
        was = parent[last]
        parent[last] = not was if isinstance(was, bool) else was + 1 if isinstance(was, int) else was - 1e-6
        if last == "value":
            parent[last] = 0.30
        elif was == 0:
            parent[last] = 1e-6
        if NOT_OF_THE_HOLDOUT & set(path):
            figures.check(Manifest.model_validate(changed), features, truth, propensities)
            continue
        with pytest.raises(GateError) as caught:
            figures.check(Manifest.model_validate(changed), features, truth, propensities)
        if path[0] != "threshold":
            named = ".".join(map(str, path))
            assert str(caught.value).startswith(f"{named} is {parent[last]!r} in the manifest, but ")
        tampered += 1
    assert tampered > 100


@pytest.mark.parametrize(
    ("figure", "stated"),
    [
        ("ks", math.nan), ("log_loss", "0.4176766823000165"), ("log_loss", None), ("confusion", 4),
        ("log_loss", math.nan),
        ("calibration", {"mean_propensity": [0.2, 0.8], "positive_rate": [0.2]}),
    ],
)  # fmt: skip
def test_a_figure_of_another_kind_is_refused(
    bundle: Path, empty_store: Any, figure: str, stated: object
) -> None:
    change_manifest(bundle, lambda manifest: manifest["metrics"].update({figure: stated}))
    if stated is None:  # the same as absent
        import_model(bundle)
        return
    assert f"metrics.{figure}" in refusal(bundle)
    assert empty_store.list() == []


def test_figures_that_are_absent_or_of_the_notebooks_own_are_no_fault(bundle: Path, empty_store: Any) -> None:
    def change(manifest: dict[str, Any]) -> None:
        for name in ("selected", "log_loss", "confusion", "calibration", "groups"):
            del manifest["metrics"][name]
        manifest["metrics"]["profit"] = 17
        manifest["metrics"]["groups"] = {"region": {"north": {"rows": 3}}, "age": {"old": {"rows": 3}}}

    change_manifest(bundle, change)
    kept = store.manifest_of(bentoml.models.get(import_model(bundle)))
    assert kept.metrics.model_extra is not None
    assert kept.metrics.model_extra["profit"] == 17


@pytest.mark.parametrize(
    ("is_positive", "missing"), [(True, "negative"), (False, "positive")], ids=["positive", "negative"]
)
def test_a_holdout_set_of_one_class_gives_no_figures(is_positive: bool, missing: str) -> None:
    with pytest.raises(GateError, match=f"no row of the hold-out set is {missing}"):
        figures.check_computable(np.full(3, is_positive), np.full(3, 0.5))


@pytest.mark.parametrize("predicted", [math.nan, math.inf, -0.1, 1.1])
def test_what_is_no_probability_is_refused_with_its_row(predicted: float) -> None:
    with pytest.raises(GateError, match=rf"the pipeline predicts {predicted} for row 1 of the hold-out set"):
        figures.check_computable(np.array([True, False]), np.array([0.5, predicted]))


def test_another_manifest_for_a_model_that_is_stored_is_refused_and_named(
    bundle: Path, empty_store: Any
) -> None:
    tag = import_model(bundle)
    changes: dict[str, Change] = {
        "algorithm differs": lambda manifest: manifest.update(algorithm="magic"),
        "algorithm, data differ": lambda manifest: manifest["data"].update(licence="none"),
        "algorithm, data, metrics differ": lambda manifest: manifest["metrics"].pop("selected"),
        "algorithm, data, metrics, note differ": lambda manifest: manifest.update(note="x"),
    }
    for named, change in changes.items():
        change_manifest(bundle, change)
        with pytest.raises(store.StoreError) as caught:
            import_model(bundle)
        assert f"{named}; nothing was stored" in str(caught.value)
        assert f"`bentoml models delete {tag}`" in str(caught.value)
    bentoml.models.delete(tag)
    assert import_model(bundle) == tag


def test_a_notebook_that_ran_once_more_and_wrote_the_same_pickle_keeps_the_model(
    bundle: Path, empty_store: Any
) -> None:
    tag = import_model(bundle)
    change_manifest(bundle, lambda manifest: manifest.update(trained_at="2030-01-01T00:00:00+00:00"))
    assert import_model(bundle) == tag


def test_a_pickle_that_executes_something_is_refused_before_it_does(bundle: Path, empty_store: Any) -> None:
    executed = bundle.parent / "executed"
    bundle.write_bytes(pickle.dumps({"pipeline": [1, 2, WritesAFile(executed)]}))
    assert "its SHA-256 is" in refusal(bundle)
    vouch_for(bundle)
    assert "names posix.mkdir, which is not on the allow-list" in refusal(bundle)
    assert not executed.exists()
    assert empty_store.list() == []
    pickle.loads(bundle.read_bytes())
    assert executed.exists()


@pytest.mark.parametrize("kept", [0, 1, 1_000, -1])
def test_a_truncated_pickle_is_refused(bundle: Path, empty_store: Any, kept: int) -> None:
    bundle.write_bytes(bundle.read_bytes()[:kept])
    assert "its SHA-256 is" in refusal(bundle)
    vouch_for(bundle)
    assert str(bundle) in refusal(bundle)
    assert empty_store.list() == []


def test_differing_library_versions_are_named(bundle: Path, empty_store: Any) -> None:
    change_manifest(
        bundle, lambda manifest: manifest["libraries"].update({"scikit-learn": "1.2.0", "python": "3.9"})
    )
    message = refusal(bundle)
    assert "scikit-learn 1.2.0 (here " in message
    assert "python 3.9 (here " in message
    assert "numpy" not in message
    assert empty_store.list() == []


def _field(name: str, **change: object) -> Change:
    def of(manifest: dict[str, Any]) -> None:
        next(field for field in manifest["contract"]["fields"] if field["name"] == name).update(change)

    return of


def _without_price(manifest: dict[str, Any]) -> None:
    assert manifest["contract"]["fields"].pop()["name"] == "price"
    del manifest["contract"]["example"]["price"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda manifest: manifest["libraries"].pop("scikit-learn"),
            "does not state the version of scikit-learn",
        ),
        (
            _without_price,
            "the fields of the contract are not the features of the pipeline: the contract lacks",
        ),
        (
            lambda manifest: manifest["contract"]["fields"].reverse(),
            "the pipeline takes them in the order seniority, home, time",
        ),
        (_field("home", categories=["owner", "rent"], category_words={}), "applications.json: row 0: home: "),
        (_field("age", maximum=60), "applications.json: row "),
        (_field("income", nullable=False), "applications.json: row "),
        (_field("age", kind="boolean"), "propensity.json: contract.fields."),
        (
            lambda manifest: manifest["metrics"].update(auc=manifest["metrics"]["auc"] - 2e-9),
            "metrics.auc is 0.8",
        ),
        (
            lambda manifest: manifest["holdout"].update(sha256="0" * 64),
            "applications.json: its SHA-256 is not the one in the manifest",
        ),
        (lambda manifest: manifest["holdout"].update(file="nowhere.json"), "nowhere.json: No such file"),
        (lambda manifest: manifest["threshold"].update(value=1.5), "propensity.json: threshold.value: "),
        (lambda manifest: manifest.pop("pickle"), "propensity.json: pickle: "),
        (
            lambda manifest: manifest["target"].update(positive="yes"),
            "the pipeline's classes are False, True, the manifest's False, yes",
        ),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    bundle: Path, empty_store: Any, change: Change, message: str
) -> None:
    change_manifest(bundle, change)
    assert message in refusal(bundle)
    assert empty_store.list() == []


def test_a_pipeline_with_other_features_is_refused(bundle: Path, pipeline: Any, empty_store: Any) -> None:
    names = pipeline.feature_names_in_
    renamed = names.copy()
    renamed[0] = "tenure"
    pipeline.named_steps["preprocessing"].feature_names_in_ = renamed
    try:
        bundle.write_bytes(pickle.dumps(pipeline))
    finally:
        pipeline.named_steps["preprocessing"].feature_names_in_ = names
    vouch_for(bundle)
    assert "not the features of the pipeline: the pipeline takes no seniority" in refusal(bundle)
    assert empty_store.list() == []


def test_a_holdout_row_outside_the_contract_is_named(bundle: Path, holdout: list[dict[str, Any]]) -> None:
    rows = copy.deepcopy(holdout)
    rows[3]["application"]["age"] = 17
    change_holdout(bundle, json.dumps(rows))
    message = refusal(bundle)
    assert "applications.json: row 3: age: must be at least 18; the contract must admit every row" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not JSON (Expecting value"),
        ("[" * 100_000, "not JSON ("),
        ("{}", 'must be a list of objects such as {"application": {...}, "default": true}'),
        ("[]", 'must be a list of objects such as {"application": {...}, "default": true}'),
        ("[3]", 'row 0: must be an object such as {"application": {...}, "default": true}'),
        ('[{"application": {}}]', "row 0: must be an object such as "),
        (
            '[{"application": {}, "default": 1}]',
            "row 0: default must be true or false: whether it is positive",
        ),
        ('[{"application": 3, "default": true}]', "row 0: must be an object"),
    ],
    ids=["empty", "deep", "object", "no row", "number", "no outcome", "no boolean", "no row object"],
)
def test_a_holdout_file_of_another_shape_is_refused(
    bundle: Path, empty_store: Any, content: str, message: str
) -> None:
    change_holdout(bundle, content)
    assert message in refusal(bundle)
    assert empty_store.list() == []


def command(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "import_model.py", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | environment,
    )


@pytest.mark.thorough
def test_the_command_prints_the_tag_alone(pickle_path: Path, tag: str) -> None:
    done = command(pickle_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{tag}\n", "")


@pytest.mark.thorough
def test_an_import_that_is_not_signed_says_so(pickle_path: Path, tag: str) -> None:
    done = command(pickle_path, PROPENSITY_SIGNING_KEY="")
    assert (done.returncode, done.stdout) == (0, f"{tag}\n")
    assert done.stderr == (
        "propensity import: not signed, since PROPENSITY_SIGNING_KEY is not set; a service with"
        " PROPENSITY_MODEL_KEY refuses it\n"
    )


def test_the_command_refuses_with_one_line_on_stderr(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = commands.run(main, bundle.with_name("absent.pkl"))
    assert (absent.returncode, absent.stdout) == (1, "")
    assert absent.stderr == f"propensity import: {bundle.with_name('absent.pkl')}: no such file\n"
    bundle.with_suffix(".json").write_text("{}")
    no_manifest = commands.run(main, bundle)
    monkeypatch.setenv("PROPENSITY_SIGNINGKEY", "key")
    misspelt = commands.run(main, bundle)
    assert misspelt.stderr == (
        "propensity import: PROPENSITY_SIGNINGKEY is set, but there is no such setting; the nearest is"
        " PROPENSITY_SIGNING_KEY\n"
    )
    assert (no_manifest.returncode, no_manifest.stdout) == (1, "")
    assert no_manifest.stderr.count("\n") == 1
    assert "propensity.json: name: Field required" in no_manifest.stderr


def test_a_model_of_an_older_version_is_imported_anew(
    bundle: Path, empty_store: Any, manifest: dict[str, Any]
) -> None:
    tag = import_model(bundle)
    bentoml.models.delete(tag)
    with bentoml.models.create(tag, metadata=manifest):
        pass
    assert import_model(bundle) == tag
    assert store.manifest_of(bentoml.models.get(tag)).served.form == "grids"


def test_a_model_that_was_not_imported_here_is_not_loaded(empty_store: Any) -> None:
    with bentoml.models.create("propensity:stranger"):
        pass
    with pytest.raises(store.StoreError, match=r"was not imported by this version's import_model\.py"):
        store.load_predictor(bentoml.models.get("propensity:stranger"))


def test_a_missing_model_names_the_command_that_imports_one(empty_store: Any) -> None:
    with pytest.raises(store.StoreError, match=r"`python import_model\.py PATH`"):
        store.ImportedModel("propensity:latest").resolve()
