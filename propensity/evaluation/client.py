"""The client of the evaluation: the running service, asked through one connection."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from propensity.model.manifest import ModelCard

BATCH = 1_000
"""Applications a request, when they are sent as batches."""


class EvaluationError(Exception):
    """An evaluation that can't be made; the message says what is missing."""


class Api:
    """The running service, through one connection."""

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
        """Of the model that answers."""
        return ModelCard.model_validate(self._ask("GET", "/v1/model"))

    def one_by_one(self, applications: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The prediction of each application, in a request of its own."""
        for application in applications:
            yield self._ask("POST", "/v1/predict", application)

    def batch(self, applications: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The predictions of all, in requests of `BATCH`.

        Raises:
            EvaluationError: there is a problem in the place of one.
        """
        found: list[dict[str, Any]] = []
        for start in range(0, len(applications), BATCH):
            body = {"applications": applications[start : start + BATCH]}
            found += self._ask("POST", "/v1/predict_batch", body)["predictions"]
        for place, row in enumerate(found):
            if "propensity" not in row:
                raise EvaluationError(f"application {place}: {row['detail']}")
        return found

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        content = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, self._base + path, content, self._headers)
            answer = self._connection.getresponse()
            found = json.loads(answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise EvaluationError(f"{self._url} does not answer ({error}); `make serve` starts it") from error
        except ValueError as error:
            raise EvaluationError(f"{self._url}{path} does not answer JSON: is it this service?") from error
        if answer.status != http.client.OK:
            raise EvaluationError(f"{self._url}{path} answers {answer.status}: {found.get('detail')}")
        return found
