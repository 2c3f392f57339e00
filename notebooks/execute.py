"""Runs the notebook headless, as the data scientists would, and keeps the executed copy.

python notebooks/execute.py artifacts/propensity_model.ipynb
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

NOTEBOOK = Path(__file__).with_name("propensity_model.ipynb")
CELL_TIMEOUT_SECONDS = 600


def execute(executed: Path) -> None:
    """Execute the notebook beside this file and write it, outputs included, to `executed`.

    Raises:
        CellExecutionError: a cell failed; the message holds its traceback.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    total = len(notebook.cells)

    def progress(cell: object, cell_index: int) -> None:  # noqa: ARG001
        # A terminal redraws one line, a log gets one line a cell.
        end = "\r" if sys.stderr.isatty() and cell_index + 1 < total else "\n"
        print(f"notebook: cell {cell_index + 1} of {total}", end=end, file=sys.stderr, flush=True)

    NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_SECONDS,
        record_timing=False,
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
        on_cell_complete=progress,
        # The kernel listens on loopback: encrypted, so that no other user of the machine can read along.
        config=Config({"KernelManager": {"transport_encryption": "auto"}}),
    ).execute()
    executed.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, executed)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004
        sys.exit("usage: python notebooks/execute.py EXECUTED_NOTEBOOK")
    try:
        execute(Path(sys.argv[1]))
    except CellExecutionError as error:
        sys.exit(f"notebook: a cell failed\n{error}")
