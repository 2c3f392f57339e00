"""The gate: admits what scikit-learn fits, in every way that it is written, and names all that it refuses."""

from __future__ import annotations

import importlib
import inspect
import pickle
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.feature_selection import SelectKBest, mutual_info_classif
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, Matern, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV, RepeatedStratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.utils import all_estimators
from threadpoolctl import threadpool_limits

from propensity.importing import artifact
from propensity.model import allow_list, gate
from propensity.model.gate import GateError

PUBLISHED = dict(all_estimators())

NUMBERS = np.abs(np.random.default_rng(7).normal(size=(60, 4)))
IS_POSITIVE = NUMBERS[:, 0] > 0.6
FRAME = pd.DataFrame(NUMBERS, columns=["price", "weight", "age", "distance"]).assign(
    colour=pd.Categorical(["red", "green", "blue"] * 20), size=["small", "large"] * 30
)

IN_COLUMNS = np.random.default_rng(8).normal(size=(60, 10))
"""As many columns as the pipeline gives its classifier."""

CLASSIFIER, REGRESSOR = LogisticRegression(), Ridge()
REQUIRED: dict[str, dict[str, Any]] = {
    "ColumnTransformer": {"transformers": [("scaled", StandardScaler(), [0, 1])]},
    "FeatureUnion": {"transformer_list": [("scaled", StandardScaler())]},
    "FrozenEstimator": {"estimator": LogisticRegression().fit(NUMBERS, IS_POSITIVE)},
    "GridSearchCV": {"param_grid": {"C": [0.1, 1]}},
    "HalvingGridSearchCV": {"param_grid": {"C": [0.1, 1]}},
    "HalvingRandomSearchCV": {"param_distributions": {"C": [0.1, 1]}},
    "MultiOutputRegressor": {"estimator": REGRESSOR},
    "GaussianRandomProjection": {"n_components": 2},
    "SparseRandomProjection": {"n_components": 2},
    "Pipeline": {"steps": [("scaled", StandardScaler()), ("classifier", CLASSIFIER)]},
    "PatchExtractor": {"patch_size": (2, 2)},
    "RandomizedSearchCV": {"param_distributions": {"C": [0.1, 1]}, "n_iter": 2},
    "RegressorChain": {"estimator": REGRESSOR},
    "SelfTrainingClassifier": {"estimator": CLASSIFIER},
    "SparseCoder": {"dictionary": np.eye(4)},
    "StackingRegressor": {"estimators": [("ridge", REGRESSOR)]},
    "TSNE": {"method": "exact"},
    "VotingRegressor": {"estimators": [("ridge", REGRESSOR)]},
}
"""Estimator: arguments that it requires, if they are not one classifier or several."""

TABLES: list[tuple[Any, ...]] = [
    (NUMBERS, IS_POSITIVE),
    (NUMBERS, NUMBERS[:, 1]),
    (NUMBERS, NUMBERS[:, :2]),
    (NUMBERS, np.column_stack([IS_POSITIVE, ~IS_POSITIVE])),
    (NUMBERS, IS_POSITIVE.astype(int)),
    (NUMBERS @ NUMBERS.T,),
    (NUMBERS.reshape(6, 10, 4),),
    (NUMBERS[:, 0], NUMBERS[:, 1]),
    (["green apple", "red pear", "red apple"] * 20, IS_POSITIVE),
    ([{"colour": 1, "size": 2}, {"size": 3}] * 30, IS_POSITIVE),
    ([("red",), ("green", "blue")] * 30,),
    (["red", "green"] * 30,),
]
"""Features, and mostly a target: each estimator fits one of them."""


def constructed(name: str) -> Any:
    required: dict[str, Any] = {
        parameter.name: CLASSIFIER if parameter.name == "estimator" else [("logistic", CLASSIFIER)]
        for parameter in inspect.signature(PUBLISHED[name]).parameters.values()
        if parameter.default is parameter.empty
    }
    estimator = PUBLISHED[name](**required | REQUIRED.get(name, {}))
    if name not in REQUIRED:
        many = {name for name in ("n_estimators", "max_iter") if type(getattr(estimator, name, None)) is int}
        estimator.set_params(**dict.fromkeys(many, 5))  # more would only take longer
    return estimator


def fitted(name: str) -> tuple[Any, Any]:
    """A fitted estimator, and the features that it was fitted on."""
    for table in TABLES:
        estimator = constructed(name)
        try:
            output(estimator.fit(*table), table[0])
            return estimator, table[0]
        except (TypeError, ValueError, AttributeError, IndexError):
            continue
    raise AssertionError(f"{name} fits none of the tables")


METHODS = ["predict_proba", "decision_function", "predict", "transform", "score_samples"]


def output(estimator: Any, features: Any) -> Any:
    for method in METHODS:
        if hasattr(estimator, method):
            found = getattr(estimator, method)(features)
            return found.tocoo().data if hasattr(found, "tocoo") else np.asarray(found)
    return np.array(sorted(vars(estimator)))  # such as DBSCAN, which only clusters what it fits


def files(estimator: Any, folder: Path) -> Iterator[Path]:
    """The estimator, in files of every kind."""
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        path = folder / f"protocol-{protocol}.pkl"
        path.write_bytes(pickle.dumps(estimator, protocol))
        yield path
    joblib.dump(estimator, folder / "plain.joblib")
    yield folder / "plain.joblib"
    joblib.dump(estimator, folder / "compressed.joblib", compress=3)
    yield folder / "compressed.joblib"


@pytest.fixture(autouse=True)
def on_one_core() -> Iterator[None]:
    """More threads than cores would wait for each other."""
    with threadpool_limits(1):
        yield


def check_admitted(estimator: Any, features: Any, folder: Path) -> None:
    expected = output(estimator, features)
    for path in files(estimator, folder):
        content = artifact.read(path).content
        assert gate.stated_version(content) in {sklearn.__version__, None}
        found = output(gate.load_pipeline(content), features)
        # Sums differ in their last digit with where in memory their arrays begin.
        same = np.testing.assert_array_equal if found.dtype.kind in "OU" else np.testing.assert_allclose
        same(found, expected, err_msg=path.name)


@pytest.mark.thorough
@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_what_scikit_learn_publishes_is_admitted_when_fitted(name: str, tmp_path: Path) -> None:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of fitting so few rows
        estimator, features = fitted(name)
        check_admitted(estimator, features, tmp_path)


@cache
def in_a_pipeline(classifier: str) -> Any:
    numbers = Pipeline([("impute", SimpleImputer(strategy="median")), ("scale", StandardScaler())])
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)
    columns = ColumnTransformer(
        [
            ("numbers", numbers, FRAME.select_dtypes("number").columns),
            ("categories", categories, ["colour", "size"]),
            ("logarithm", FunctionTransformer(np.log1p), make_column_selector("price")),
        ]
    ).set_output(transform="pandas")
    return make_pipeline(columns, CLASSIFIERS[classifier]()).fit(FRAME, IS_POSITIVE)


def boosting(library: str, name: str, **parameters: Any) -> Any:
    return getattr(pytest.importorskip(library), name)(**parameters)


CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "calibrated by isotonic regression": lambda: CalibratedClassifierCV(
        LogisticRegression(), cv=2, method="isotonic"
    ),
    "calibrated by temperature": lambda: CalibratedClassifierCV(
        LogisticRegression(), cv=2, method="temperature"
    ),
    "calibrated, of a frozen one": lambda: CalibratedClassifierCV(
        FrozenEstimator(SGDClassifier(loss="log_loss", random_state=0).fit(IN_COLUMNS, IS_POSITIVE))
    ),
    "gradient boosting, exponential loss": lambda: GradientBoostingClassifier(
        n_estimators=3, loss="exponential"
    ),
    "histogram gradient boosting, stopped early": lambda: HistGradientBoostingClassifier(
        max_iter=3, early_stopping=True
    ),
    "forest with random state": lambda: RandomForestClassifier(3, random_state=np.random.RandomState(1)),
    "grid search with a metric": lambda: GridSearchCV(
        LogisticRegression(),
        {"C": [0.1, 1]},
        scoring=["roc_auc", "f1"],
        refit="f1",
        cv=RepeatedStratifiedKFold(n_splits=2, n_repeats=1, random_state=0),
    ),
    "selection and neighbours": lambda: make_pipeline(
        SelectKBest(mutual_info_classif, k=3), KNeighborsClassifier(algorithm="ball_tree", metric="manhattan")
    ),
    "gaussian process with kernels": lambda: GaussianProcessClassifier(
        1.0 * RBF() + Matern() * WhiteKernel() ** 2, optimizer=None
    ),
    "XGBClassifier": lambda: boosting("xgboost", "XGBClassifier", n_estimators=3),
    "XGBRFClassifier": lambda: boosting("xgboost", "XGBRFClassifier", n_estimators=3),
    "LGBMClassifier": lambda: boosting("lightgbm", "LGBMClassifier", n_estimators=3, verbose=-1),
    "CatBoostClassifier": lambda: boosting(
        "catboost", "CatBoostClassifier", iterations=3, verbose=False, allow_writing_files=False
    ),
}


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_a_pipeline_of_columns_is_admitted_with_each_kind_of_classifier(
    classifier: str, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fitting so few rows, and of what libraries say of each other
        check_admitted(in_a_pipeline(classifier), FRAME, tmp_path)


@pytest.mark.parametrize(
    "estimator",
    [
        HistGradientBoostingClassifier(max_iter=2, categorical_features="from_dtype"),
        HistGradientBoostingRegressor(max_iter=2, loss="quantile", quantile=0.5),
    ],
    ids=["categories", "quantile"],
)
def test_histogram_gradient_boosting_is_admitted_with_what_it_keeps(estimator: Any, tmp_path: Path) -> None:
    features = FRAME.drop(columns="size")
    check_admitted(estimator.fit(features, IS_POSITIVE), features, tmp_path)


def test_the_list_has_every_estimator_that_scikit_learn_publishes_and_no_other() -> None:
    listed = {(module, name) for module, names in allow_list.ESTIMATORS.items() for name in names.split()}
    assert listed == {(of.__module__, of.__name__) for of in PUBLISHED.values()}
    assert len(listed) > 200


@pytest.mark.parametrize("names_of", ["ESTIMATORS", "PARTS", "CALLED", "HELD"])
def test_every_listed_name_exists(names_of: str) -> None:
    for module, names in getattr(allow_list, names_of).items():
        if module.partition(".")[0] in {"catboost", "lightgbm", "xgboost"}:
            pytest.importorskip(module.partition(".")[0])
        for name in names.split():
            assert hasattr(importlib.import_module(module), name), f"{module}.{name}"
            assert "." not in name


class Ratio:
    """A class of a user's own."""

    def __init__(self, share: float = 0.5) -> None:
        self.share = share


def double(features: Any) -> Any:
    return features * 2


OWN = [Ratio(0.25), FunctionTransformer(double)]


def refusal(content: bytes) -> str:
    with pytest.raises(GateError) as caught:
        gate.rehearse(content)
    return str(caught.value)


def test_all_names_that_are_not_listed_are_refused_in_one_line_with_the_way_out() -> None:
    content = pickle.dumps([*OWN, {"path": Path("x"), "again": Ratio()}])
    assert refusal(content) == (
        f"the pickle names {__name__}.Ratio, {__name__}.double, pathlib.PosixPath, which are not on the"
        " allow-list; what belongs to your pipeline, review, write into a file, one name a line, and name the"
        " file in PROPENSITY_ALLOW"
    )


@pytest.fixture
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROPENSITY_ALLOW", str(tmp_path / "allowed"))
    return tmp_path / "allowed"


def test_the_names_of_the_own_file_are_admitted(own_file: Path) -> None:
    own_file.write_text(f"# ours\n\n{__name__}.Ratio\n  {__name__}.double  # reviewed by two\n")
    content = pickle.dumps(OWN)
    gate.rehearse(content)
    ratio, transformer = gate.load_pipeline(content)
    assert (type(ratio), ratio.share) == (Ratio, 0.25)
    assert transformer.transform(3) == 6
    assert "names pathlib.PosixPath, which is not" in refusal(pickle.dumps([*OWN, Path("x")]))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (b"bank.Ratio\nRatio\n", r"allowed, line 2: 'Ratio' is not a `module\.Name`"),
        (b"bank.ratio Ratio\n", r"line 1: 'bank\.ratio Ratio' is not"),
        (b"bank..Ratio\n", r"line 1: 'bank\.\.Ratio' is not"),
        (b"bank.*\n", r"line 1: 'bank\.\*' is not"),
        (b"bank.Rat\x80io\n", "allowed: not UTF-8 text"),
        (None, "PROPENSITY_ALLOW: .*allowed: No such file or directory"),
    ],
)
def test_an_own_file_that_can_not_be_used_is_named(own_file: Path, written: bytes | None, said: str) -> None:
    if written is not None:
        own_file.write_bytes(written)
    content = pickle.dumps(LogisticRegression())
    for use in (gate.rehearse, gate.load_pipeline, gate.stated_version):
        with pytest.raises(GateError, match=said):
            use(content)


@pytest.mark.parametrize(
    ("names", "way_out"),
    [
        (["__main__.double"], "move it into a module"),
        (["cloudpickle.cloudpickle._make_function"], "functions or classes that the notebook defines"),
        (["joblib.memory.Memory"], "`pipeline.set_params(memory=None)`"),
        (["scipy.stats._distn_infrastructure.rv_frozen"], "write `search.best_estimator_` instead"),
        (["numpy.core.multiarray._reconstruct"], "numpy 1 wrote it"),
        (["copyreg._reconstructor"], "it has protocol 0 or 1"),
    ],
)
def test_what_is_never_listed_has_its_own_way_out(names: list[str], way_out: str) -> None:
    content = b"".join(
        b"c" + name.rpartition(".")[0].encode() + b"\n" + name.rpartition(".")[2].encode() + b"\n"
        for name in names
    )
    assert way_out in refusal(content + b".")
    assert "PROPENSITY_ALLOW" not in refusal(content + b".")


def test_a_message_shows_no_more_of_a_hostile_name_than_can_be_read() -> None:
    many = b"".join(b"cmodule\nname%d\n" % number for number in range(80))
    assert refusal(many + b".").count("module.name") == 50
    assert "module.name49 and 30 more, which are not" in refusal(many + b".")
    strange = refusal(b"c\x1b[2Jmodule\nname\n.")
    assert strange.isprintable()
    assert r"'\x1b[2Jmodule.name'" in strange
    assert len(refusal(b"cmodule\n" + b"n" * 100_000 + b"\n.")) < 500


def test_the_version_that_wrote_a_pickle_is_read_of_it(tmp_path: Path) -> None:
    content = pickle.dumps(make_pipeline(StandardScaler(), LogisticRegression()))
    assert gate.stated_version(content) == sklearn.__version__
    older = content.replace(sklearn.__version__.encode(), b"1.6.0")
    assert gate.stated_version(older) == "1.6.0"
    assert gate.stated_version(pickle.dumps([1, 2])) is None
    assert gate.stated_version(b"") is None
    gate.rehearse(older)
    with pytest.raises(
        GateError, match=r"can't be loaded: Trying to unpickle estimator .* from version 1\.6\.0"
    ):
        gate.load_pipeline(older)


def test_names_of_another_version_are_explained_by_it() -> None:
    content = pickle.dumps(LogisticRegression()).replace(sklearn.__version__.encode(), b"1.6.0")
    moved = content.replace(
        b"\x8c\x1esklearn.linear_model._logistic", b"\x8c\x1esklearn.linear_model._formerly"
    )
    assert moved != content
    message = refusal(moved)
    assert "names sklearn.linear_model._formerly.LogisticRegression, which is not" in message
    assert f"scikit-learn 1.6.0 wrote it (here {sklearn.__version__})" in message


def test_differing_libraries_are_named_together_with_the_command_that_installs_them() -> None:
    stated = {"python": "3.9", "scikit-learn": "1.6.1", "numpy": np.__version__, "xgboost-cpu": "3.0.0"}
    with pytest.raises(GateError) as caught:
        gate.check_libraries(stated)
    message = str(caught.value)
    assert "python 3.9 (here 3." in message
    assert f"scikit-learn 1.6.1 (here {sklearn.__version__}), xgboost-cpu 3.0.0 (here none)" in message
    assert "`.venv/bin/python -m pip install scikit-learn==1.6.1 xgboost-cpu==3.0.0`" in message
    assert "numpy" not in message
    gate.check_libraries({"scikit-learn": sklearn.__version__, "numpy": np.__version__})
    with pytest.raises(GateError, match=r"python 3\.9 \(here [^`]*\)[^`]*$"):
        gate.check_libraries({"scikit-learn": sklearn.__version__, "python": "3.9"})


def test_a_pickle_that_needs_a_module_which_is_not_here_says_so(own_file: Path) -> None:
    own_file.write_text("bank_of_nowhere.features.Ratio\n")
    content = b"cbank_of_nowhere.features\nRatio\n."
    gate.rehearse(content)
    with pytest.raises(GateError, match="No module named 'bank_of_nowhere'; install what it needs"):
        gate.load_pipeline(content)


def test_loading_finds_nothing_that_is_not_listed() -> None:
    """Were a file not rehearsed."""
    with pytest.raises(GateError, match=r"names pathlib\.PosixPath, which is not on the allow-list"):
        gate.load_pipeline(pickle.dumps(Path("x")))


def test_a_sparse_matrix_that_points_outside_itself_is_not_loaded() -> None:
    matrix = sklearn.preprocessing.OneHotEncoder().fit_transform([["red"], ["green"]])
    assert (gate.load_pipeline(pickle.dumps(matrix)) != matrix).nnz == 0
    matrix.indices[0] = 1_000_000
    with pytest.raises(GateError, match="can't be loaded"):
        gate.load_pipeline(pickle.dumps(matrix))


def test_recursive_data_is_read_as_pickle_reads_it() -> None:
    recursive: list[Any] = [{"set": {1, 2}, "frozen": frozenset({(1, "a")}), "bytes": bytearray(b"x")}]
    recursive.append((recursive,))
    for protocol in range(2, 6):
        content = pickle.dumps(recursive, protocol)
        gate.rehearse(content)
        found = gate.load_pipeline(content)
        assert found[0] == recursive[0]
        assert found[1][0] is found
