"""Runs the notebook headless, as the data scientists would, and keeps the executed copy.

python notebooks/execute.py artifacts/propensity_model.ipynb
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

NOTEBOOK = Path(__file__).with_name("propensity_model.ipynb")
PICKLE = NOTEBOOK.parents[1] / "artifacts" / "propensity.pkl"
"""What the notebook writes."""

SOURCE = "credit_data of the R package modeldata"
"""How the notebook's manifests begin to say where its data are from."""

CELL_TIMEOUT_SECONDS = 600


def check_own() -> None:
    """Check that the notebook would overwrite nothing but what an earlier run of it has written.

    Raises:
        FileExistsError: somebody's model is in its place; the message says what to do.
    """
    if not PICKLE.exists():
        return
    try:
        manifest = json.loads(PICKLE.with_suffix(".json").read_bytes())
        of_notebook = str(manifest["data"]["source"]).startswith(SOURCE)
        is_own = of_notebook and manifest["pickle"]["sha256"] == _digest(PICKLE)
    except (OSError, ValueError, LookupError, TypeError):
        is_own = False
    if not is_own:
        raise FileExistsError(
            f"{PICKLE}: this notebook did not write it, and does not overwrite it; to serve it: `make serve"
            " PICKLE=artifacts/propensity.pkl DATA=FILE TARGET=COLUMN`; to serve the demonstration, move it"
            " away"
        )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


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
        check_own()
        execute(Path(sys.argv[1]))
    except FileExistsError as error:
        sys.exit(f"notebook: {error}")
    except CellExecutionError as error:
        sys.exit(f"notebook: a cell failed\n{error}")
