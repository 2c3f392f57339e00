"""The committed measurements: a file of figures for each command that measures, and the version measured."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
VERSIONS = HERE / "versions.json"
"""The day and the commit of each file, with `-dirty` if uncommitted changes were measured."""

WRITTEN = ("load_tests/measurements/*.json", "load_tests/plots", "load_tests/REPORT.md")
"""What measuring writes: one measurement after the other is of the same version."""


def keep(name: str, measured: Any) -> None:
    """Write a file of measurements, such as `compare`, and which version it is of."""
    path = HERE / f"{name}.json"
    measured_commit = commit()  # before anything is written: what is measured is what is there by now
    path.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    known = versions() | {name: {"commit": measured_commit, "day": f"{datetime.now(UTC):%Y-%m-%d}"}}
    VERSIONS.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", encoding="utf-8")
    print(f"{name.replace('_', '-')}: wrote load_tests/measurements/{path.name}", flush=True)


def commit() -> str:
    """The commit that is checked out, with `-dirty` if there are changes beside what measuring writes."""
    others = [f":(exclude){path}" for path in WRITTEN]
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", *others)
    return _git("rev-parse", "--short=7", "HEAD") + ("-dirty" if changed else "")


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(HERE.parents[1]), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def read(name: str) -> Any:
    """A file of measurements."""
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


def versions() -> dict[str, dict[str, str]]:
    """The version that each file measured, by name."""
    found: dict[str, dict[str, str]] = json.loads(VERSIONS.read_text(encoding="utf-8"))
    return found


def version(name: str) -> str:
    """The version that a file measured, for a page that quotes it."""
    of = versions()[name]
    return f"commit {of['commit']} of {of['day']}"
