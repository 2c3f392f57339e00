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


def keep(name: str, measured: Any) -> None:
    """Write a file of measurements, such as `compare`, and which version it is of."""
    path = HERE / f"{name}.json"
    measured_commit = commit()  # before anything is written: what is measured is what is there by now
    path.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    known = versions() | {name: {"commit": measured_commit, "day": f"{datetime.now(UTC):%Y-%m-%d}"}}
    VERSIONS.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", encoding="utf-8")
    print(f"{name.replace('_', '-')}: wrote load_tests/measurements/{path.name}", flush=True)


def commit() -> str:
    """The commit that is checked out, with `-dirty` if there are uncommitted changes."""
    described = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--abbrev=7", "--exclude=*"]
    return subprocess.run(described, capture_output=True, text=True, check=True).stdout.strip()


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
