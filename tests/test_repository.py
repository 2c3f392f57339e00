"""The repository: what is tracked, and how a run of its tests ends."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import conftest
import pytest
from conftest import ROOT

BINARIES = {
    "architecture_slides/*.pdf": "the decks as built, to be read without building them",
    "architecture_slides/*.pptx": "the decks as built, to be edited",
    "docs/evaluation/*.png": "a plot that a page shows",
    "load_tests/plots/*.png": "a plot that the report shows",
}
"""Which files may be binary, and why."""


def tracked(folder: Path) -> list[str]:
    listing = ["git", "ls-files", "-z"]
    listed = subprocess.run(listing, cwd=folder, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (folder / name).is_file()]


def is_binary(path: Path) -> bool:
    content = path.read_bytes()
    try:
        return "\0" in content.decode()
    except UnicodeDecodeError:
        return True


def unexplained(folder: Path) -> list[str]:
    """Binary files that are tracked without a reason."""
    return [
        name
        for name in tracked(folder)
        if not any(fnmatch(name, pattern) for pattern in BINARIES) and is_binary(folder / name)
    ]


def test_no_binary_file_is_tracked_without_a_reason() -> None:
    assert unexplained(ROOT) == []
    names = tracked(ROOT)
    assert len(names) > 200
    for pattern in BINARIES:
        assert any(fnmatch(name, pattern) for name in names), f"{pattern} names nothing any more"


@pytest.mark.parametrize(
    ("name", "content"),
    [(".metrics/counter_1.db", b"a\0b"), ("model.pkl", b"\x80\x05."), ("plot.png", b"\x89PNG\0")],
)
def test_a_binary_file_without_a_reason_is_found(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    (tmp_path / "text").write_text("ñ\n")
    for command in (["init", "--quiet"], ["add", "--force", "."]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    assert unexplained(tmp_path) == [name]


@pytest.mark.parametrize(
    "name",
    [
        ".local/token", "artifacts/propensity.pkl", ".metrics/counter_1.db", ".benchmarks/x", ".coverage",
        "htmlcov/index.html", "mlruns/0/meta.yaml", "mlflow.db", "spark-warehouse/x", "derby.log",
        "metastore_db/x", "propensity.egg-info/PKG-INFO", "tests/__pycache__/x.pyc", ".hypothesis/examples/x",
    ],
)  # fmt: skip
def test_what_tools_and_peers_leave_is_ignored(name: str) -> None:
    ignored = ["git", "check-ignore", "--quiet", "--no-index", name]
    assert subprocess.run(ignored, cwd=ROOT, check=False).returncode == 0


def test_the_end_of_a_run_says_in_one_line_what_to_install() -> None:
    written: list[str] = []

    def reports(*reasons: str) -> list[Any]:
        return [SimpleNamespace(longrepr=("test_x.py", 1, f"Skipped: {reason}")) for reason in reasons]

    for skipped in (reports(), reports("no Redis (apt install redis-server)", "no B", "no B")):
        reporter: Any = SimpleNamespace(
            stats={"skipped": skipped}, write_line=lambda line, **_: written.append(line)
        )
        conftest.pytest_terminal_summary(reporter)
    assert written == ["NOT TESTED, 3 tests: no B; no Redis (apt install redis-server)"]


def reasons_to_skip(path: Path) -> Iterator[str]:
    for call in ast.walk(ast.parse(path.read_text())):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            named = {"skip": call.args[:1], "skipif": [each.value for each in call.keywords]}
            yield from map(ast.literal_eval, named.get(call.func.attr, []))


def test_every_reason_to_skip_says_what_to_install() -> None:
    paths = (ROOT / "tests").rglob("test_*.py")
    reasons = {reason for path in paths for reason in reasons_to_skip(path)}
    # There is no package of what a platform lacks.
    reasons.remove("no trivy, which there is for Linux on x86-64 alone")
    assert len(reasons) >= 6
    assert [each for each in reasons if not re.fullmatch(r"no [\w ]+ \(apt install [\w-]+\)", each)] == []
