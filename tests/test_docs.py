"""The documentation: its commands run, its figures and names are those of the code."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import commands
import grimp
import httpx2
import joblib
import numpy as np
import pandas as pd
import pytest
from conftest import PREDICT_TOKEN, ROOT, checked_out
from demonstration import CONTRACT, EXAMPLE
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder
from starlette.testclient import TestClient

from load_tests import measurements
from load_tests.compare.server import free_port
from load_tests.report import report
from load_tests.report.report import MADE_BY
from propensity.__main__ import main
from propensity.contract import limits
from propensity.contract.prediction import Prediction
from propensity.model.manifest import read_manifest

README = (ROOT / "README.md").read_text()
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "deploy/image/README.md",
    ROOT / "load_tests/REPORT.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def source_of(name: str) -> str:
    """The text of a file of tests, wherever it lies among them."""
    (path,) = (ROOT / "tests").rglob(name)
    return path.read_text()


def curl(command: str) -> dict[str, Any]:
    """A curl command as the request that it sends."""
    words = shlex.split(command.replace("\\\n", " ").replace("$(make -s token)", PREDICT_TOKEN))
    options = [word for word in words[1:] if word != "-s"]
    pairs = list(zip(options[1::2], options[2::2], strict=True))
    return {
        "path": re.sub(r"^http://127\.0\.0\.1:3000", "", options[0]),
        "headers": dict(value.split(": ", 1) for option, value in pairs if option == "-H"),
        "content": next(value for option, value in pairs if option == "-d"),
    }


def test_the_request_of_the_readme_gets_the_answer_of_the_readme(server: str) -> None:
    (command,) = [block for block in blocks("sh") if block.startswith("curl")]
    request = curl(command)
    assert json.loads(request["content"]) == EXAMPLE
    answer = httpx2.post(server + request["path"], headers=request["headers"], content=request["content"])
    shown = Prediction.model_validate_json(blocks("json")[0])
    given = Prediction.model_validate_json(answer.content)
    assert given.propensity == pytest.approx(shown.propensity, abs=1e-9, rel=0)
    assert given.model_copy(update={"propensity": 0, "model": ""}) == shown.model_copy(
        update={"propensity": 0, "model": ""}
    )
    assert re.fullmatch("propensity:[0-9a-f]{12}", shown.model)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # BentoML's client, in its own code
@pytest.mark.parametrize("number", range(2))
def test_the_python_of_the_readme_runs(server: str, number: int, capsys: pytest.CaptureFixture[str]) -> None:
    block = blocks("python")[number]
    names: dict[str, Any] = {"url": server, "token": PREDICT_TOKEN, "application": EXAMPLE}
    exec(compile(block, "README.md", "exec"), names)
    predicted = httpx2.post(
        f"{server}/v1/predict", json=EXAMPLE, headers={"Authorization": f"Bearer {PREDICT_TOKEN}"}
    ).json()
    if "prediction" in names:
        assert names["prediction"] == predicted
    else:
        # Beside the access log of the service in process.
        printed = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("{")]
        assert printed == [str(predicted["propensity"])] * 2


def test_every_make_command_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target
        for page in PAGES
        for target in re.findall(r"(?:`|^)make (?:-s )?([a-z-]+)", page.read_text(), re.MULTILINE)
    }
    assert {"serve", "test", "token", "notebook", "import", "build", "lint", "lock"} <= named <= targets


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name
)
def test_every_module_that_is_named_is_there(page: Path) -> None:
    for module in re.findall(r"\b(?:propensity|deploy|load_tests)/[\w/]+\.py", page.read_text()):
        assert (ROOT / module).is_file(), module


def test_the_map_shows_each_package_and_imports_that_there_are() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    graph = grimp.build_graph("propensity")
    packages = {name.rpartition(".")[2] for name in graph.find_children("propensity")}
    folders = {name for name in packages if (ROOT / "propensity" / name).is_dir()}
    assert set(re.findall(r"^    .*\b(\w+)\[\"\1/", page, re.MULTILINE)) == folders
    for name in folders:
        graph.squash_module(f"propensity.{name}")
    arrows = re.findall(r"^    (\w+)\S*\[.*?\"\] --> ([\w &]+)", page, re.MULTILINE)
    assert len(arrows) == len(folders)
    for above, below in arrows:
        for name in below.split(" & "):
            importer, imported = f"propensity.{above}", f"propensity.{name}"
            assert graph.direct_import_exists(importer=importer, imported=imported), f"{above} -> {name}"


def test_the_endpoints_of_the_readme_are_those_of_the_document(client: TestClient) -> None:
    paths = client.get("/docs.json").json()["paths"]
    documented = {"/v2/models/..." if path.startswith("/v2/models/") else path for path in paths}
    table = README.partition("| Endpoint |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(?:GET |POST )?(/[a-z0-9_./]*)`", table))
    assert named == documented | {"/"}


def test_the_bounds_that_are_stated_are_those_of_the_code() -> None:
    table = dict(
        re.findall(
            r"^\| `([A-Za-z_]+)` \| ([\d,.]+) \|", (ROOT / "docs/serving.md").read_text(), re.MULTILINE
        )
    )
    bounds = {
        name: value
        for name, value in vars(limits).items()
        if name.isupper() and not name.startswith("_") and name != "RETRY_AFTER_SECONDS"
    }
    bounds |= vars(CONTRACT.limits)
    assert {name: float(value.replace(",", "")) for name, value in table.items()} == bounds


def test_the_figures_of_the_decision_to_compile_are_the_measured_ones() -> None:
    page = (ROOT / "docs/adr/0003-exact-compilation.md").read_text()
    assert report.compilers(measurements.read("forms")) in page


def test_the_capacity_plan_of_the_deployment_is_what_the_command_prints() -> None:
    page = (ROOT / "docs/deployment.md").read_text()
    ((arguments, shown),) = re.findall(
        r"^\$ bin/propensity (capacity .*)\n((?:.+\n)+?)```", page, re.MULTILINE
    )
    printed = commands.run(main, *arguments.split()).stdout
    assert printed.strip() == shown.strip()


def test_every_test_that_the_security_page_names_is_there() -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (ROOT / "docs/security.md").read_text())
    assert len(named) > 30
    for file, test in named:
        assert re.search(rf"^def {test}\(", source_of(file), re.MULTILINE), f"{file}::{test}"


SET_BY_TESTS = ("PROPENSITY_", "BENTOML_HOME", "PROMETHEUS_", "MAKE", "MFLAGS")
BARE = {name: value for name, value in os.environ.items() if not name.startswith(SET_BY_TESTS)}
"""The environment as whoever reads the pages has it."""

RUNNABLE = {"sh", "python", "console", "yaml"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_names_the_test_that_runs_it_or_says_why_none_can(page: Path) -> None:
    """A test that is named reads the block from its page."""
    lines = page.read_text().splitlines()
    for number, line in enumerate(lines):
        if line.removeprefix("```") not in RUNNABLE or not line.startswith("```"):
            continue
        said = lines[number - 1]
        where = f"{page.name}, line {number + 1}"
        if re.fullmatch(r"<!-- not run: .{10,} -->", said) or lines[number + 1].startswith("# Needs "):
            continue
        named = re.fullmatch(r"<!-- run by (test_\w+\.py)::(test_\w+)( with [\w, ]+)? -->", said)
        assert named, f"{where}: say above it what runs it, or why nothing can: {said!r}"
        source = source_of(named[1])
        assert re.search(rf"^def {named[2]}\(", source, re.MULTILINE), f"{where}: there is no {named[2]}"
        assert page.name in source, f"{where}: {named[1]} does not read {page.name}"


def by(test: str, page: str) -> list[str]:
    """The blocks of a page that a test is to run."""
    pattern = rf"<!-- run by test_docs\.py::{test} -->\n```sh\n(.*?)```"
    return re.findall(pattern, (ROOT / page).read_text(), re.DOTALL)


@pytest.fixture
def source(tmp_path: Path, pickle_path: Path) -> Path:
    """What is committed, and the notebook's artifacts, in a folder whose path has spaces and accents."""
    folder = tmp_path / "my projects" / "propensity bentó"
    checked_out(folder, ".", ":!architecture_slides", ":!load_tests/plots")
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / "artifacts").mkdir()
    for path in (pickle_path, pickle_path.with_suffix(".json")):
        shutil.copy(path, folder / "artifacts")
    return folder


OWN_MODEL = ROOT / "docs/your_own_model.md"


@pytest.fixture(scope="module")
def customers() -> tuple[pd.DataFrame, pd.Series[bool]]:
    """Customers of some company, and who of them left."""
    random = np.random.default_rng(7)
    tenure, plan = random.integers(0, 90, 600), random.choice(["basic", "plus"], 600)
    left = pd.Series(random.random(600) < 1 / (1 + np.exp(tenure / 20 - (plan == "plus"))), name="churned")
    return pd.DataFrame({"tenure": tenure, "plan": plan}), left


@pytest.fixture(scope="module")
def churn(customers: tuple[pd.DataFrame, pd.Series[bool]]) -> Pipeline:
    """A pipeline that somebody has fitted to them."""
    rows, left = customers
    encoder = make_column_transformer((OneHotEncoder(), ["plan"]), remainder="passthrough")
    return make_pipeline(encoder, LogisticRegression()).fit(rows[:400], left[:400])


def test_a_notebook_hands_its_model_over_as_the_page_says(
    customers: tuple[pd.DataFrame, pd.Series[bool]],
    churn: Pipeline,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", OWN_MODEL.read_text(), re.DOTALL)
    rows, left = customers
    monkeypatch.chdir(tmp_path)
    exec(
        compile(block, OWN_MODEL.name, "exec"),
        {"pipeline": churn, "X_train": rows[:400], "X_holdout": rows[400:], "y_holdout": left[400:]},
    )
    manifest = read_manifest(tmp_path / "models/churn.json")
    assert manifest.contract.rows == "customers"
    assert manifest.contract.decision_names == ("wait", "call")
    assert manifest.threshold.value == pytest.approx(1 / 6)
    assert manifest.contract.by_name["tenure"].maximum == 600


def test_a_pickle_without_a_manifest_is_imported_as_the_page_says(
    customers: tuple[pd.DataFrame, pd.Series[bool]], churn: Pipeline, tmp_path: Path
) -> None:
    (command,) = re.findall(r"```sh\n(.*?)```", OWN_MODEL.read_text(), re.DOTALL)
    assert command.strip() in (ROOT / "README.md").read_text()
    rows, left = customers
    joblib.dump(churn, tmp_path / "churn.joblib")
    rows[400:].assign(churned=left[400:]).to_csv(tmp_path / "customers.csv", index=False)
    (tmp_path / "import_model.py").symlink_to(ROOT / "import_model.py")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "BENTOML_HOME": str(tmp_path / "store"),
    }
    environment.pop("PROPENSITY_MODEL")
    done = subprocess.run(
        ["sh", "-ec", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch("churn:[0-9a-f]{12}\n", done.stdout)
    assert "To look at:" in done.stderr
    assert (tmp_path / "churn.json").is_file()
    assert (tmp_path / "churn.holdout.json").is_file()


@pytest.mark.thorough
def test_the_way_by_bentomls_own_commands_leads_to_a_prediction(source: Path) -> None:
    *first, serve, away = by("test_the_way_by_bentomls_own_commands_leads_to_a_prediction", "docs/bentoml.md")
    port = free_port()
    token = "$(propensity tokens new caller --scope predict)"
    ask = f"""
token={token}
PROPENSITY_DRAIN_SECONDS=0 {serve.strip().replace("3000", str(port))} >&2 &
until curl -sf --noproxy '*' http://127.0.0.1:{port}/readyz; do kill -0 $!; sleep 0.2; done
curl -s --noproxy '*' http://127.0.0.1:{port}/v1/predict -H "Authorization: Bearer $token" \\
  -H 'Content-Type: application/json' -d '{json.dumps(EXAMPLE)}' >prediction.json
kill $! && wait $! || true
"""
    script = "\n".join(["set -e", *first, away, ask])
    environment = BARE | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", script], cwd=source, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    prediction = Prediction.model_validate_json((source / "prediction.json").read_bytes())
    shown = Prediction.model_validate_json(blocks("json")[0])
    assert prediction.propensity == pytest.approx(shown.propensity, abs=1e-9, rel=0)
    assert prediction.model in done.stdout
    # Of the one store exported, to the other imported.
    assert {path.name for path in source.iterdir()} > {
        "store",
        "elsewhere",
        "model.bentomodel",
        "propensity.bento",
    }


@pytest.mark.thorough
def test_make_imports_in_a_folder_whose_path_has_spaces_and_accents(source: Path) -> None:
    done = subprocess.run(
        ["make", "--old-file=.venv/.installed", "import"],
        cwd=source,
        env=BARE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch("propensity:[0-9a-f]{12}", done.stdout.splitlines()[-1])
    assert {path.name for path in (source / ".local").iterdir()} == {
        "bentoml",
        "signing-key",
        "signing-key.pub",
    }
    # Nothing is written outside of the checkout.
    assert [path.name for path in source.parent.iterdir()] == [source.name]
    assert [path.name for path in source.parents[1].iterdir()] == [source.parent.name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_figures_of_scoring_files_are_the_measured_ones() -> None:
    bulk = measurements.read("bulk")
    assert max(cell["rows"] for cell in bulk["cells"] if cell["kind"] == "parquet") == 40_000_000
    assert report.files(bulk) in (ROOT / "docs/trust.md").read_text()


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("README.md", ["compare"]),
        ("docs/trust.md", ["bulk", "options"]),
        ("docs/adr/0003-exact-compilation.md", ["forms"]),
        ("docs/adr/0004-dispatcher.md", ["compare"]),
        ("load_tests/REPORT.md", sorted(measurements.versions())),
    ],
)
def test_a_page_says_of_which_version_its_figures_are(page: str, names: list[str]) -> None:
    text = " ".join((ROOT / page).read_text().split())
    for name in names:
        assert f"on {measurements.version(name)}" in text or f"| {measurements.version(name)} |" in text


def test_each_file_of_measurements_has_a_version() -> None:
    kept = {path.stem for path in (ROOT / "load_tests/measurements").glob("*.json")} - {"versions"}
    assert set(measurements.versions()) == set(MADE_BY) == kept


def test_the_costs_of_options_are_the_measured_ones() -> None:
    page = (ROOT / "docs/trust.md").read_text()
    summary = json.loads((ROOT / "load_tests/measurements/options.json").read_bytes())["summary"]
    assert [*summary] == ["plain", "explained", "logged", "challenged", "logged and challenged"]
    for variant, ratios in summary.items():
        assert f"| {variant} | {ratios['1']:.2f} | {ratios['32']:.2f} |" in page
