"""`make import` and `make serve`: of the demonstration, and of somebody's own model."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

SHELL = {
    name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder as `git clone` leaves it, as far as make looks at it, with a model of somebody in it."""
    for name in ("Makefile", "requirements-dev.txt"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts/propensity.pkl").write_bytes(b"theirs")
    return tmp_path


def would_run(checkout: Path, *arguments: str, **environment: str) -> list[str]:
    """The commands that make would run, without what installs."""
    done = subprocess.run(
        ["make", "--dry-run", "--old-file=.venv/.serving", *arguments],
        cwd=checkout, capture_output=True, text=True, check=True, env=SHELL | environment,
    )  # fmt: skip
    return done.stdout.replace("\\\n", "").splitlines()


@pytest.mark.parametrize("target", ["import", "serve"])
def test_by_default_the_notebook_makes_what_is_imported(checkout: Path, target: str) -> None:
    commands = would_run(checkout, "--always-make", target)
    assert ".venv/bin/python notebooks/execute.py artifacts/propensity_model.ipynb" in commands
    assert any(".venv/bin/python import_model.py artifacts/propensity.pkl" in line for line in commands)


@pytest.mark.parametrize("target", ["import", "serve"])
def test_a_model_of_ones_own_is_imported_and_never_made(checkout: Path, target: str) -> None:
    model = "artifacts/propensity.pkl"
    commands = would_run(
        checkout, "--always-make", target, f"PICKLE={model}", "DATA=my rows.csv", "TARGET=it's gone"
    )
    assert not any("execute.py" in line for line in commands)
    (line,) = [line for line in commands if "import_model.py" in line]
    assert (
        "import_model.py 'artifacts/propensity.pkl' --data 'my rows.csv' --target 'it'\\''s gone'"
        in " ".join(line.split())
    )


def test_every_flag_of_the_import_has_its_variable(checkout: Path) -> None:
    given = ("PICKLE=m.pkl", "DATA=d.csv", "TARGET=t", "POSITIVE=yes", "THRESHOLD=0.3", "NAME=churn")
    (line,) = [line for line in would_run(checkout, "import", *given) if "import_model.py" in line]
    assert line.split("import_model.py ")[1].split() == [
        "'m.pkl'", "--data", "'d.csv'", "--target", "'t'", "--positive", "'yes'", "--threshold", "'0.3'",
        "--name", "'churn'",
    ]  # fmt: skip


def test_variables_that_an_environment_happens_to_have_are_not_flags(checkout: Path) -> None:
    """Windows' Linux sets NAME, and CI systems set TARGET."""
    (line,) = [
        line
        for line in would_run(checkout, "import", NAME="machine", TARGET="x86", PICKLE="other.pkl")
        if "import_model.py" in line
    ]
    assert line.split("import_model.py ")[1].split() == ["artifacts/propensity.pkl"]


def test_what_is_built_is_what_was_imported(checkout: Path) -> None:
    (line,) = [line for line in would_run(checkout, "build", "PICKLE=m.pkl") if "bentoml build" in line]
    assert line.startswith("tag=$(.venv/bin/python import_model.py 'm.pkl'")
    assert 'PROPENSITY_MODEL="${PROPENSITY_MODEL:-$tag}" .venv/bin/bentoml build' in line


def test_what_is_served_is_what_was_imported(checkout: Path) -> None:
    (line,) = [line for line in would_run(checkout, "serve", "PICKLE=m.pkl") if "propensity serve" in line]
    assert line.startswith("tag=$(.venv/bin/python import_model.py 'm.pkl'")
    assert line.endswith('TOKEN=$(cat .local/token) .venv/bin/python -m propensity serve --port 3000 "$tag"')
