"""The libraries of a Bento: those that its model can't be served without, locked."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import bentoml
import pytest
from conftest import ROOT

from propensity.model import libraries
from propensity.model.libraries import Requirements, libraries_of
from propensity.model.store import StoreError

SERVING = (ROOT / "requirements.txt").read_text()
LOCKED = sorted(path.stem for path in libraries.LOCKS.glob("*.txt"))
NUMPY = version("numpy")


def names(requirements: str) -> list[str]:
    return re.findall(r"^([a-z0-9-]+)==", requirements, re.MULTILINE)


def test_a_compiled_model_needs_no_library(tag: str) -> None:
    assert libraries_of(bentoml.models.get(tag)) == {}


@pytest.mark.parametrize("library", LOCKED)
def test_a_library_is_added_with_what_it_depends_on_and_nothing_twice(library: str) -> None:
    requirements = Requirements(SERVING)
    requirements.require({library: version(library), "numpy": NUMPY}, "churn:0")
    assert requirements.text.startswith(SERVING)
    added = requirements.text.removeprefix(SERVING)
    lock = (libraries.LOCKS / f"{library}.txt").read_text()
    assert library in names(added)
    assert set(names(added)) == set(names(lock)) - set(names(SERVING))
    assert added.count("--hash=sha256:") >= len(names(added))
    assert all(line in lock.splitlines() for line in added.splitlines())
    requirements.require({library: version(library)}, "churn:1")
    assert requirements.text == SERVING + added


def test_libraries_that_share_a_dependency_are_added_together() -> None:
    requirements = Requirements(SERVING)
    requirements.require({library: version(library) for library in LOCKED}, "churn:0")
    added = names(requirements.text.removeprefix(SERVING))
    assert len(added) == len(set(added))
    assert set(LOCKED) <= set(added)


def lock_command(file: str, pin: str) -> str:
    return (
        f"`echo {pin} | uv pip compile - --constraint requirements.txt --universal --generate-hashes"
        f" --output-file {file}`"
    )


@pytest.mark.parametrize(
    ("needed", "message"),
    [
        (
            {"xgboost": "2.1.4"},
            f"needs xgboost 2.1.4, but requirements/xgboost.txt locks {version('xgboost')}; lock it: "
            + lock_command("requirements/xgboost.txt", "xgboost==2.1.4"),
        ),
        (
            {"Imbalanced_Learn": "0.14.0"},
            "needs imbalanced-learn 0.14.0, but requirements/imbalanced-learn.txt is not there; lock it: "
            + lock_command("requirements/imbalanced-learn.txt", "imbalanced-learn==0.14.0"),
        ),
        (
            {"numpy": "1.26.4"},
            f"was pickled with numpy 1.26.4, but requirements.txt locks {NUMPY}: run its notebook with numpy"
            f" {NUMPY}",
        ),
    ],
)
def test_a_library_that_is_not_locked_as_a_model_needs_it_is_refused(
    needed: dict[str, str], message: str
) -> None:
    requirements = Requirements(SERVING)
    with pytest.raises(StoreError) as refused:
        requirements.require(needed, "churn:0")
    assert str(refused.value) == f"model churn:0 is served as its pipeline, which {message}"
    assert requirements.text == SERVING


def test_a_lock_of_ones_own_is_taken_and_one_that_contradicts_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "LOCKS", tmp_path / "requirements")
    (tmp_path / "requirements").mkdir()
    own = tmp_path / "requirements/own.txt"
    pin = "own==1.0 ; sys_platform == 'linux' \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n"
    own.write_text(f"# made by hand\n{pin}numpy=={NUMPY} \\\n    --hash=sha256:22\n")
    requirements = Requirements(SERVING)
    requirements.require({"own": "1.0"}, "churn:0")
    assert requirements.text == SERVING + pin
    own.write_text(f"{pin}numpy==1.26.4 \\\n    --hash=sha256:22\n")
    with pytest.raises(StoreError) as refused:
        Requirements(SERVING).require({"own": "1.0"}, "churn:0")
    assert str(refused.value) == (
        f"requirements/own.txt locks numpy 1.26.4, but requirements.txt {NUMPY}; lock it anew: "
        + lock_command("requirements/own.txt", "own==1.0")
    )


@pytest.mark.parametrize("library", LOCKED)
def test_a_locked_library_is_the_one_that_the_tests_use(library: str) -> None:
    pin = f"\n{library}=={version(library)} "
    assert pin in (ROOT / "requirements-dev.txt").read_text()
    assert pin in (libraries.LOCKS / f"{library}.txt").read_text()
