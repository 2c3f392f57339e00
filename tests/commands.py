"""Runs commands in this process: starting Python takes longer than most of them do."""

from __future__ import annotations

import io
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess
from unittest.mock import patch


def run(main: Callable[[], None], *arguments: object) -> CompletedProcess[str]:
    """Return what a command prints, and its exit code, as the interpreter would."""
    stdout, stderr, code = io.StringIO(), io.StringIO(), 0
    argv = [main.__module__, *map(str, arguments)]
    with patch.object(sys, "argv", argv), redirect_stdout(stdout), redirect_stderr(stderr):
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
            if isinstance(ended.code, str):
                print(ended.code, file=sys.stderr)
    # The service of other tests may run in this process, and log to the same stdout.
    lines = stdout.getvalue().splitlines(keepends=True)
    printed = "".join(line for line in lines if not line.startswith('{"time"'))
    return CompletedProcess(argv, code, printed, stderr.getvalue())


def documented(page: Path, command: str, places: Mapping[str, Path]) -> list[str]:
    """Return the arguments of the only `propensity COMMAND` that a page shows.

    Args:
        page: path of the page, in Markdown.
        command: name of the command.
        places: paths to use instead of those that the page names.
    """
    (shown,) = re.findall(rf"^propensity {command} (.*)$", page.read_text(), re.MULTILINE)
    return [str(places.get(word, word)) for word in shlex.split(shown)]
