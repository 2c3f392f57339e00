"""LimpiApp's architecture: it holds by its rules, and each rule fires on a broken copy."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

from architecture_slides.architecture import LIMPIAPP, Architecture, read
from architecture_slides.capacity import plan, varied
from architecture_slides.rules import RULES, SOURCES, faults
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
    assert len(limpiapp.elements) == 22
    assert {each.id for each in limpiapp.sources} == SOURCES


def one(data: dict[str, Any], group: str, name: str) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = [each for each in data[group] if each["id"] == name]
    return found


def disconnect(data: dict[str, Any], source: str, target: str) -> None:
    data["connections"] = [
        each for each in data["connections"] if (each["from"], each["to"]) != (source, target)
    ]


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
        lambda data: one(data, "flows", "F4").update(answers=["R3a", "R4a"]),
        "R2b: no flow that answers it uses file_processing, objects",
    ),
    "an element that can only be bought": (
        lambda data: one(data, "elements", "bi").update(
            implementations=[{"name": "Metabase", "kind": "managed"}]
        ),
        "bi: needs a managed and an open-source implementation",
    ),
    "a launch choice that is none": (
        lambda data: one(data, "elements", "bi").update(launch="Excel"),
        "bi: launches with 'Excel', which is none of its implementations",
    ),
    "a stack with a stranger": (
        lambda data: data["stacks"][0]["elements"].update(bi="Excel"),
        "gcp: bi is 'Excel', which is none of its implementations",
    ),
    "a stack that leaves something out": (
        lambda data: data["stacks"][1]["elements"].pop("iac"),
        "aws: chooses nothing for iac",
    ),
    "a launch choice that no stack has": (
        lambda data: data["stacks"][2]["elements"].update(bi="Apache Superset"),
        "bi: launches with 'Metabase', which is in no stack",
    ),
    "a wait that no connection has": (
        lambda data: one(data, "flows", "F3")["stages"][1].update(budget=20),
        "F3: waits 20 min at connectors, where no connection does",
    ),
    "a source that comes in by no ingestion": (
        lambda data: one(data, "sources", "ga").update(flow="F10"),
        "ga: comes in by F10, which keeps no SLA of ingestion",
    ),
    "a line where nothing flows": (
        lambda data: one(data, "diagrams", "batch").update(over=[["sql", "cdc"]]),
        "batch: draws from sql to cdc, where nothing flows",
    ),
    "an element that is not drawn": (
        lambda data: data["diagrams"][0]["columns"][4].remove("iac"),
        "iac: is in no diagram",
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
    "a flow that is too slow": (
        lambda data: one(data, "flows", "F1")["stages"][3].update(budget=76),
        "F1: takes up to 121 min, its SLA is 120",
    ),
    "a polled flow that forgets to wait": (
        lambda data: [stage.update({"is": "work"}) for stage in one(data, "flows", "F3")["stages"]],
        "F3: is polled, so it must wait for intervals",
    ),
    "a step that nothing connects": (
        lambda data: disconnect(data, "streaming", "online"),
        "F5: nothing flows from streaming to online",
    ),
    "a model without an action": (
        lambda data: data["models"][0]["scoring"].pop(),
        "realtime: does not score from an event to an action",
    ),
    "a model that is trained and never serves": (
        lambda data: data["models"][1]["training"].pop(),
        "batch: does not train from an event to what serves",
    ),
    "a model that is not there": (
        lambda data: data["models"].pop(),
        "R6b: no model answers it",
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
    worst = {each.id: each.worst for each in limpiapp.flows}
    assert (worst["F1"], worst["F2"], worst["F3"], worst["F4"]) == (75, 75, 110, 96)
    assert (worst["F5"], worst["F6"], worst["F7"]) == (1_460, 75, 80)
    (stream,) = [each for each in limpiapp.flows if each.kind == "stream"]
    # Seven stages: each may break its budget in 1 of 700, all together in 1 of 100.
    assert stream.quantile == pytest.approx(0.99857, abs=1e-5)


def test_the_arithmetic_is_that_of_the_assumptions(limpiapp: Architecture) -> None:
    small, large = plan(limpiapp.capacity, 50), plan(limpiapp.capacity, 20_000)
    assert small.events_per_day == 50 * (180 + 15 + 240 + 40)
    assert small.peak_events_per_second == pytest.approx(23_750 / 86_400 * 10)
    assert small.stored_gb_a_year == pytest.approx(23_750 * 365 * 500 / 5 / 1e9)
    assert small.days_to_first_model == (50, 100)
    assert large.scores_per_second == pytest.approx(125)
    assert large.stored_gb_a_year == pytest.approx(400 * small.stored_gb_a_year)
    assert large.usd_month == pytest.approx(
        large.stored_gb_a_year * 0.02 + large.stored_gb_a_year / 12 / 1_000 * 60 * 6.25 + 1_200
    )
    # The platform's own size hardly matters beside what stands there anyway.
    assert varied(limpiapp.capacity, 20_000, "services_per_day", 2).usd_month < 1.1 * large.usd_month
    assert varied(limpiapp.capacity, 20_000, "fixed_usd_month", 2).usd_month > 1.9 * large.usd_month
    assert (
        varied(limpiapp.capacity, 20_000, "events_per_service", 0.5).events_per_day
        < 0.51 * large.events_per_day
    )


def test_the_calculator_prints_what_it_assumes_and_draws(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "architecture_slides.capacity", "--services-per-day"]
    done = subprocess.run(
        [*command, "20000", "--plot", str(tmp_path / "a.png")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "9,500,000 a day, 110.0/s, 1,099.5/s at the peak" in done.stdout
    assert re.search(r"cost a month    \d,\d{3} USD: storage \d+\.\d\d, queries", done.stdout)
    assert "assumed, not measured:" in done.stdout
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    refused = subprocess.run([*command, "0"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr) == (1, "capacity: --services-per-day must be more than 0\n")
