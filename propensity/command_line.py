"""What commands have in common: help, the import of what they do, and how they end.

What a command does is the function `run` of a module. That is imported once the arguments are right: imports
take seconds, for which neither help nor completion should wait.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import click

PATH = click.Path(path_type=Path, readable=False)
"""A path, which the shell completes. Whether it can be read is said by what reads it."""

OF_ALL = {2: "the arguments are wrong", 130: "Ctrl-C stopped it", 143: "SIGTERM stopped it"}
"""What these exit codes mean, whatever the command."""


class Command(click.Command):
    """A command whose help ends with an example and its exit codes.

    Attributes:
        example: as it would be typed.
        exit_codes: what each of them means.
    """

    def __init__(self, *given: Any, example: str, exit_codes: Mapping[int, str], **settings: Any) -> None:
        super().__init__(*given, **settings)
        self.example = example
        self.exit_codes = dict(sorted({**OF_ALL, **exit_codes}.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 — click's
        """Write what the help ends with."""
        with formatter.section("Example"):
            # Not as text, which would be wrapped: it is there to be copied.
            formatter.write(f"{'':{formatter.current_indent}}{self.example}\n")
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in self.exit_codes.items()])


class Group(Command, click.Group):
    """Several commands under one name, with help as a command's."""

    command_class = Command


class Commands(click.Group):
    """Commands, listed in the order in which they are needed."""

    command_class = Command
    group_class = Group

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 — click's
        """Return their names."""
        return [*self.commands]


def start(commands: Commands, name: str) -> NoReturn:
    """Run the command that the arguments of this process name, and end the process.

    Args:
        commands: the commands.
        name: what they are called together.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # As stderr: a name of a file may be no text.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        sys.exit(commands.main(prog_name=name, standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as asked:
        asked.show()
        sys.exit(asked.exit_code)
    except click.UsageError as error:
        path = name if error.ctx is None else error.ctx.command_path
        message = " ".join(error.format_message().split())
        print(f"{path}: {message} (`{path} --help` says more)", file=sys.stderr)
        sys.exit(error.exit_code)
    except click.Abort as aborted:
        # It also stands for an EOFError, which would be a bug.
        if not isinstance(aborted.__cause__, KeyboardInterrupt):
            raise
        sys.exit(130)
    except OSError as error:
        _end(name, error)


def run(module: str, given: Mapping[str, Any]) -> None:
    """Run the command of a module.

    Args:
        module: name of the module.
        given: the arguments of its `run`, by name.
    """
    name = click.get_current_context().command_path
    try:
        _imported(module, name)(**given)
        sys.stdout.flush()
    except OSError as error:
        _end(name, error)


def _imported(module: str, name: str) -> Callable[..., None]:
    """Import a module, and return its command; end if it is not there, or a setting is wrong."""

    # Whoever stops the command meanwhile gets one line, not a traceback.
    def stop(number: int, _: object) -> None:
        os.write(2, f"{name}: stopped before it began\n".encode())
        os._exit(128 + number)

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        run: Callable[..., None] = import_module(module).run
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        sys.exit(f"{name}: is not part of a Bento; run it in a checkout of the project")
    except Exception as error:
        # Those of our own name a setting or a file that is wrong, and the remedy.
        if not type(error).__module__.startswith("propensity."):
            raise
        sys.exit(f"{name}: {error}")
    finally:
        for number, action in previous.items():
            signal.signal(number, action)
    return run


def _end(name: str, error: OSError) -> NoReturn:
    """End, since a file can't be used: with a line that says so, or quietly if it is a closed pipe."""
    try:
        sys.stdout.flush()
    except OSError:
        # Else the interpreter would try again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        sys.exit(1)
    sys.exit(f"{name}: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}")
