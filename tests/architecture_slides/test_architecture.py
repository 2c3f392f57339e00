"""LimpiApp's architecture: it holds by its rules, and each rule fires on a broken copy."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

from architecture_slides.limpiapp.architecture import LIMPIAPP, Architecture, read
from architecture_slides.limpiapp.capacity import (
    VARIED,
    credits_usd_month,
    plan,
    sensitivity,
    services_per_arm,
    services_within_export,
    unmoving,
    varied,
)
from architecture_slides.limpiapp.churn_sketch import WINDOW_SECONDS
from architecture_slides.limpiapp.rules import RULES, SOURCES, faults
from architecture_slides.typesetting.content import ContentError

pytestmark = pytest.mark.thorough

DATA: dict[str, Any] = yaml.safe_load(LIMPIAPP.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def limpiapp() -> Architecture:
    return read()


def test_the_architecture_holds_by_every_rule(limpiapp: Architecture) -> None:
    assert faults(limpiapp) == []


def test_the_requirements_are_the_briefs(limpiapp: Architecture) -> None:
    assert [each.id for each in limpiapp.requirements] == (
        ["R1a", "R1b", "R1c", "R2a", "R2b", "R3a", "R3b", "R4a", "R4b", "R4c", "R5a", "R5b", "R6a", "R6b"]
    )
    assert {each.id for each in limpiapp.sources} == SOURCES


def test_two_or_three_people_start_with_ten_elements(limpiapp: Architecture) -> None:
    by_phase = Counter(each.phase for each in limpiapp.elements)
    assert by_phase == {"now": 1, "P0": 4, "P1": 10, "P2": 8, "P3": 3}


def one(data: dict[str, Any], group: str, name: str) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = [each for each in data[group] if each["id"] == name]
    return found


def disconnect(data: dict[str, Any], source: str, target: str) -> None:
    data["connections"] = [
        each for each in data["connections"] if (each["from"], each["to"]) != (source, target)
    ]


def product(data: dict[str, Any], element: str, name: str) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = [each for each in one(data, "elements", element)["implementations"] if each["name"] == name]
    return found


def take_instead(data: dict[str, Any], stack: str, element: str, name: str, **ends: list[str]) -> None:
    """Add a product to an element, and have a stack choose it."""
    one(data, "elements", element)["implementations"].append({"name": name, "kind": "managed", **ends})
    one(data, "stacks", stack)["elements"][element] = name


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "an id that does not exist": (
        lambda data: one(data, "flows", "F1")["stages"][0].update(element="cdcc"),
        "F1: names 'cdcc', which does not exist",
    ),
    "an id twice": (
        lambda data: data["risks"][0].update(id="K2"),
        "K2: stands for 2 things",
    ),
    "a requirement that no element answers": (
        lambda data: one(data, "elements", "catalogue").update(answers=["R1a"]),
        "R1c: no element answers it",
    ),
    "a requirement whose elements are in no flow for it": (
        lambda data: [one(data, "flows", name).update(answers=["R3a", "R4a"]) for name in ("F4", "F15")],
        "R2b: no flow that answers it uses connectors, file_processing, objects",
    ),
    "an element that can only be bought": (
        lambda data: one(data, "elements", "bi").update(alternative="Looker"),
        "bi: names no open-source implementation",
    ),
    "an element that can only be run by oneself": (
        lambda data: one(data, "elements", "bi").update(launch="Metabase"),
        "bi: names no managed implementation",
    ),
    "a launch choice that is none": (
        lambda data: one(data, "elements", "bi").update(launch="Excel"),
        "bi: names 'Excel', which is none of its implementations",
    ),
    "a stack with a stranger": (
        lambda data: data["stacks"][0]["elements"].update(bi="Excel"),
        "gcp: bi is 'Excel', which is none of its implementations",
    ),
    "a stack that leaves something out": (
        lambda data: data["stacks"][1]["elements"].pop("iac"),
        "aws: chooses nothing for iac",
    ),
    "a capture of changes that writes no topic": (
        lambda data: take_instead(data, "gcp", "cdc", "Datastream", takes=["wal"], gives=["bigquery", "gcs"]),
        "gcp: C2: Google Managed Kafka takes nothing that Datastream gives",
    ),
    "a feature store that a stream can not write": (
        lambda data: take_instead(data, "gcp", "online", "Agent Platform FS", takes=["bigquery"]),
        "gcp: C24: Agent Platform FS takes nothing that Google Dataflow gives",
    ),
    "a sink that is to query the store": (
        lambda data: take_instead(
            data, "open", "reverse", "Kafka Connect sink", takes=["topic"], gives=["api"]
        ),
        "open: C36: Kafka Connect sink takes nothing that Trino + Polaris gives",
    ),
    "Google Analytics where no BigQuery is its landing zone": (
        lambda data: product(data, "sql", "Athena + Iceberg")["takes"].remove("bigquery"),
        "aws: C14: Athena + Iceberg takes nothing that Google Analytics gives",
    ),
    "a launch whose products do not meet": (
        lambda data: product(data, "landing", "Aiven BigQuery Sink").update(gives=["iceberg"]),
        "launch: C16: BigQuery takes nothing that Aiven BigQuery Sink gives",
    ),
    "a delivery that reads another cloud's bus": (
        lambda data: one(data, "stacks", "gcp")["elements"].update(landing="Amazon Data Firehose"),
        "gcp: C15: Amazon Data Firehose takes nothing that Google Managed Kafka gives",
    ),
    "a topic past the bus": (
        lambda data: one(data, "connections", "C27").update({"from": "streaming"}),
        "open: C27: a topic passes from streaming to policy past the bus",
    ),
    "a second bus": (
        lambda data: one(data, "sources", "backend").update(name="Kafka: app topics"),
        "backend: is a second bus",
    ),
    "a part that is not on the picture": (
        lambda data: data["picture"]["spots"].pop("bi"),
        "bi: is on the picture 0 times",
    ),
    "parts that lie over one another": (
        lambda data: data["picture"]["spots"]["identity"].update(y=200),
        "picture: transform and identity overlap",
    ),
    "a connection that is not drawn": (
        lambda data: data["picture"]["ways"].pop("C13"),
        "C13: is not drawn",
    ),
    "a connection without a number": (
        lambda data: data["picture"]["routes"][12].update(connections=["C20"]),
        "C21: is in 0 routes of the picture",
    ),
    "a line that ends beside its part": (
        lambda data: data["picture"]["ways"].update(C13=[[290, 321], [500, 321]]),
        "C13: is not drawn as far as sql",
    ),
    "an element that nothing uses": (
        lambda data: one(data, "flows", "F10")["stages"].pop(),
        "bi: is in no flow",
    ),
    "a source that does not come in": (
        lambda data: disconnect(data, "hubspot", "connectors"),
        "hubspot: does not come in",
    ),
    "an external service that nothing goes back to": (
        lambda data: disconnect(data, "reverse", "freshdesk"),
        "freshdesk: nothing goes back to it",
    ),
    "a return that is not marked": (
        lambda data: one(data, "connections", "C38").pop("back"),
        "C38: is a return that is not marked",
    ),
    "a return that is not drawn": (
        lambda data: data["picture"]["ways"].pop("C41"),
        "C41: is a return that is not drawn",
    ),
    "a way home that ends nowhere": (
        lambda data: one(data, "connections", "C24").update(homeward=True),
        "C24: is on its way to no return",
    ),
    "a wait that no connection has": (
        lambda data: one(data, "flows", "F3")["stages"][1].update(budget=20),
        "F3: waits 20 min at connectors, where no connection does",
    ),
    "a cost of fewer runs than there are": (
        lambda data: data["capacity"].update(runs_per_day=48),
        "capacity: counts 48 runs a day, C43 makes 96",
    ),
    "a source that comes in by no ingestion": (
        lambda data: one(data, "sources", "ga").update(flow="F10"),
        "ga: comes in by F10, which keeps no SLA of ingestion",
    ),
    "a flow that is too slow if a run is retried": (
        lambda data: one(data, "flows", "F15")["stages"][0].update(budget=15),
        "F15: takes up to 121 min with 2 retries, its SLA is 120",
    ),
    "a stream that is too slow": (
        lambda data: one(data, "flows", "F5")["stages"][1].update(budget=1_101),
        "F5: takes up to 2001 ms, its SLA is 2000",
    ),
    "a polled flow that forgets to wait": (
        lambda data: [stage.update({"is": "work"}) for stage in one(data, "flows", "F3")["stages"]],
        "F3: is polled, so it must wait for intervals",
    ),
    "a run that is not done when the next begins": (
        lambda data: one(data, "flows", "F1")["stages"][5].update(budget=20),
        "F1: transform runs for 20 min every 15",
    ),
    "a step that nothing connects": (
        lambda data: disconnect(data, "streaming", "online"),
        "F5: nothing flows from streaming to online",
    ),
    "an answer to what was not called": (
        lambda data: one(data, "connections", "C25").pop("call"),
        "F5: nothing flows from serving to streaming",
    ),
    "a model without an action": (
        lambda data: data["models"][0]["scoring"].pop(),
        "realtime: does not score from an event to an action",
    ),
    "a model that is trained and never scores": (
        lambda data: data["models"][1]["training"].pop(),
        "batch: does not train from an event to what scores",
    ),
    "a model that is not there": (
        lambda data: data["models"].pop(),
        "R6b: no model answers it",
    ),
    "a first day with too much": (
        lambda data: one(data, "elements", "catalogue").update(phase="P1"),
        "day one: has 11 elements, not 9 or 10",
    ),
    "a decision that is not taken": (
        lambda data: data["adrs"][1]["options"][0].update(chosen=False),
        "D2: 0 options are chosen",
    ),
    "a page too many": (
        lambda data: one(data, "pages", "latency").update(annex=False),
        "pages: 13 are main pages, not 12",
    ),
    "a main page after the annex": (
        lambda data: data["pages"].append(data["pages"].pop(0)),
        "pages: a main page comes after the annex",
    ),
    "a main page with too many words": (
        lambda data: one(data, "pages", "summary")["notes"][0]["points"][0].update(es="palabra " * 40),
        "summary: has 91 words in es, 60 are allowed",
    ),
}


def broken(break_it: Callable[[dict[str, Any]], object]) -> Architecture:
    data = copy.deepcopy(DATA)
    break_it(data)
    return Architecture.model_validate(data)


@pytest.mark.parametrize("name", BROKEN)
def test_each_rule_fires_on_a_broken_copy(name: str) -> None:
    break_it, said = BROKEN[name]
    assert said in faults(broken(break_it))


def test_no_rule_is_left_untried() -> None:
    fired = set()
    for break_it, said in BROKEN.values():
        copied = broken(break_it)
        fired |= {rule.__name__ for rule in RULES if said in [*rule(copied)]}
    assert fired == {rule.__name__ for rule in RULES}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data["elements"][0]["why"].pop("en"), "elements.0.why.en: Field required"),
        (
            lambda data: data["requirements"][3].update(es=""),
            "requirements.3.es: String should have at least 1",
        ),
        (lambda data: data["flows"][0].update(owner="me"), "flows.0.owner: Extra inputs are not permitted"),
        (lambda data: data.pop("adrs"), "adrs: Field required"),
    ],
)
def test_what_is_missing_such_as_a_translation_is_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    data = copy.deepcopy(DATA)
    change(data)
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(ContentError) as error:
        read(tmp_path / "a.yaml")
    assert str(error.value).startswith(f"{tmp_path / 'a.yaml'}: {said}")


def test_what_is_no_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: [")
    with pytest.raises(ContentError, match=r"a\.yaml: while parsing"):
        read(tmp_path / "a.yaml")
    with pytest.raises(ContentError, match=r"none\.yaml: No such file"):
        read(tmp_path / "none.yaml")


def test_the_worst_cases_are_the_sums_of_their_stages(limpiapp: Architecture) -> None:
    worst = {each.id: (each.worst, each.worst_with_retry) for each in limpiapp.flows}
    assert (worst["F1"], worst["F3"], worst["F15"]) == ((40, 50), (64, 74), (83, 95))
    assert (worst["F5"][0], worst["F6"][0], worst["F7"][0]) == (1_400, 62, 37)
    (stream,) = [each for each in limpiapp.flows if each.kind == "stream"]
    # Nine stages: each may break its budget in 1 of 900, all together in 1 of 100.
    assert stream.quantile == pytest.approx(0.99889, abs=1e-5)


def test_the_window_is_that_of_the_sketch(limpiapp: Architecture) -> None:
    assert limpiapp.capacity.window_seconds == WINDOW_SECONDS


def test_the_arithmetic_is_that_of_the_assumptions(limpiapp: Architecture) -> None:
    of = limpiapp.capacity
    small, large = plan(of, 50), plan(of, 20_000)
    assert small.events_per_day == 50 * (180 + 15 + 240 + 40)
    assert small.peak_events_per_second == pytest.approx(23_750 / 86_400 * 10)
    assert small.stored_gb_a_year == pytest.approx(23_750 * 365 * 500 / 5 / 1e9)
    assert large.stored_gb_a_year == pytest.approx(400 * small.stored_gb_a_year)
    # A score a minute of 45, and one for each of 15 changes of state; the peak is that of the events.
    assert large.peak_scores_per_second == pytest.approx(20_000 * (45 + 15) / 86_400 * 10)
    day = 9_500_000 * 500
    # The month is read 60 times, each of its days 96 times.
    read = day * 365 / 12 * (96 + 60) / 2**40
    assert large.read_tib_month == pytest.approx(read)
    assert large.query_usd_month == pytest.approx((read - 1) * 8.9375)
    assert large.storage_usd_month == pytest.approx(day * 365 / 5 / 2**30 * 0.06)
    assert large.export_usd_month == pytest.approx(1_000_000 * 500 * 365 / 12 / 1e9 * 0.05)
    assert large.platform_usd_month == pytest.approx(large.volume_usd_month + 1_200)
    assert large.usd_month == pytest.approx(large.platform_usd_month + 2.5 * 4_500)
    # Forty tables are paid for by 10 MiB at least, 96 times a day, however small they are.
    least = 365 / 12 * (96 * 40 * 10 * 2**20 + 60 * 23_750 * 500) / 2**40
    assert small.read_tib_month == pytest.approx(least)
    # What is free is not paid back.
    assert plan(of.model_copy(update={"free_tib_month": 2}), 50).query_usd_month == 0


def test_an_experiment_needs_as_many_services_as_two_proportions_do(limpiapp: Architecture) -> None:
    # Of 8 and 6 %, at 5 % and a power of 80 %: some 2,550, by any table of sample sizes.
    assert services_per_arm(limpiapp.capacity) == pytest.approx(2_554, abs=5)


def test_compression_makes_storage_cheaper_and_no_query(limpiapp: Architecture) -> None:
    of = limpiapp.capacity
    base, packed = plan(of, 20_000), varied(of, 20_000, "compression", 2)
    assert packed.storage_usd_month == pytest.approx(base.storage_usd_month / 2)
    assert packed.query_usd_month == base.query_usd_month


def test_a_query_costs_what_it_does_where_the_data_are(limpiapp: Architecture) -> None:
    of = limpiapp.capacity
    here, there = plan(of, 20_000), plan(of.model_copy(update={"location": "us"}), 20_000)
    assert here.query_usd_month == pytest.approx(there.query_usd_month * 8.9375 / 6.25)


def test_weeks_of_seasons_are_the_least_that_a_model_waits_for(limpiapp: Architecture) -> None:
    assert plan(limpiapp.capacity, 20_000).days_to_first_model == (56, 56)


def test_labels_come_slower_once_rules_act(limpiapp: Architecture) -> None:
    # Four cancellations a day for six weeks, then the half of them that nobody intervenes in.
    assert plan(limpiapp.capacity, 50).days_to_first_model == (42 + 32 / 2, 42 + 232 / 2)


def test_only_people_and_what_is_fixed_move_the_sum(limpiapp: Architecture) -> None:
    moved = sensitivity(limpiapp.capacity, 20_000)
    assert [*moved][:2] == ["engineers", "fixed_usd_month"]
    assert {*VARIED} - {*unmoving(limpiapp.capacity, 20_000)} == {"engineers", "fixed_usd_month"}
    assert moved["engineers"] > 0.8
    changed = varied(limpiapp.capacity, 20_000, "events_per_service", 0.5)
    assert changed.events_per_day == pytest.approx(plan(limpiapp.capacity, 20_000).events_per_day / 2)


def test_clicks_beyond_what_google_analytics_exports_are_told(limpiapp: Architecture) -> None:
    assert services_within_export(limpiapp.capacity) == pytest.approx(4_166.7, abs=0.1)


def test_an_orchestrator_that_bills_assets_is_dear_at_short_intervals(limpiapp: Architecture) -> None:
    assert credits_usd_month(limpiapp.capacity) == pytest.approx(100 + 96 * 365 / 12 * 40 * 0.035)


def test_the_calculator_prints_what_it_assumes() -> None:
    command = [sys.executable, "-m", "architecture_slides.limpiapp.capacity", "--services-per-day"]
    done = subprocess.run(
        [*command, "20000", "--location", "us"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "9,500,000 a day, 110.0/s, 1,099.5/s at the peak" in done.stdout
    assert re.search(r"cost a month    \d,\d{3} USD without people: storage \d+\.\d\d, queries", done.stdout)
    assert re.search(r"does not        .*compression.*: halved or doubled, each less than 5%", done.stdout)
    assert "assumed, not measured:" in done.stdout
    assert "us: 6.25 a TiB scanned" in done.stdout
    refused = subprocess.run([*command, "0"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr) == (1, "capacity: --services-per-day must be more than 0\n")
