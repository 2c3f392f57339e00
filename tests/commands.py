"""Runs the commands of this product in process: starting Python anew takes longer than most of them do."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from subprocess import CompletedProcess
from unittest.mock import patch


def run(main: Callable[[], None], *arguments: object) -> CompletedProcess[str]:
    """What a command prints, and its exit code, as the interpreter would have them."""
    stdout, stderr, code = io.StringIO(), io.StringIO(), 0
    argv = [main.__module__, *map(str, arguments)]
    with patch.object(sys, "argv", argv), redirect_stdout(stdout), redirect_stderr(stderr):
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
            if isinstance(ended.code, str):
                print(ended.code, file=sys.stderr)
    # The service of the other tests, which runs beside this in the same process, logs to the same place.
    lines = stdout.getvalue().splitlines(keepends=True)
    printed = "".join(line for line in lines if not line.startswith('{"time"'))
    return CompletedProcess(argv, code, printed, stderr.getvalue())
