"""The sketch of LimpiApp's real-time churn path: acts once, and never waits for a scorer."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx2
import pytest
from starlette.testclient import TestClient

from architecture_slides.limpiapp.churn_sketch import (
    COLD,
    EVENTS,
    SCORING_SECONDS,
    WINDOW_SECONDS,
    Backend,
    Broker,
    Churn,
    ChurnPath,
    Event,
)

pytestmark = [
    pytest.mark.thorough,
    # BentoML's, in its own code.
    pytest.mark.filterwarnings("ignore:Accessing the 'model_fields' attribute:DeprecationWarning"),
]


@pytest.fixture
def broker() -> Iterator[Broker]:
    made = Broker()
    yield made
    made.close()


@pytest.fixture
def backend(broker: Broker) -> Backend:
    return Backend(broker)


@pytest.fixture(scope="module")
def scorer() -> Iterator[TestClient]:
    with TestClient(Churn.to_asgi()) as client:  # type: ignore[attr-defined]
        yield client


def event(number: int, service: str, kind: str, at: int, minutes: float = 0) -> Event:
    made = {"service": service, "customer": f"of {service}", "kind": kind, "at": at, "minutes": minutes}
    return {"id": f"{service}-{number}", **made}


KNOWN = {f"of {service}": {"earlier_cancellations": 2, "is_cold": False} for service in ("late", "calm")}
TROUBLE = {
    "late": [event(1, "late", "late", 10, minutes=12), event(2, "late", "contact", 20)],
    "calm": [event(1, "calm", "late", 15, minutes=1)],
}


def test_a_service_in_trouble_gets_help_and_a_calm_one_is_left_alone(
    broker: Broker, scorer: TestClient, backend: Backend
) -> None:
    broker.send(EVENTS, TROUBLE)
    path = ChurnPath(broker, scorer, KNOWN)
    path.run()
    backend.run()
    assert backend.actions == ["late/0"]
    assert backend.last["late/0"]["score"] == {"propensity": pytest.approx(0.64), "model": "churn-rules:1"}
    assert backend.last["calm/0"]["score"]["propensity"] == pytest.approx(0.27)
    # Trouble that comes later in the same window is acted upon, too.
    broker.send(EVENTS, {"calm": [event(2, "calm", "late", 30, minutes=20)]})
    path.run()
    backend.run()
    assert backend.actions == ["late/0", "calm/0"]
    # What has left the window counts no more.
    broker.send(EVENTS, {"late": [event(3, "late", "contact", 20 + WINDOW_SECONDS)]})
    path.run()
    backend.run()
    assert backend.last["late/1"]["features"] == {"minutes_late": 0, "contacts": 1, **KNOWN["of late"]}
    assert backend.actions == ["late/0", "calm/0"]


def test_duplicates_and_a_crash_before_the_commit_act_once(
    broker: Broker, scorer: TestClient, backend: Backend
) -> None:
    broker.send(EVENTS, {service: events * 2 for service, events in TROUBLE.items()})
    ChurnPath(broker, scorer, KNOWN).run(crash=True)
    ChurnPath(broker, scorer, KNOWN).run()
    backend.run()
    assert backend.received == 4
    assert backend.last["late/0"]["features"]["contacts"] == 1
    assert backend.actions == ["late/0"]
    # Once committed, none of the six events comes again.
    reader = broker.consumer("churn", EVENTS)
    committed = reader.committed(reader.assignment(), timeout=10)
    assert sum(max(each.offset, 0) for each in committed) == 6


@pytest.mark.parametrize("is_there", [False, True], ids=["nobody there", "silent"])
def test_without_a_score_in_time_the_service_goes_on_without_intervention(
    broker: Broker, backend: Backend, is_there: bool
) -> None:
    broker.send(EVENTS, TROUBLE)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if is_there:
            server.listen()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with httpx2.Client(base_url=url, timeout=SCORING_SECONDS) as scorer:
            ChurnPath(broker, scorer, KNOWN).run()
    backend.run()
    assert [(each["action"], each["score"]) for each in backend.last.values()] == [("none", None)] * 2
    assert backend.last["late/0"]["features"]["minutes_late"] == 12


def test_a_customer_without_history_is_scored_by_defaults_and_flagged(
    broker: Broker, scorer: TestClient, backend: Backend
) -> None:
    broker.send(EVENTS, TROUBLE)
    ChurnPath(broker, scorer, {}).run()
    backend.run()
    assert backend.last["late/0"]["features"] == {"minutes_late": 12, "contacts": 1, **COLD}
    assert backend.last["late/0"]["score"]["propensity"] == pytest.approx(0.44)
    assert backend.actions == []
