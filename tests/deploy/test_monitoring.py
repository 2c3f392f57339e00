"""The monitoring: rules and dashboard read what the service exposes, and a real Prometheus takes it all."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from conftest import AUTHORIZED, METRICS_TOKEN, ROOT
from demonstration import EXAMPLE
from exposition import exposed
from servers import serving
from starlette.testclient import TestClient

from deploy import monitoring
from load_tests.compare.server import free_port
from propensity.app import PredictionApp
from propensity.contract.limits import MAX_IN_FLIGHT
from propensity.contract.problem import Kind

DEPLOY = ROOT / "deploy"
RULES_TEST = DEPLOY / "prometheus/rules_test.yaml"
GROUPS = yaml.safe_load(monitoring.RULES.read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
PANELS = json.loads(monitoring.DASHBOARD.read_text())["panels"]

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("promtool") and shutil.which("prometheus")),
    reason="no Prometheus (apt install prometheus)",
)


def test_what_is_made_of_the_rules_and_panels_is_up_to_date() -> None:
    assert monitoring.PROMETHEUS_RULE.read_text() == monitoring.prometheus_rule()
    assert monitoring.DASHBOARD.read_text() == monitoring.dashboard()
    groups = yaml.safe_load(monitoring.prometheus_rule())["spec"]["groups"]
    changed = [
        (rule, installed)
        for group, other in zip(GROUPS, groups, strict=True)
        for rule, installed in zip(group["rules"], other["rules"], strict=True)
        if rule != installed
    ]
    ((rule, installed),) = changed
    assert rule["alert"] == installed["alert"] == monitoring.DOWN
    assert {**installed, "expr": rule["expr"]} == rule
    assert monitoring.namespaces() == ["propensity", "propensity-staging"]


Metrics = dict[str, tuple[str, set[str]]]


@pytest.fixture(scope="module")
def metrics(client: TestClient) -> Metrics:
    return exposed(client)


def expressions() -> dict[str, str]:
    """What rules and panels ask for, by where it stands."""
    found = {rule.get("alert") or rule["record"]: rule["expr"] for rule in RULES}
    for panel in PANELS:
        for target in panel["targets"]:
            found[f"{panel['title']}, {target['refId']}"] = target["expr"]
    return found


def unknown(expression: str, metrics: Metrics) -> set[str]:
    """Series and labels in an expression that neither the service exposes nor a rule records."""
    code = re.sub(r"#.*", "", expression)
    parts = {
        f"{name}{suffix}": labels
        for name, (kind, labels) in metrics.items()
        for suffix in (["_bucket", "_sum", "_count"] if kind == "histogram" else [""])
    }
    faults = {
        name
        for name in re.findall(
            r"\b((?:bentoml|propensity)[\w:]+)", re.sub(r"\{[^}]*\}|\([a-z_, ]*\)", "", code)
        )
        if name not in parts and name not in RECORDED
    }
    for name, matchers in re.findall(r"\b(\w+)\{([^}]*)\}", code):
        asked = set(re.findall(r"(\w+)=", matchers)) - {"namespace", "track", "le"}
        faults |= {f"{name}{{{label}}}" for label in asked - parts.get(name, set())}
    return faults


@pytest.mark.parametrize("where", expressions())
def test_rules_and_panels_ask_for_what_there_is(metrics: Metrics, where: str) -> None:
    assert unknown(expressions()[where], metrics) == set()


def test_ratios_are_of_the_requests_of_every_operation_that_predicts(app: PredictionApp) -> None:
    ratios = [rule["expr"] for rule in RULES if rule.get("record", "").startswith("propensity:fault_ratio:")]
    patterns = {pattern for expr in ratios for pattern in re.findall(r'endpoint=~"([^"]+)"', expr)}
    (drawn,) = set(re.findall(r'endpoint=~\\"([^"]+)\\"', monitoring.DASHBOARD.read_text()))
    assert patterns == {drawn}
    predicting = {path for path in app._known_paths() if re.fullmatch(drawn, path)}
    assert predicting == {*app._operations}


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("rate(bentoml_service_requests_total[5m])", {"bentoml_service_requests_total"}),
        ('sum(propensity_rows_total{decision="x"})', {"propensity_rows_total{decision}"}),
        ("propensity:error_ratio:rate5m > 1", {"propensity:error_ratio:rate5m"}),
        ("rate(propensity_predicted[5m])", {"propensity_predicted"}),
    ],
)
def test_an_expression_that_asks_for_what_is_not_there_is_found(
    metrics: Metrics, expression: str, said: set[str]
) -> None:
    assert unknown(expression, metrics) == said


def test_kinds_bounds_and_buckets_in_rules_are_those_of_the_service(client: TestClient) -> None:
    text = monitoring.RULES.read_text()
    kinds = {kind.anchor for kind in Kind}
    named = {
        kind for alternatives in re.findall(r'kind=~?"([^"]+)"', text) for kind in alternatives.split("|")
    }
    assert named <= kinds
    assert {"unexpected", "overloaded", "invalid-row"} <= named
    assert f"> {MAX_IN_FLIGHT // 2}" in ALERTS["PropensitySaturated"]["expr"]
    metrics = client.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}).text
    for bound in set(re.findall(r'le="([^"]+)"', text)):
        assert f'le="{bound}"' in metrics


def test_every_alert_has_its_place_in_the_runbook_and_no_place_is_without_one() -> None:
    places = re.findall(r"^## (\w+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    assert sorted(places) == sorted(ALERTS)
    for name, rule in ALERTS.items():
        assert rule["annotations"]["runbook_url"].endswith(f"#{name.lower()}")
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]


def test_every_alert_is_tried() -> None:
    tests = yaml.safe_load(RULES_TEST.read_text())["tests"]
    fired = {
        each["alertname"] for test in tests for each in test["alert_rule_test"] if each.get("exp_alerts")
    }
    assert fired == set(ALERTS)


def faults(dashboard: dict[str, Any]) -> list[str]:
    """What is wrong with a dashboard."""
    found = []
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        title, place = panel["title"], panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        if cells & taken or place["x"] + place["w"] > 24:
            found.append(f"{title}: overlaps, or is too wide")
        taken |= cells
        if not panel["targets"] or not panel["fieldConfig"]["defaults"].get("unit"):
            found.append(f"{title}: draws nothing, or has no unit")
        variables = {each["name"] for each in dashboard["templating"]["list"]} | {"__rate_interval", "__all"}
        text = json.dumps(panel)
        unknown_ = set(re.findall(r"\$\{?(\w+)", text)) - variables
        found.extend(f"{title}: ${name} is no variable" for name in unknown_)
        if any("$namespace" not in target["expr"] for target in panel["targets"]):
            found.append(f"{title}: shows every namespace")
        # What is recorded by the model has no track.
        by_model = ("propensity:selected_ratio", "propensity:psi")
        drawn = [each["expr"] for each in panel["targets"]]
        if any("$track" not in each and not each.startswith(by_model) for each in drawn):
            found.append(f"{title}: shows the canary as if it were all")
    if len({panel["id"] for panel in dashboard["panels"]}) < len(dashboard["panels"]):
        found.append("two panels have the same id")
    return found


def test_the_dashboard_is_sound() -> None:
    dashboard = json.loads(monitoring.DASHBOARD.read_text())
    assert faults(dashboard) == []
    assert len(dashboard["panels"]) == len(monitoring.PANELS) == 14


def test_an_unsound_dashboard_is_found() -> None:
    dashboard = json.loads(monitoring.DASHBOARD.read_text())
    first, second, third = dashboard["panels"][:3]
    first["gridPos"]["w"] = 13
    second["id"] = first["id"]
    second["targets"][0]["expr"] = 'sum(up{job=~"$job"})'
    third["targets"] = []
    assert faults(dashboard) == [
        f"{second['title']}: overlaps, or is too wide",
        f"{second['title']}: $job is no variable",
        f"{second['title']}: shows every namespace",
        f"{second['title']}: shows the canary as if it were all",
        f"{third['title']}: draws nothing, or has no unit",
        "two panels have the same id",
    ]


@pytest.mark.thorough
@needs_prometheus
def test_prometheus_accepts_the_rules_and_they_fire_when_they_should() -> None:
    for command in (["check", "rules", "rules.yaml"], ["test", "rules", "rules_test.yaml"]):
        done = subprocess.run(
            ["promtool", *command], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.thorough
@needs_prometheus
def test_a_namespace_without_a_service_is_found_though_another_has_one(tmp_path: Path) -> None:
    """In the rules as Kubernetes gets them: never there, gone, and replaced by its canary alone."""
    installed = yaml.safe_load(monitoring.PROMETHEUS_RULE.read_text())["spec"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(installed))
    rule = ALERTS["PropensityDown"]
    fires = {
        "exp_labels": {"severity": "page", "namespace": "propensity-staging"},
        "exp_annotations": rule["annotations"],
    }
    production = {"series": 'propensity_model_info{namespace="propensity",track="stable"}', "values": "1x30"}
    series = 'propensity_model_info{namespace="propensity-staging",track="%s"}'
    stagings = {
        "there": ("stable", "1x30", []),
        "never there": ("stable", "_x30", [fires]),
        "gone": ("stable", "1x5 _x25", [fires]),
        "its canary alone": ("canary", "1x30", [fires]),
    }
    tests = [
        {
            "name": name,
            "interval": "1m",
            "input_series": [production, {"series": series % track, "values": values}],
            "alert_rule_test": [{"eval_time": "20m", "alertname": "PropensityDown", "exp_alerts": expected}],
        }
        for name, (track, values, expected) in stagings.items()
    ]
    tried = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "rules_test.yaml").write_text(yaml.safe_dump(tried))
    command = ["promtool", "test", "rules", "rules_test.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.thorough
@needs_prometheus
@pytest.mark.parametrize(
    ("alert", "right", "wrong"),
    [
        ("PropensityFaultsFast", "> 14.4 * 0.001", "> 140 * 0.001"),
        ("PropensitySaturated", "> 512", "> 5120"),
        ("PropensityModelStale", "180 * 24 * 3600", "18000 * 24 * 3600"),
        ("PropensityModelsDiffer", 'track!="canary"', 'track!="none"'),
        ("PropensityDown", 'track!="canary"', 'track!="none"'),
    ],
)
def test_a_rule_that_is_changed_fails_its_test(tmp_path: Path, alert: str, right: str, wrong: str) -> None:
    rules, tried = monitoring.RULES.read_text(), yaml.safe_load(RULES_TEST.read_text())
    tried["tests"] = [
        test
        for test in tried["tests"]
        if any(each["alertname"] == alert and "exp_alerts" in each for each in test["alert_rule_test"])
    ]
    (tmp_path / "rules_test.yaml").write_text(yaml.safe_dump(tried))
    assert right in ALERTS[alert]["expr"]
    for text, code in ((rules, 0), (rules.replace(right, wrong), 1)):
        (tmp_path / "rules.yaml").write_text(text)
        command = ["promtool", "test", "rules", "rules_test.yaml"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
    assert alert in done.stdout + done.stderr


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """Prometheus with the configuration of Compose: only target, token and interval are the test's."""
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (job,) = config["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["propensity:3000"]}]
    job["static_configs"] = [{"targets": [target]}]
    assert job["authorization"] == {"credentials_file": "/run/secrets/token"}
    (folder / "token").write_text(METRICS_TOKEN)
    job["authorization"]["credentials_file"] = str(folder / "token")
    shutil.copy(monitoring.RULES, folder)
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    port = free_port()
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def asked(url: str, expression: str, until: Any) -> Any:
    """What Prometheus answers, once it is what is waited for."""
    result: Any = None
    for _ in range(300):
        try:
            answer = httpx2.get(f"{url}/api/v1/query", params={"query": expression})
            # 503 while it starts.
            result = answer.raise_for_status().json()["data"]["result"]
            if until(result):
                return result
        except httpx2.HTTPError as error:
            result = error
        time.sleep(0.1)
    pytest.fail(f"{expression}: {result}")


@pytest.mark.thorough
@needs_prometheus
def test_prometheus_scrapes_the_service_with_its_token_and_evaluates_every_rule_and_panel(
    bento: Path, tmp_path: Path, tag: str
) -> None:
    with serving(bento, tmp_path) as served, prometheus(tmp_path, served.url.removeprefix("http://")) as url:
        asked(url, "up", lambda found: found and found[0]["value"][1] == "1")
        for _ in range(50):
            assert (
                httpx2.post(f"{served.url}/v1/predict", json=EXAMPLE, headers=AUTHORIZED).status_code == 200
            )
        rows = 'propensity_rows_total{outcome="negative"}'
        (row,) = asked(url, rows, lambda found: found and found[0]["value"][1] == "50")
        assert row["metric"]["model"] == tag
        slow = asked(
            url, "propensity:slow_ratio:rate5m", lambda found: found and found[0]["value"][1] != "NaN"
        )
        assert 0 <= float(slow[0]["value"][1]) < 1
        rules = httpx2.get(f"{url}/api/v1/rules").json()["data"]["groups"]
        assert {
            rule["name"]: rule.get("lastError") for group in rules for rule in group["rules"]
        } == dict.fromkeys([*ALERTS, *RECORDED])
        assert asked(url, 'ALERTS{alertstate="firing"}', lambda found: found == []) == []
        for panel in PANELS:
            for target in panel["targets"]:
                expression = target["expr"].replace("$__rate_interval", "1m")
                expression = expression.replace("$namespace", ".*").replace("$track", ".*")
                answer = httpx2.get(f"{url}/api/v1/query", params={"query": expression}).json()
                assert answer["status"] == "success", (panel["title"], answer)
