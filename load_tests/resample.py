"""Makes a larger set of applications out of the hold-out set, for load that should not repeat itself.

    python -m load_tests.resample 100000

Whole applications, with their outcomes, drawn with replacement: distributions and metrics stay those of
the hold-out set. Written to `data/applications-ROWS.json`.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

DATA = Path(__file__).with_name("data")
SEED = 20_26


def resample(rows: int) -> Path:
    """Write a resampled set of applications; the same `rows` always gives the same file."""
    # The file has one application a line: its lines can be drawn as they are.
    holdout = (DATA / "applications.json").read_text(encoding="utf-8").splitlines()[1:-1]
    draw = random.Random(SEED)
    lines = [line.rstrip(",") for line in draw.choices(holdout, k=rows)]
    path = DATA / f"applications-{rows}.json"
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].isdecimal() or int(sys.argv[1]) == 0:
        sys.exit("usage: python -m load_tests.resample ROWS, such as 100000")
    print(resample(int(sys.argv[1])))
