"""Artifacts: each kind of file becomes the same pickle, or is refused with the way out."""

from __future__ import annotations

import gzip
import hashlib
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import yaml
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from propensity.importing import artifact
from propensity.model import gate
from propensity.model.gate import GateError

FRAME = pd.DataFrame({"weight": np.arange(40.0), "colour": ["red", "green"] * 20})


@pytest.fixture(scope="module")
def model() -> Pipeline:
    columns = ColumnTransformer(
        [("weight", StandardScaler(), FRAME.columns[:1]), ("colour", OneHotEncoder(), ["colour"])]
    )
    classifier = RandomForestClassifier(3, random_state=1, max_features=None)
    return make_pipeline(columns, classifier).fit(FRAME, FRAME["weight"] > 20)


def check_is(found: artifact.Artifact, path: Path, model: Pipeline) -> None:
    assert found.file == path.name
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.scikit_learn == sklearn.__version__
    gate.rehearse(found.content)
    for load in (gate.load_pipeline, pickle.loads):
        loaded = load(found.content)
        assert loaded.predict_proba(FRAME).tolist() == model.predict_proba(FRAME).tolist()
        assert list(loaded.feature_names_in_) == ["weight", "colour"]


def refusal(path: Path) -> str:
    with pytest.raises(GateError) as caught:
        artifact.read(path)
    return str(caught.value)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_a_pickle_is_itself(tmp_path: Path, model: Pipeline, protocol: int) -> None:
    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps(model, protocol))
    found = artifact.read(path)
    check_is(found, path, model)
    assert found.content == path.read_bytes()
    assert found.signature is None


@pytest.mark.parametrize(
    "compress",
    [0, 1, 9, True, "zlib", ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3), ("xz", 9)],
    ids=str,
)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_file_of_joblib_becomes_a_pickle(
    tmp_path: Path, model: Pipeline, compress: Any, protocol: int
) -> None:
    path = tmp_path / "model.any-extension"
    joblib.dump(model, path, compress=compress, protocol=protocol)
    found = artifact.read(path)
    check_is(found, path, model)
    assert found.content.startswith(b"\x80\x05")


def test_a_compressed_pickle_is_decompressed(tmp_path: Path, model: Pipeline) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(gzip.compress(pickle.dumps(model)))
    found = artifact.read(path)
    check_is(found, path, model)
    assert found.content == pickle.dumps(model)


ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(24).reshape(2, 3, 4).transpose(0, 2, 1),
    np.arange(10)[::2],
    np.array(3.5),
    np.zeros((0, 3)),
    np.array(["red", None, 1.5], dtype=object),
    np.array([["red"], ["green"]]),
    np.array([True, False]),
    np.arange(3, dtype=">f8"),
    np.array([(1, 2.0)], dtype=[("left", "<i8"), ("right", "<f8")]),
    np.array(["2026-01-02"], dtype="datetime64[D]"),
    np.ma.masked_array([1, 2, 3], mask=[True, False, False]),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
@pytest.mark.parametrize("compress", [0, 3])
def test_arrays_of_every_kind_are_read_of_joblib_and_of_pickles(
    tmp_path: Path, array: Any, compress: int
) -> None:
    joblib.dump({"array": array, "again": [array]}, tmp_path / "arrays", compress=compress)
    (tmp_path / "pickled").write_bytes(pickle.dumps({"array": array, "again": [array]}))
    for name, load in (("arrays", joblib.load), ("pickled", pd.read_pickle)):
        found = gate.load_pipeline(artifact.read(tmp_path / name).content)
        expected = load(tmp_path / name)["array"]
        for read in (found["array"], found["again"][0]):
            np.testing.assert_array_equal(read, array)
            assert read.dtype == expected.dtype
            assert type(read) is type(array)
            assert read.flags.f_contiguous == expected.flags.f_contiguous
    assert found["again"][0] is found["array"]  # in a pickle; joblib writes it twice


def test_an_array_that_was_mapped_into_memory_is_an_array(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "data", dtype="f8", mode="w+", shape=(3,))
    mapped[:] = [1, 2, 3]
    joblib.dump([mapped], tmp_path / "model.joblib")
    (found,) = gate.load_pipeline(artifact.read(tmp_path / "model.joblib").content)
    assert type(found) is np.ndarray
    assert found.tolist() == [1, 2, 3]


@pytest.mark.parametrize("compression", [0, 8])
def test_a_file_of_skops_becomes_a_pickle(tmp_path: Path, model: Pipeline, compression: int) -> None:
    skops = pytest.importorskip("skops.io")
    plain = clone_with_plain_columns(model)
    path = tmp_path / "model.zip"
    skops.dump(plain, path, compression=compression)
    check_is(artifact.read(path), path, plain)


def clone_with_plain_columns(model: Pipeline) -> Any:
    """Skops writes no columns that are an index of pandas."""
    plain = sklearn.clone(model)
    name, scaler, columns = plain[0].transformers[0]
    plain[0].transformers[0] = (name, scaler, list(columns))
    return plain.fit(FRAME, FRAME["weight"] > 20)


class Own:
    """Not on the allow-list."""


def test_all_that_a_file_of_skops_names_and_is_not_listed_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skops = pytest.importorskip("skops.io")
    path = tmp_path / "model.skops"
    skops.dump([Own(), {"path": Path("x"), "model": LogisticRegression(), "sum": np.sum}], path)
    assert f"names {__name__}.Own, pathlib.PosixPath, numpy.sum, which are not on the allow-list" in refusal(
        path
    )
    assert "PROPENSITY_ALLOW" in refusal(path)
    skops.dump([Own(), LogisticRegression()], path)
    (tmp_path / "allowed").write_text(f"{__name__}.Own\n")
    monkeypatch.setenv("PROPENSITY_ALLOW", str(tmp_path / "allowed"))
    assert type(gate.load_pipeline(artifact.read(path).content)[0]) is Own


def test_a_file_of_skops_without_skops_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.skops").write_bytes(b"PK\x03\x04")
    monkeypatch.setitem(sys.modules, "skops.io", None)
    assert "`.venv/bin/python -m pip install skops`" in refusal(tmp_path / "model.skops")


def test_a_model_of_another_version_is_not_converted(tmp_path: Path, model: Pipeline) -> None:
    joblib.dump(model, tmp_path / "model.joblib")
    content = (tmp_path / "model.joblib").read_bytes()
    (tmp_path / "model.joblib").write_bytes(content.replace(sklearn.__version__.encode(), b"1.6.0"))
    message = refusal(tmp_path / "model.joblib")
    assert (
        f"model.joblib: the pickle was made with scikit-learn 1.6.0 (here {sklearn.__version__})" in message
    )
    assert "pip install scikit-learn==1.6.0" in message
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model).replace(sklearn.__version__.encode(), b"1.6.0"))
    assert artifact.read(tmp_path / "model.pkl").scikit_learn == "1.6.0"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"\x04\x22\x4d\x18",
            "compressed with lz4; write it again with `joblib.dump(pipeline, file, compress=3)`",
        ),
        (b"ZF0x1", "of a joblib before 0.10; write the fitted estimator"),
        (b"\x93NUMPY\x01", "an array of numpy, not a model"),
        (
            b"CBM1",
            "a model in CatBoost's own format; write the fitted estimator, such as XGBClassifier, with",
        ),
        (b"tree\nversion=v4", "a model in LightGBM's own format"),
        (b"{L\x00\x00", "a model in a library's own format, such as XGBoost's"),
        (b'{"learner": {}}', "a model in a library's own format"),
        (b"PK\x03\x04", "a zip, but no complete file of skops"),
        (b"\x1f\x8b\x08\x00", "not a complete pickle"),
        (b"a text", "not a complete pickle"),
        (b"", "not a complete pickle"),
    ],
)
def test_another_kind_of_file_is_named_with_the_way_out(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "model.pkl").write_bytes(content)
    assert refusal(tmp_path / "model.pkl").startswith(f"{tmp_path / 'model.pkl'}: ")
    assert said in refusal(tmp_path / "model.pkl")


def test_a_booster_in_its_own_format_is_recognised(tmp_path: Path) -> None:
    features, target = FRAME[["weight"]], FRAME["weight"] > 20
    xgboost = pytest.importorskip("xgboost")
    booster = xgboost.XGBClassifier(n_estimators=2).fit(features, target)
    for name in ("model.ubj", "model.json"):
        booster.save_model(tmp_path / name)
        assert "a library's own format, such as XGBoost's" in refusal(tmp_path / name)
    lightgbm = pytest.importorskip("lightgbm")
    lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(features, target).booster_.save_model(
        tmp_path / "model.txt"
    )
    assert "a model in LightGBM's own format" in refusal(tmp_path / "model.txt")
    catboost = pytest.importorskip("catboost")
    catboost.CatBoostClassifier(iterations=2, verbose=False, allow_writing_files=False).fit(
        features, target
    ).save_model(str(tmp_path / "model.cbm"))
    assert "a model in CatBoost's own format" in refusal(tmp_path / "model.cbm")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent.pkl") == f"{tmp_path / 'absent.pkl'}: No such file or directory"


# MLflow.

COLUMNS = [
    {"type": "double", "name": "weight", "required": True},
    {"type": "string", "name": "colour", "required": False},
]


@pytest.fixture
def folder(tmp_path: Path, model: Pipeline) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.pkl").write_bytes(pickle.dumps(model))
    return folder


def describe(folder: Path, **members: Any) -> None:
    description = {
        "flavors": {
            "python_function": {"loader_module": "mlflow.sklearn", "model_path": "model.pkl"},
            "sklearn": {
                "code": None,
                "pickled_model": "model.pkl",
                "serialization_format": "cloudpickle",
                "sklearn_version": sklearn.__version__,
            },
        },
        "mlflow_version": "3.4.0",
        "signature": {"inputs": json.dumps(COLUMNS), "outputs": None, "params": None},
    }
    (folder / "MLmodel").write_text(yaml.safe_dump(description | members))


def test_the_folder_of_an_mlflow_model_gives_model_and_signature(folder: Path, model: Pipeline) -> None:
    describe(folder)
    found = artifact.read(folder)
    check_is(found, folder / "model.pkl", model)
    assert found.signature == [("weight", "double"), ("colour", "string")]


@pytest.mark.parametrize("flavor", ["xgboost", "lightgbm", "catboost"])
def test_an_estimator_of_another_flavor_is_read_if_it_was_pickled(
    folder: Path, model: Pipeline, flavor: str
) -> None:
    describe(folder, flavors={flavor: {"data": "model.pkl", "model_class": "any"}})
    check_is(artifact.read(folder), folder / "model.pkl", model)
    (folder / "model.pkl").write_bytes(b"{L\x00\x00")
    assert "model.pkl: a model in a library's own format" in refusal(folder)
    assert "`mlflow.sklearn.log_model`" in refusal(folder)


@pytest.mark.parametrize("kind", ["joblib", "skops"])
def test_an_mlflow_model_may_be_in_any_file_that_is_read(folder: Path, model: Pipeline, kind: str) -> None:
    name = f"model.{kind}"
    describe(folder, flavors={"sklearn": {"pickled_model": name, "serialization_format": kind}})
    plain = clone_with_plain_columns(model)
    writer: Callable[[Any, Path], Any] = (
        joblib.dump if kind == "joblib" else pytest.importorskip("skops.io").dump
    )
    writer(plain, folder / name)
    check_is(artifact.read(folder), folder / name, plain)


@pytest.mark.parametrize(
    "signature",
    [
        None,
        {},
        {"inputs": None},
        {"inputs": json.dumps([])},
        {"inputs": json.dumps([{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}])},
        {"inputs": json.dumps([{"type": "tensor", "name": "x", "tensor-spec": {}}])},
        {"inputs": json.dumps([{"type": "double"}])},
        {"inputs": json.dumps({"type": "double", "name": "x"})},
        {"inputs": json.dumps("x")},
    ],
)
def test_a_signature_that_names_no_columns_is_none(folder: Path, signature: Any) -> None:
    describe(folder, signature=signature)
    assert artifact.read(folder).signature is None


def test_a_folder_that_can_not_be_read_is_named(folder: Path) -> None:
    assert "MLmodel: No such file or directory; a folder without one is no MLflow model" in refusal(folder)
    describe(folder, signature={"inputs": "{"})
    assert "MLmodel: signature.inputs is not JSON" in refusal(folder)
    others: list[Any] = [{"pytorch": {"model_data": "data"}}, {}, None, []]
    for flavors in others:
        describe(folder, flavors=flavors)
        assert "none of the flavors sklearn, xgboost, lightgbm, catboost; log the pipeline with" in refusal(
            folder
        )
    describe(folder, flavors={"sklearn": {"pickled_model": "absent.pkl"}})
    assert "absent.pkl: No such file or directory; MLmodel names it as the model of flavor" in refusal(folder)
    (folder / "data").mkdir()
    describe(folder, flavors={"sklearn": {"pickled_model": "data"}})
    assert "data: not a file; MLmodel names it" in refusal(folder)
    (folder / "MLmodel").write_text("x: " + "y" * 2**20)
    assert "larger than such a file is" in refusal(folder)
