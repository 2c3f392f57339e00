"""Writes what is made of others: the alert rules for the Prometheus operator, and the Grafana dashboard.

    python -m deploy.monitoring

The rules are kept in prometheus/rules.yaml, the dashboard's panels here. The operator's rules are for all
namespaces together, so that no alert fires twice; they expect a service in each that has an overlay.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
RULES = HERE / "prometheus/rules.yaml"
OVERLAYS = HERE / "k8s/overlays"
PROMETHEUS_RULE = HERE / "k8s/monitoring/prometheusrule.yaml"
DASHBOARD = HERE / "grafana/dashboards/propensity.json"

DOWN = "PropensityDown"

_MODELS = 'namespace=~"$namespace"'
"""Series that models are told apart by, and with them a canary of another model."""

_WHERE = f'{_MODELS},track=~"$track"'
_EVERY = "$__rate_interval"
_SINGLE = f'endpoint="/v1/predict",{_WHERE}'
_PREDICT = f'endpoint=~"/v1/predict.*|/v2/.*/infer",{_WHERE}'

PANELS: list[tuple[str, str, str, dict[str, str]]] = [
    # Title, type, unit, and what is drawn, by its legend.
    (
        "Requests",
        "timeseries",
        "reqps",
        {"{{endpoint}}": f"sum by (endpoint) (rate(bentoml_service_request_total{{{_PREDICT}}}[{_EVERY}]))"},
    ),
    (
        "Single predictions: latency",
        "timeseries",
        "s",
        {
            f"p{quantile * 100:g}": f"histogram_quantile({quantile}, sum by (le)"
            f" (rate(bentoml_service_request_duration_seconds_bucket{{{_SINGLE}}}[{_EVERY}])))"
            for quantile in (0.5, 0.95, 0.99)
        },
    ),
    (
        "Budget burnt: faults, over an hour (1 is what the objective allows)",
        "timeseries",
        "short",
        {"{{namespace}} {{track}}": f"propensity:fault_ratio:rate1h{{{_WHERE}}} / 0.001"},
    ),
    (
        "Budget burnt: over 50 ms, over an hour",
        "timeseries",
        "short",
        {"{{namespace}} {{track}}": f"propensity:slow_ratio:rate1h{{{_WHERE}}} / 0.01"},
    ),
    (
        "Problems, by kind",
        "timeseries",
        "reqps",
        {"{{kind}}": f"sum by (kind) (rate(propensity_problems_total{{{_WHERE}}}[{_EVERY}])) > 0"},
    ),
    (
        "Rows, by outcome",
        "timeseries",
        "cps",
        {"{{outcome}}": f"sum by (outcome) (rate(propensity_rows_total{{{_WHERE}}}[{_EVERY}]))"},
    ),
    (
        "In flight and waiting for the model",
        "timeseries",
        "short",
        {
            "in flight": f"sum(bentoml_service_request_in_progress{{{_WHERE}}})",
            "waiting": f"sum(propensity_queue_requests{{{_WHERE}}})",
        },
    ),
    (
        "Requests that a model call merges (mean)",
        "timeseries",
        "short",
        {
            "{{method_name}}": "sum by (method_name) (rate(bentoml_service_adaptive_batch_size_sum"
            f"{{{_WHERE}}}[{_EVERY}])) / sum by (method_name)"
            f" (rate(bentoml_service_adaptive_batch_size_count{{{_WHERE}}}[{_EVERY}]))"
        },
    ),
    (
        "Propensities",
        "heatmap",
        "short",
        {"{{le}}": f"sum by (le) (increase(propensity_predicted_bucket{{{_WHERE}}}[{_EVERY}]))"},
    ),
    (
        "Reached the threshold, and as in the hold-out set",
        "timeseries",
        "percentunit",
        {
            "{{model}}": f"propensity:selected_ratio:rate1d{{{_MODELS}}}",
            "{{model}}, hold-out set": f"max by (model) (propensity_model_selected_ratio{{{_WHERE}}})",
        },
    ),
    (
        "Drift of each field over a day (PSI; above 0.25 it has moved)",
        "timeseries",
        "short",
        {"{{field}}": f"propensity:psi:rate1d{{{_MODELS}}}"},
    ),
    (
        "Challenger: decisions beside the model's",
        "timeseries",
        "cps",
        {"{{outcome}}": f"sum by (outcome) (rate(propensity_challenger_rows_total{{{_WHERE}}}[{_EVERY}]))"},
    ),
    (
        "Models",
        "table",
        "short",
        {"": f"sum by (namespace, track, model, algorithm, form) (propensity_model_info{{{_WHERE}}})"},
    ),
    (
        "Credentials that can't be read anew (1 is stale)",
        "timeseries",
        "short",
        {"{{source}}": f"max by (source) (propensity_credentials_stale{{{_WHERE}}})"},
    ),
]

_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def prometheus_rule() -> str:
    """The alert rules, as the Prometheus operator takes them."""
    spec = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    (down,) = (rule for group in spec["groups"] for rule in group["rules"] if rule.get("alert") == DOWN)
    # One that is absent must not be hidden by another that is there.
    down["expr"] = "\nor ".join(
        down["expr"].strip().replace("{", f'{{namespace="{namespace}",') for namespace in namespaces()
    )
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "propensity"},
        "spec": spec,
    }
    head = (
        "# Made of deploy/prometheus/rules.yaml and of the overlays by `make monitoring`; change it there.\n"
    )
    return head + yaml.safe_dump(rule, sort_keys=False, width=1_000)


def namespaces() -> list[str]:
    """Those of the overlays."""
    return sorted(
        {yaml.safe_load(path.read_bytes())["namespace"] for path in OVERLAYS.glob("*/kustomization.yaml")}
    )


def dashboard() -> str:
    """The dashboard, two panels a row."""
    return (
        json.dumps(
            {
                "uid": "propensity",
                "title": "Propensity",
                "tags": ["propensity"],
                "schemaVersion": 39,
                "refresh": "30s",
                "time": {"from": "now-6h", "to": "now"},
                "templating": {
                    "list": [
                        {"name": "datasource", "type": "datasource", "query": "prometheus"},
                        _variable("namespace"),
                        _variable("track"),
                    ]
                },
                "panels": [_panel(place, *panel) for place, panel in enumerate(PANELS)],
            },
            indent=1,
        )
        + "\n"
    )


def _variable(label: str) -> dict[str, Any]:
    return {
        "name": label,
        "type": "query",
        "datasource": _DATASOURCE,
        "query": f"label_values(propensity_model_info, {label})",
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(place: int, title: str, kind: str, unit: str, drawn: dict[str, str]) -> dict[str, Any]:
    targets = [
        {
            "refId": chr(ord("A") + number),
            "datasource": _DATASOURCE,
            "expr": expression,
            "legendFormat": legend,
            "format": {"table": "table", "heatmap": "heatmap"}.get(kind, "time_series"),
            "instant": kind == "table",
        }
        for number, (legend, expression) in enumerate(drawn.items())
    ]
    return {
        "id": place + 1,
        "title": title,
        "type": kind,
        "datasource": _DATASOURCE,
        "gridPos": {"x": 12 * (place % 2), "y": 8 * (place // 2), "w": 12, "h": 8},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def main() -> None:
    """The command."""
    PROMETHEUS_RULE.write_text(prometheus_rule(), encoding="utf-8")
    DASHBOARD.parent.mkdir(parents=True, exist_ok=True)
    DASHBOARD.write_text(dashboard(), encoding="utf-8")
    for path in (PROMETHEUS_RULE, DASHBOARD):
        print(f"monitoring: {path.relative_to(HERE)}")


if __name__ == "__main__":
    main()
