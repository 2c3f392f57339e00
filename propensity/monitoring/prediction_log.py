"""The prediction log: rows and their predictions in Parquet files, to account for them later.

A file gets its name only once it is complete: a worker that is killed loses the predictions that it has not
written yet, but never leaves a file that can't be read.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import os
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from propensity.contract.contract import Contract
from propensity.contract.features import Propensities
from propensity.contract.field import Field
from propensity.model.reference import free_name
from propensity.monitoring.answered_request import AnsweredRequest
from propensity.settings import SettingError, unreadable, whole_number

if TYPE_CHECKING:
    import pyarrow as pa

    from propensity.model.predictor import Predictor

REQUEST_ID = "request_id"
MIN_KEY_BYTES = 16


class PredictionLog:
    """The log of one worker, for use by one thread."""

    def __init__(
        self,
        folder: Path,
        contract: Contract,
        *,
        omitted: Sequence[str] = (),
        pseudonyms: Sequence[str] = (),
        key: bytes = b"",
    ) -> None:
        """Create a log.

        Args:
            folder: where each day gets a folder of its own.
            contract: the contract of the rows.
            omitted: fields to leave out.
            pseudonyms: fields, or `request_id`, to keep as a keyed hash instead of the value.
            key: key of these hashes.
        """
        self._folder = folder
        self._contract = contract
        self._omitted = frozenset(omitted)
        self._pseudonyms = frozenset(pseudonyms)
        self._key = key
        self._kept: list[tuple[AnsweredRequest, Propensities | None]] = []
        self.rows = 0

    @classmethod
    def from_environment(cls, contract: Contract) -> PredictionLog | None:
        """The configured log, if any.

        Args:
            contract: the contract of the rows.

        Raises:
            SettingError: a setting of the log can't be used.
        """
        folder = os.environ.get(_FOLDER)
        if not folder:
            return None
        key_file = os.environ.get(_KEY)
        pseudonyms = _fields(_PSEUDONYMS, (*contract.by_name, REQUEST_ID))
        key = b""
        if pseudonyms:
            if not key_file:
                raise SettingError(f"{_PSEUDONYMS} is set; set {_KEY} too, a file with a secret")
            try:
                key = Path(key_file).read_bytes().strip()
            except OSError as error:
                raise SettingError(f"{_KEY} is {key_file!r}: {unreadable(error)}") from error
            if len(key) < MIN_KEY_BYTES:
                raise SettingError(f"{_KEY}: {key_file} holds less than {MIN_KEY_BYTES} bytes")
        if not os.access(folder, os.W_OK | os.X_OK) or not Path(folder).is_dir():
            raise SettingError(f"{_FOLDER} is {folder!r}, which is not a folder that can be written to")
        omitted = _fields(_OMIT, [*contract.by_name])
        return cls(Path(folder), contract, omitted=omitted, pseudonyms=pseudonyms, key=key)

    def add(self, request: AnsweredRequest, challenged: Propensities | None) -> None:
        """Keep the predictions of a request until the next `write`.

        Args:
            request: the request.
            challenged: a challenger's propensities for the valid rows, shape (n,); None without a challenger.
        """
        self._kept.append((request, challenged))
        self.rows += len(request.features)

    def write(self, challenger: Predictor | None) -> None:
        """Write the kept predictions into a new file.

        Args:
            challenger: the predictor of the challenger, if any.

        Raises:
            OSError: the file can't be written; the predictions are kept.
        """
        # Imported late: a worker without a log need not hold pyarrow in memory.
        import pyarrow.parquet as pq  # noqa: PLC0415

        if not self.rows:
            return
        now = datetime.now(UTC)
        folder = self._folder / f"date={now:%Y-%m-%d}"
        folder.mkdir(exist_ok=True)
        name = f"{now:%H%M%S.%f}-{socket.gethostname()}-{os.getpid()}.parquet"
        unfinished = folder / f"{name}.part"
        try:
            with unfinished.open("wb") as file:
                pq.write_table(self._table(challenger), file, compression="zstd")
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(folder / name)
        finally:
            unfinished.unlink(missing_ok=True)
        self._kept.clear()
        self.rows = 0

    def _table(self, challenger: Predictor | None) -> pa.Table:
        import pyarrow as pa  # noqa: PLC0415

        requests = [request for request, _ in self._kept]
        rows = [len(request.features) for request in requests]
        features = np.concatenate([request.features for request in requests])

        def per_row(values: list[Any], kind: pa.DataType) -> pa.Array:
            return pa.array(values, kind).take(pa.array(np.repeat(np.arange(len(requests)), rows)))

        ids = [request.request_id.decode() for request in requests]
        if REQUEST_ID in self._pseudonyms:
            ids = [self._pseudonym(name) for name in ids]
        times = [round(request.at * 1_000_000) for request in requests]
        columns: dict[str, Any] = {
            REQUEST_ID: per_row(ids, pa.string()),
            "row": np.concatenate([request.places for request in requests]),
            "predicted_at": per_row(times, pa.timestamp("us", "UTC")),
            "model": per_row([request.model for request in requests], pa.string()).dictionary_encode(),
        }
        for place, field in enumerate(self._contract.columns.fields):
            if field.name not in self._omitted:
                columns[column_of(field.name, self._contract)] = self._column(field, features[:, place])
        propensities = np.concatenate([request.propensities for request in requests])
        thresholds = np.repeat([request.threshold for request in requests], rows)
        columns |= {
            "propensity": pa.array(propensities, from_pandas=True),
            "decision": self._decisions(propensities, thresholds),
            "ms": per_row([request.seconds * 1_000 for request in requests], pa.float32()),
        }
        challenged = np.concatenate(
            [np.full(len(request.features), np.nan) if by is None else by for request, by in self._kept]
        )
        # Always present: queries need not know whether there was a challenger.
        tags = [None if challenger is None else challenger.model] * len(features)
        columns |= {
            "challenger": pa.array(tags, pa.string()).dictionary_encode(),
            "challenger_propensity": pa.array(challenged, from_pandas=True),
            "challenger_decision": self._decisions(
                challenged, np.nan if challenger is None else challenger.threshold
            ),
        }
        return pa.table(columns)

    def _column(self, field: Field, values: Any) -> pa.Array:
        import pyarrow as pa  # noqa: PLC0415

        missing = np.isnan(values)
        if field.categories is not None:
            places = pa.array(np.where(missing, 0, values).astype(np.int32), mask=missing)
            column = pa.DictionaryArray.from_arrays(places, pa.array(field.categories))
        elif field.kind == "boolean":
            column = pa.array(values == 1, mask=missing)
        else:
            column = pa.array(values + 0.0, mask=missing)  # -0.0 is 0, in a hash too
        if field.name not in self._pseudonyms:
            return column
        texts = column.cast(pa.string()).to_pylist()
        return pa.array([text and self._pseudonym(f"{field.name}={text}") for text in texts], pa.string())

    def _decisions(self, propensities: Propensities, thresholds: Any) -> pa.Array:
        import pyarrow as pa  # noqa: PLC0415

        codes = pa.array((propensities >= thresholds).astype(np.int8), mask=np.isnan(propensities))
        return pa.DictionaryArray.from_arrays(codes, pa.array(self._contract.decision_names))

    def _pseudonym(self, value: str) -> str:
        return hmac.new(self._key, value.encode(), hashlib.sha256).hexdigest()[:32]


OWN_COLUMNS = (
    REQUEST_ID, "row", "predicted_at", "model", "propensity", "decision", "ms",
    "challenger", "challenger_propensity", "challenger_decision",
)  # fmt: skip
"""The columns of a log that are no fields; `date` is the name of its folders."""


def column_of(field: str, contract: Contract) -> str:
    """Return the column of a field: its name, with underscores after it where that is taken."""
    others = (*OWN_COLUMNS, "date")
    if field not in others:
        return field
    return free_name(field, {*others, *contract.by_name})


def _fields(setting: str, known: Sequence[str]) -> list[str]:
    # As in CSV: a name may hold a comma, in quotes.
    cells = next(csv.reader([os.environ.get(setting, "")], skipinitialspace=True), [])
    named = [cell.strip() for cell in cells if cell.strip()]
    for name in named:
        if name not in known:
            raise SettingError(f"{setting} names {name!r}; it may name {', '.join(known)}")
    return named


_FOLDER, _KEY = "PROPENSITY_LOG_FOLDER", "PROPENSITY_LOG_KEY"
_OMIT, _PSEUDONYMS = "PROPENSITY_LOG_OMIT", "PROPENSITY_LOG_PSEUDONYMS"

ROWS = whole_number("PROPENSITY_LOG_ROWS", 50_000, at_least=1, at_most=100_000)
SECONDS = whole_number("PROPENSITY_LOG_SECONDS", 60, at_least=1)
"""A file is written after this many predictions, or after this many seconds."""
