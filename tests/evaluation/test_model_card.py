"""The model card, and the evaluation that it quotes: both are committed, and of this model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ARTIFACTS, ROOT

from propensity.evaluation.model_card import card
from propensity.model.manifest import read_manifest

CARD = (ROOT / "docs/model_card.md").read_text()
EVALUATION: dict[str, Any] = json.loads((ROOT / "docs/evaluation/evaluation.json").read_bytes())


def test_the_card_is_made_from_the_manifest_and_the_evaluation() -> None:
    template = (ROOT / "docs/model_card.md.in").read_text()
    assert card(template, read_manifest(ARTIFACTS / "propensity.json"), EVALUATION) == CARD


def test_the_evaluation_is_of_this_model_and_found_what_the_notebook_promised(
    manifest: dict[str, Any],
) -> None:
    assert re.fullmatch("propensity:[0-9a-f]{12}", EVALUATION["model"])
    assert EVALUATION["of"] == "the notebook's hold-out set"
    assert EVALUATION["faults"] == []
    assert EVALUATION["max_difference"] < 1e-12
    for name, value in EVALUATION["notebook"].items():
        assert value == pytest.approx(manifest["metrics"][name], abs=1e-12)
        assert EVALUATION["metrics"][name] == pytest.approx(value, abs=1e-9)
    assert len(EVALUATION["notebook"]) == 8


def test_small_groups_are_marked_and_left_out_of_the_comparison(manifest: dict[str, Any]) -> None:
    groups = manifest["metrics"]["groups"]["marital"]
    for name, figures in groups.items():
        assert (f"| {name}* |" in CARD) == (figures["rows"] < 100)
    share = {name: figures["good_declined"] for name, figures in groups.items() if figures["rows"] >= 100}
    assert set(share) == {"single", "married"}
    assert (
        f"Of good applicants, {share['single']:.0%} of marital single are declined,"
        f" {share['married']:.0%} of married: {share['single'] / share['married']:.1f} times as many." in CARD
    )


def test_the_card_names_no_person_to_write_to() -> None:
    assert "@" not in CARD
    assert "http" not in CARD


def test_a_card_without_an_evaluation_says_how_to_make_one(tmp_path: Path) -> None:
    (tmp_path / "artifacts").symlink_to(ARTIFACTS)
    done = subprocess.run(
        [sys.executable, "-m", "propensity", "card"],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("card: docs/evaluation/evaluation.json: [Errno 2]")
    assert done.stderr.endswith("`make model-card` makes it, while the service runs\n")
