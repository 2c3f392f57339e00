"""The compiled form, for other servers: rows to propensities, with none of this bundle's serving.

No field is checked: other servers check none of the pickle's either.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from propensity.contract.features import Values
from propensity.model import forms
from propensity.model.manifest import ServedManifest

manifest = ServedManifest.model_validate_json(Path(os.environ["MANIFEST"]).read_bytes())
form = forms.load(manifest.served.form, Path(os.environ["COMPILED"]).read_bytes())
contract = manifest.contract
_values = itemgetter(*contract.columns.names)


def of_rows(rows: Sequence[dict[str, Any]]) -> list[float]:
    """The propensity of each row, given as JSON objects."""
    return _propensities([_values(row) for row in rows])


def of_columns(by_name: Mapping[str, Sequence[Any]]) -> list[float]:
    """The propensity of each row, given as the list of values of each field."""
    return _propensities(list(zip(*_values(by_name), strict=True)))


def _propensities(rows: Sequence[Values]) -> list[float]:
    propensities: list[float] = form.propensities(contract.columns.of_tuples(rows)).tolist()
    return propensities
