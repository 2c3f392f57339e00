"""LimpiApp's real-time churn path, small: events, windows, rules behind a Bento's batch API, decisions.

Kafka's protocol is real, between its clients and a broker that librdkafka simulates; the scorer is a BentoML
service, called as over HTTP. Shown: duplicates and crashes act once, and a scorer that does not answer holds
nobody up. Not shown: latency in production, throughput, and a broker that fails; those need a cluster.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Annotated, Any

import bentoml
import httpx2
from bentoml.validators import ContentType
from confluent_kafka import OFFSET_STORED, Consumer, Producer, TopicPartition
from pydantic import BaseModel
from starlette.testclient import TestClient

EVENTS, DECISIONS = "service-events", "churn-decisions"
WINDOW_SECONDS, THRESHOLD, SCORING_SECONDS = 300, 0.5, 0.12
COLD = {"earlier_cancellations": 0, "is_cold": True}
Event = dict[str, Any]


class Features(BaseModel):
    """What is known of a service in course."""

    minutes_late: float
    contacts: int
    earlier_cancellations: int
    is_cold: bool


class Score(BaseModel):
    """The propensity to cancel, by rules as by a model later."""

    propensity: float
    model: str


def by_rules(row: Features) -> float:
    """The propensity of a service in course to be cancelled."""
    return min(1, 0.05 + 0.02 * row.minutes_late + 0.15 * row.contacts + 0.1 * row.earlier_cancellations)


@bentoml.service(metrics={"enabled": False})
class Churn:
    """Rules in the shape of a model: many rows in, as many out, in order."""

    @bentoml.api(route="/v1/predict_batch")  # type: ignore[untyped-decorator]
    def predict_batch(
        self, services: list[Features]
    ) -> Annotated[list[Score], ContentType("application/json")]:
        """The score of each service, in order."""
        return [Score(propensity=by_rules(row), model="churn-rules:1") for row in services]


class BrokerError(Exception):
    """A message that was not delivered."""


class Broker:
    """A simulated one, and its clients."""

    def __init__(self) -> None:
        self._simulated = Producer(
            {"bootstrap.servers": "simulated", "test.mock.num.brokers": 1, "log_level": 0}
        )
        self._partitions = {
            topic: [*self._simulated.list_topics(topic, timeout=10).topics[topic].partitions]
            for topic in (EVENTS, DECISIONS)
        }
        (found,) = self._simulated.list_topics(timeout=10).brokers.values()
        self._common = {"bootstrap.servers": f"{found.host}:{found.port}", "log_level": 0}
        self._consumers: list[Consumer] = []

    def send(self, topic: str, messages: dict[str, list[Event]]) -> None:
        """Send messages, by their keys, and wait until the broker has them.

        Raises:
            BrokerError: it does not take them.
        """
        producer = Producer({**self._common, "enable.idempotence": True})
        for key, values in messages.items():
            for value in values:
                producer.produce(topic, json.dumps(value), key=key)
        if producer.flush(10):
            raise BrokerError(f"{topic}: messages were not taken")

    def consumer(self, group: str, topic: str) -> Consumer:
        """A consumer of all partitions of a topic, from where its group has committed."""
        wanted = {
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            # A fetch that waits for more holds up what is asked on the same connection.
            "fetch.wait.max.ms": 20,
        }
        made = Consumer({**self._common, **wanted})
        made.assign([TopicPartition(topic, each, OFFSET_STORED) for each in self._partitions[topic]])
        self._consumers.append(made)
        return made

    def close(self) -> None:
        """Close the consumers."""
        for each in self._consumers:
            each.close()


def received(of: Consumer) -> Iterator[Event]:
    """What has come by now and was not received yet.

    Raises:
        BrokerError: a message that the broker has does not come.
    """
    partitions = of.assignment()
    begin = zip(of.committed(partitions, timeout=10), of.position(partitions), strict=True)
    ends = [of.get_watermark_offsets(each, timeout=10)[1] for each in partitions]
    # An offset below zero says that there is none.
    done = [max(0, committed.offset, position.offset) for committed, position in begin]
    for _ in range(sum(ends) - sum(done)):
        message = of.poll(10)
        if message is None or message.error() is not None:
            raise BrokerError("a message does not come")
        yield json.loads(message.value() or b"")


class ChurnPath:
    """The path from events to decisions."""

    def __init__(
        self, broker: Broker, scorer: httpx2.Client | TestClient, history: dict[str, dict[str, Any]]
    ) -> None:
        self._broker, self._scorer, self._history = broker, scorer, history
        self._consumer = broker.consumer("churn", EVENTS)
        self._windows: dict[str, dict[str, Event]] = defaultdict(dict)

    def run(self, *, crash: bool = False) -> None:
        """Decide upon all that has come; a crash loses the commit, after the decisions are out."""
        last: dict[str, Event] = {}
        for event in received(self._consumer):
            # By event id, so that an event that comes again changes nothing.
            self._windows[event["service"]][event["id"]] = event
            last[event["service"]] = max(
                last.get(event["service"], event), event, key=lambda each: each["at"]
            )
        rows = [self._features(event) for event in last.values()]
        decisions = {
            service: [self._decision(event, row, score)]
            for (service, event), row, score in zip(last.items(), rows, self._scores(rows), strict=True)
        }
        self._broker.send(DECISIONS, decisions)
        if not crash:
            self._consumer.commit(asynchronous=False)

    def _features(self, last: Event) -> Features:
        events = self._windows[last["service"]].values()
        within = [each for each in events if each["at"] > last["at"] - WINDOW_SECONDS]
        return Features(
            minutes_late=max((each["minutes"] for each in within), default=0),
            contacts=sum(each["kind"] == "contact" for each in within),
            **self._history.get(last["customer"], COLD),
        )

    def _scores(self, rows: list[Features]) -> list[dict[str, Any] | None]:
        try:
            services = [row.model_dump() for row in rows]
            answer = self._scorer.post("/v1/predict_batch", json={"services": services})
            answer.raise_for_status()
        except httpx2.HTTPError:
            return [None] * len(rows)
        scores: list[dict[str, Any] | None] = answer.json()
        return scores

    @staticmethod
    def _decision(event: Event, row: Features, score: dict[str, Any] | None) -> Event:
        """The decision with features and score: joined with the outcome, these train the first model."""
        helps = score is not None and score["propensity"] >= THRESHOLD
        return {
            "key": f"{event['service']}/{event['at'] // WINDOW_SECONDS}",
            "action": "offer help" if helps else "none",
            "features": row.model_dump(),
            "score": score,
        }


class Backend:
    """LimpiApp's side: acts once for a key, whatever was decided to leave alone before."""

    def __init__(self, broker: Broker) -> None:
        self._consumer = broker.consumer("backend", DECISIONS)
        self.last: dict[str, Event] = {}
        self.actions: list[str] = []
        self.received = 0

    def run(self) -> None:
        """Act on all decisions that have come."""
        for decision in received(self._consumer):
            self.received += 1
            self.last[decision["key"]] = decision
            if decision["action"] != "none" and decision["key"] not in self.actions:
                self.actions.append(decision["key"])
