"""The command of this product: `python -m propensity COMMAND`, such as `tokens`, `score` or `evaluate`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from importlib import import_module
from importlib.util import find_spec

COMMANDS = {
    "tokens": ("access.tokens", "make tokens for callers of the API"),
    "sign": ("model.signature", "make the keys that models are signed with"),
    "score": ("files.scoring", "score files of rows, without a server"),
    "evaluate": (
        "evaluation.command",
        "compare what the service answers with what the notebook promised",
    ),
    "drift": ("evaluation.drift_report", "measure drift in the prediction log"),
    "card": ("evaluation.model_card", "write the model card"),
    "health": ("serving.health", "exit with 0 while the service in this container is ready"),
}
"""The module whose `main` runs each command, and what the command does."""


def main() -> None:
    """Run the named command with the arguments that follow its name."""
    width = max(map(len, COMMANDS))
    parser = argparse.ArgumentParser(
        prog="python -m propensity",
        usage="%(prog)s COMMAND ...",
        epilog="\n".join(f"{name:{width}}  {purpose}" for name, (_, purpose) in COMMANDS.items())
        + "\n\n`python -m propensity COMMAND --help` says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below")
    name = parser.parse_args(sys.argv[1:2]).command
    module = f"propensity.{COMMANDS[name][0]}"
    # Imports take seconds: whoever stops the command meanwhile gets one line, not a traceback.
    stops = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, lambda number, _: _stop(name, number)) for number in stops}
    if find_spec(module.rpartition(".")[0]) is None:
        sys.exit(f"{name}: is not part of a Bento; run it in a checkout of the project")
    command = import_module(module)
    for number, action in previous.items():
        signal.signal(number, action)
    sys.argv = [sys.argv[0], *sys.argv[2:]]
    command.main()


def _stop(name: str, number: int) -> None:
    os.write(2, f"{name}: stopped before it began\n".encode())
    os._exit(128 + number)


if __name__ == "__main__":
    main()
