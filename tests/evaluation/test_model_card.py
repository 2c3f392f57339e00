"""The model card, and the evaluation that it quotes: both are committed, and of this model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import commands
import pytest
from conftest import ARTIFACTS, ROOT

from propensity.__main__ import main
from propensity.evaluation.figures import Figures

CARD = ROOT / "docs/model_card.md"
EVALUATION = ROOT / "docs/evaluation/evaluation.json"


def test_the_card_is_made_from_the_manifest_and_the_evaluation(tmp_path: Path) -> None:
    done = commands.run(
        main, "card", "--manifest", ARTIFACTS / "propensity.json", "--evaluation", EVALUATION,
        "--template", ROOT / "docs/model_card.md.in", "--output", tmp_path / "card.md",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "card.md").read_text() == CARD.read_text()


def test_the_evaluation_is_of_this_model_and_found_what_the_notebook_promised(
    manifest: dict[str, Any],
) -> None:
    figures = Figures.read(EVALUATION)
    assert re.fullmatch("propensity:[0-9a-f]{12}", figures.model)
    assert figures.of == "the notebook's hold-out set"
    assert figures.faults == []
    assert figures.max_difference is not None
    assert figures.max_difference < 1e-12
    for name, value in figures.notebook.items():
        assert value == pytest.approx(manifest["metrics"][name], abs=1e-12)
        assert figures.metrics[name] == pytest.approx(value, abs=1e-9)
    assert len(figures.notebook) == 8


def test_small_groups_are_marked_and_left_out_of_the_comparison(manifest: dict[str, Any]) -> None:
    groups, card = manifest["metrics"]["groups"]["marital"], CARD.read_text()
    for name, figures in groups.items():
        assert (f"| `{name}`* |" in card) == (figures["rows"] < 100)
    rates = {name: each["false_positive_rate"] for name, each in groups.items() if each["rows"] >= 100}
    assert set(rates) == {"single", "married"}
    assert (
        f"Of the negatives, {rates['single']:.0%} of `marital` `single` are selected,"
        f" {rates['married']:.0%} of `married`: {rates['single'] / rates['married']:.1f} times as many."
        in card
    )


def test_the_card_names_no_person_to_write_to() -> None:
    assert "@" not in CARD.read_text()
    assert "http" not in CARD.read_text()


def test_a_card_that_can_not_be_made_says_why_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"model": "propensity:0123456789ab"}')
    manifest = ARTIFACTS / "propensity.json"
    for changed, said in {
        ("--manifest", "none.json"): "none.json: No such file",
        ("--evaluation", "none.json"): "none.json: No such file or directory; `evaluate` writes it",
        ("--evaluation", tmp_path / "old.json"): "old.json: pickle: Field required; evaluate again",
        ("--template", "none.md.in"): "none.md.in: No such file",
        ("--output", tmp_path): "Is a directory",
    }.items():
        done = commands.run(main, "card", "--manifest", manifest, "--output", tmp_path / "card.md", *changed)
        assert done.returncode == 1
        assert done.stderr.startswith("propensity card: ")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "card.md").exists()
