"""Makes a larger set of rows out of a model's hold-out set, for load that should not repeat itself.

    python -m load_tests.resample artifacts/propensity.json 100000

Whole rows, with their outcomes, drawn with replacement: distributions and metrics stay those of the hold-out
set. Written beside it, under its name and the number of rows.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from propensity.model.manifest import ManifestError, read_manifest

SEED = 20_26


def resample(manifest: Path, rows: int) -> Path:
    """Write a resampled set; the same `rows` of the same hold-out set always give the same file.

    Args:
        manifest: path of the model's manifest, which names the hold-out set.
        rows: how many to draw.

    Raises:
        ManifestError: the manifest can't be read.
        OSError: the hold-out set can't be read.
    """
    holdout = manifest.parent / read_manifest(manifest).holdout.file
    lines = [json.dumps(row, ensure_ascii=False) for row in json.loads(holdout.read_bytes())]
    drawn = random.Random(SEED).choices(lines, k=rows)
    path = holdout.with_name(f"{holdout.stem}-{rows}.json")
    path.write_text("[\n" + ",\n".join(drawn) + "\n]\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    if len(sys.argv) != 3 or not sys.argv[2].isdecimal() or int(sys.argv[2]) == 0:
        sys.exit(
            "usage: python -m load_tests.resample MANIFEST ROWS, such as artifacts/propensity.json 100000"
        )
    try:
        print(resample(Path(sys.argv[1]), int(sys.argv[2])))
    except (ManifestError, OSError) as error:
        sys.exit(f"resample: {error}")
