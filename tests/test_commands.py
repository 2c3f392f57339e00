"""The command `python -m propensity`: how it finds its commands, and what it says before one starts."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import commands
import pytest
from conftest import ROOT

from propensity.__main__ import COMMANDS, main


def test_without_a_command_all_commands_are_listed() -> None:
    done = commands.run(main)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: python -m propensity COMMAND ...\n")
    listed = re.findall(r"^([a-z]+)  +\S", commands.run(main, "--help").stdout, re.MULTILINE)
    assert listed == [*COMMANDS]


def test_an_unknown_command_is_refused_with_the_known_ones() -> None:
    done = commands.run(main, "scor")
    assert done.returncode == 2
    assert "invalid choice: 'scor'" in done.stderr
    assert all(f"'{name}'" in done.stderr or name in done.stderr for name in COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - {"health"}))
def test_a_command_gets_the_arguments_after_its_name(name: str) -> None:
    usage = commands.run(main, name, "--help").stdout
    assert usage.startswith(f"usage: python -m propensity {name} ")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_begins_its_messages_with_its_name(name: str) -> None:
    source = Path(import_module(f"propensity.{COMMANDS[name][0]}").__file__ or "").read_text()
    assert {*re.findall(r'sys\.exit\(f?"([a-z-]+):', source)} <= {name}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_stopped_while_it_starts_ends_with_one_line(number: int, status: int) -> None:
    program = (
        "import signal, sys; import propensity.__main__ as product;"
        f" product.import_module = lambda _: signal.raise_signal({int(number)});"
        " sys.argv = ['', 'score']; product.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (status, "score: stopped before it began\n")
