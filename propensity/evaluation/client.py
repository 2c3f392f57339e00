"""A client of the running service."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from propensity.contract.contract import Contract
from propensity.evaluation.errors import EvaluationError
from propensity.model.manifest import ModelCard

BATCH = 1_000
"""Rows per request of `Api.batch`."""


class Api:
    """The API of the running service, over one connection: a connection per prediction takes far longer."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise EvaluationError(f"{url!r} is not the URL of a service, such as http://127.0.0.1:3000")
        connections = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        self._connection = connections[parts.scheme](parts.hostname, parts.port, timeout=60)
        self._base = parts.path.rstrip("/")
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def model_card(self) -> ModelCard:
        """Return the card of the model that the service serves."""
        try:
            return ModelCard.model_validate(self._request("GET", "/v1/model"))
        except ValidationError as error:
            (first, *_) = error.errors(include_url=False)
            raise EvaluationError(
                f"{self._url}/v1/model: {'.'.join(map(str, first['loc']))}: {first['msg']}; is it of this"
                " version?"
            ) from error

    def one_by_one(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the prediction of each row, from a request of its own."""
        for row in rows:
            yield self._request("POST", "/v1/predict", row)

    def batch(self, rows: Sequence[dict[str, Any]], contract: Contract) -> list[dict[str, Any]]:
        """Return the predictions of all rows, from requests of `BATCH` each.

        Args:
            rows: as callers send them.
            contract: their contract.

        Raises:
            EvaluationError: a row has a problem instead.
        """
        predictions: list[dict[str, Any]] = []
        for start in range(0, len(rows), BATCH):
            body = {contract.rows: rows[start : start + BATCH]}
            predictions += self._request("POST", "/v1/predict_batch", body)["predictions"]
        for place, prediction in enumerate(predictions):
            if "propensity" not in prediction:
                raise EvaluationError(f"{contract.row} {place}: {prediction['detail']}")
        return predictions

    def _request(self, method: str, path: str, body: object = None) -> Any:
        content = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, self._base + path, content, self._headers)
            response = self._connection.getresponse()
            document = json.loads(response.read())
        except (OSError, http.client.HTTPException) as error:
            raise EvaluationError(f"{self._url} does not answer ({error}); `make serve` starts it") from error
        except ValueError as error:
            raise EvaluationError(f"{self._url}{path} does not answer JSON: is it this service?") from error
        if response.status != http.client.OK:
            raise EvaluationError(f"{self._url}{path} answers {response.status}: {document.get('detail')}")
        return document
