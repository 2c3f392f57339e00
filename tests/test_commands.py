"""The command `propensity`: its commands, what their help says, how they end, and how they are completed."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import click
import commands
import pytest
from conftest import ROOT

import import_model
from load_tests import capacity
from propensity import __main__, settings
from propensity.__main__ import main, propensity
from propensity.access.authorization import TokenScope
from propensity.command_line import Command, Commands, start
from propensity.files import scoring
from propensity.files.inputs import SOURCES
from propensity.files.targets import TARGETS

SCRIPT = ROOT / "bin/propensity"
PAGE = (ROOT / "docs/commands.md").read_text()
NAMES = [*propensity.commands]


def command_of(name: str) -> Command:
    command = propensity.commands[name]
    assert isinstance(command, Command)
    return command


def run(
    *arguments: object, stdout: int = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the script as a shell would."""
    return subprocess.run(
        [SCRIPT, *map(str, arguments)], stdout=stdout, stderr=subprocess.PIPE, text=True, errors="replace",
        env=os.environ | environment, check=False,
    )  # fmt: skip


def test_without_a_command_all_commands_are_listed() -> None:
    done = commands.run(main)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == commands.run(main, "--help").stdout
    assert re.findall(r"^  ([a-z]+)  +\S", done.stderr, re.MULTILINE) == NAMES
    assert "..." not in done.stderr.partition("Commands:")[2], "each purpose fits into its line"


def test_the_page_lists_every_command_and_exit_code() -> None:
    assert re.findall(r"^\| `([a-z]+)` \|", PAGE, re.MULTILINE) == NAMES
    codes = {code for name in NAMES for code in command_of(name).exit_codes}
    table = PAGE.partition("## Exit codes")[2].partition("##")[0]
    shown = re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
    assert {int(code) for row in shown for code in row.split(", ")} == codes


@pytest.mark.parametrize(
    "asked", [["--help"], ["score", "--help"], ["evaluate", "-h"], ["capacity", "--rps"]]
)
def test_neither_help_nor_a_wrong_argument_waits_for_imports(asked: list[str]) -> None:
    program = "import sys; from propensity.__main__ import main\ntry: main()\nfinally: print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, *asked], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "propensity.command_line" in done.stdout
    assert not {"bentoml", "numpy", "pyarrow", "sklearn", "load_tests"} & {*done.stdout.split()}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["scor"], "propensity: No such command 'scor'. Did you mean 'score'? (`propensity --help`"),
        (["score", "a"], "propensity score: Missing argument 'INPUT...'. (`propensity score --help` says"),
        (["score", "a", "b", "--processes", "0"], "propensity score: Invalid value for '--processes': 0 is"),
        (["card", "--outptu", "x"], "propensity card: No such option '--outptu'. Did you mean '--output'?"),
        (["tokens", "new", "me"], "propensity tokens new: Missing option '--scope'. Choose from: predict,"),
        (["serve", "--port", "0"], "propensity serve: Invalid value for '--port' (env var: "),
        (["evaluate"], "propensity evaluate: Give either --known or --outcomes. (`propensity evaluate"),
        (["evaluate", "--outcomes", "x"], "propensity evaluate: --outcomes and --log belong together: "),
        (["evaluate", "--known", "x", "--log", "y"], "propensity evaluate: --outcomes and --log belong toge"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_said_in_one_line(arguments: list[str], said: str) -> None:
    done = commands.run(main, *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(said)


@pytest.mark.parametrize("name", NAMES)
def test_the_help_of_a_command_ends_with_an_example_and_its_exit_codes(name: str) -> None:
    command = command_of(name)
    said = commands.run(main, name, "-h").stdout
    assert said.startswith(f"Usage: propensity {name} [OPTIONS]")
    assert f"\nExample:\n  {command.example}\n\nExit codes:\n  0    {command.exit_codes[0]}\n" in said
    assert {0, 1, 2} <= command.exit_codes.keys()


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Mapping[str, Any]]]:
    """What would have been run, with which arguments."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    monkeypatch.setattr(__main__, "run", lambda module, given: found.append((module, given)))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_command_gives_its_module_all_that_that_takes(
    name: str, ran: list[tuple[str, Mapping[str, Any]]]
) -> None:
    words = shlex.split(command_of(name).example)
    words = words[words.index("propensity") + 1 :]
    assert words[0] == name
    done = commands.run(main, *words)
    assert (done.returncode, done.stderr) == (0, "")
    ((module, given),) = ran
    takes = inspect.signature(import_module(module).run)
    assert takes.bind(**given).kwargs.keys() | takes.bind(**given).arguments.keys() >= given.keys()


def test_files_that_begin_with_a_dash_follow_two_dashes(ran: list[tuple[str, Mapping[str, Any]]]) -> None:
    assert commands.run(main, "score", "--", "-a.csv", "-b.csv").returncode == 0
    ((_, given),) = ran
    assert (given["inputs"], given["output"]) == ((Path("-a.csv"),), Path("-b.csv"))


def test_what_is_declared_here_is_what_the_modules_know() -> None:
    """The modules themselves are not asked: importing them takes seconds."""
    tokens = propensity.commands["tokens"]
    assert isinstance(tokens, click.Group)
    (scopes,) = [option for option in tokens.commands["new"].params if option.name == "scopes"]
    assert isinstance(scopes.type, click.Choice)
    assert tuple(scopes.type.choices) == get_args(TokenScope)
    help_of_score = " ".join(commands.run(main, "score", "--help").stdout.split())
    assert f"({', '.join(SOURCES)}; text also in .gz or .zst)" in help_of_score
    assert f"({', '.join(TARGETS)})" in help_of_score
    assert scoring.SOME_PROBLEMS in command_of("score").exit_codes
    (core_hour,) = [option for option in command_of("capacity").params if option.name == "core_hour"]
    assert core_hour.default == capacity.CORE_HOUR


@pytest.mark.parametrize("name", NAMES)
def test_a_command_begins_its_messages_with_its_name(
    name: str, ran: list[tuple[str, Mapping[str, Any]]]
) -> None:
    commands.run(main, *shlex.split(command_of(name).example.partition("propensity ")[2]))
    source = Path(import_module(ran[0][0]).__file__ or "").read_text()
    assert {*re.findall(r'sys\.exit\(\s*f?"([a-z ]+):', source)} <= {f"propensity {name}"}


def test_the_first_name_of_the_import_is_the_same_command(tmp_path: Path) -> None:
    path = tmp_path / "absent.pkl"
    asked = commands.run(main, "import", path)
    assert asked.stderr == f"propensity import: {path}: no such file\n"
    assert commands.run(import_model.main, path).stderr == asked.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_stopped_while_it_starts_ends_with_one_line(number: int, status: int) -> None:
    program = (
        "import os, sys; from propensity import __main__, command_line\n"
        f"command_line.import_module = lambda _: os.kill(os.getpid(), {number})\n"
        "sys.argv = ['', 'score', 'in.csv', 'out.csv']; __main__.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (status, "propensity score: stopped before it began\n")


@pytest.mark.parametrize(("raised", "status"), [(KeyboardInterrupt, 130), (EOFError, None)])
def test_ctrl_c_ends_a_command_without_a_traceback_and_nothing_else_does(
    raised: type[BaseException], status: int | None
) -> None:
    def callback() -> None:
        raise raised

    command = Command("x", callback=callback, example="x", exit_codes={})

    def started() -> None:
        start(Commands("all", {"x": command}), "all")

    if status is None:
        with pytest.raises(click.Abort):
            commands.run(started, "x")
    else:
        assert commands.run(started, "x").returncode == status


@pytest.mark.parametrize("asked", [["--help"], ["import", "--help"], ["capacity", "--rps=9", "--p99-ms=50"]])
def test_a_pipe_that_nobody_reads_ends_a_command_quietly(asked: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = run(*asked, stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("asked", [["score", "--help"], ["capacity", "--rps=9", "--p99-ms=50"]])
def test_a_full_disk_is_said_in_one_line(asked: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run(*asked, stdout=full.fileno())
    assert done.returncode == 1
    assert re.fullmatch(rf"propensity( {asked[0]})?: No space left on device\n", done.stderr)


def test_a_file_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    manifest = ROOT / "artifacts/propensity.json"
    for output, why in {"/dev/full": "No space left on device", str(tmp_path): "Is a directory"}.items():
        done = commands.run(main, "card", "--manifest", manifest, "--output", output)
        assert (done.returncode, done.stderr) == (1, f"propensity card: {output}: {why}\n")


def test_a_name_that_is_no_text_is_shown_all_the_same(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.md"
    done = subprocess.run(
        [SCRIPT, "card", "--manifest", ROOT / "artifacts/propensity.json", "--output", path],
        capture_output=True, text=True, check=True, env=os.environ | {"LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert done.stdout == f"card: wrote {tmp_path}/\\udcff.md\n"
    assert Path(os.fsdecode(path)).read_text().startswith("# ")


def test_a_setting_that_is_wrong_is_said_in_one_line() -> None:
    done = run("score", "in.csv", "out.csv", PROPENSITY_MODEL="two words")
    assert done.returncode == 1
    assert done.stderr.startswith("propensity score: PROPENSITY_MODEL is 'two words'; it must be a model tag")
    assert done.stderr.count("\n") == 1


def test_the_script_of_a_checkout_works_in_any_folder(tmp_path: Path) -> None:
    done = subprocess.run([SCRIPT, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == commands.run(main, "--help").stdout


@pytest.mark.parametrize("has_environment", [True, False], ids=["its own", "the caller's"])
def test_the_script_runs_in_the_environment_of_its_checkout_if_there_is_one(
    tmp_path: Path, has_environment: bool
) -> None:
    """As make links it into that environment, in a folder whose path has spaces."""
    checkout, path = tmp_path / "my checkout", tmp_path / "path"
    for folder in (checkout / "bin", checkout / ".venv/bin", path):
        folder.mkdir(parents=True)
    (checkout / "bin/propensity").write_bytes(SCRIPT.read_bytes())
    (checkout / "bin/propensity").chmod(0o755)
    (link,) = re.findall(r"^\t@ln -s (\S+) (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    (checkout / link[1]).symlink_to(link[0])
    pythons = [path / "python3", *([checkout / ".venv/bin/python"] if has_environment else [])]
    for python in pythons:
        python.write_text('#!/bin/sh\nprintf "%s\\n" "$0" "$PYTHONPATH" "$@"\n')
        python.chmod(0o755)
    done = subprocess.run(
        ["propensity", "score", "my rows.csv"], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={"PATH": f"{checkout / '.venv/bin'}:{path}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        str(pythons[-1]), str(checkout), "-P", "-m", "propensity", "score", "my rows.csv"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("propensity s", "serve sign score"),
        ("propensity tokens ", "new"),
        ("propensity tokens new me --scope ", "predict metrics"),
        ("propensity card --t", "--template"),
    ],
)
def test_bash_completes_commands_and_options(typed: str, completed: str) -> None:
    (line,) = re.findall(r"\| `(eval .*bash_source.*)` \|", PAGE)
    script = (
        f'{line}; COMP_WORDS=({typed}"") COMP_CWORD={len(typed.split(" ")) - 1};'
        ' _propensity_completion propensity; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"PATH": f"{SCRIPT.parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (f"{completed}\n", "")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_get_a_function_too(shell: str) -> None:
    assert f"_PROPENSITY_COMPLETE={shell}_source propensity" in PAGE
    done = subprocess.run(
        [SCRIPT], capture_output=True, text=True, check=True,
        env=os.environ | {"_PROPENSITY_COMPLETE": f"{shell}_source"},
    )  # fmt: skip
    assert "_propensity_completion" in done.stdout


def test_the_variable_of_the_completion_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_PROPENSITY_COMPLETE", "bash_source")
    settings.check_names()
