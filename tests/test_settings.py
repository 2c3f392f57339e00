"""Settings: read from the environment, and refused in one line if they can't be used."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT
from servers import BENTOML

from propensity import settings

NAMES = ("WORKERS", "MAX_MERGED_ROWS", "MAX_LATENCY_MS", "KEEP_ALIVE_SECONDS", "DRAIN_SECONDS")
SHOW = f"from propensity import settings; print(*(getattr(settings, name) for name in {NAMES}))"


def shown(**settings: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", SHOW], cwd=ROOT, env=os.environ | settings, capture_output=True, text=True,
        check=True,
    ).stdout  # fmt: skip


def test_settings_have_defaults_and_come_from_the_environment() -> None:
    assert shown() == "1 512 10000 3660 0\n"
    given = {
        "PROPENSITY_WORKERS": "4",
        "PROPENSITY_MAX_MERGED_ROWS": "64",
        "PROPENSITY_MAX_LATENCY_MS": "250",
        "PROPENSITY_KEEP_ALIVE_SECONDS": "75",
        "PROPENSITY_DRAIN_SECONDS": "7",
    }
    assert shown(**given) == "4 64 250 75 7\n"


@pytest.mark.parametrize(
    ("name", "value", "at_least"),
    [
        ("PROPENSITY_WORKERS", "0", 1),
        ("PROPENSITY_WORKERS", "", 1),
        ("PROPENSITY_MAX_MERGED_ROWS", "1", 2),
        ("PROPENSITY_MAX_LATENCY_MS", "-5", 1),
        ("PROPENSITY_MAX_LATENCY_MS", "1.5", 1),
        ("PROPENSITY_KEEP_ALIVE_SECONDS", "0", 1),
        ("PROPENSITY_DRAIN_SECONDS", "16", 0),
    ],
)
def test_a_setting_that_can_not_be_used_is_named(tag: str, name: str, value: str, at_least: int) -> None:
    done = subprocess.run(
        [BENTOML, "serve"],
        cwd=ROOT,
        env=os.environ | {name: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert f"{name} is {value!r}; it must be a whole number, at least {at_least}" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_is_traced_unless_a_collector_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    assert settings.tracing() == {}
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318/v1/traces")
    assert settings.tracing()["exporter_type"] == "otlp"
    assert settings.tracing()["sample_rate"] == 1


@pytest.mark.parametrize(
    ("share", "rate"),
    [("0.05", 0.05), (".5", 0.5), ("1", 1), ("1.0", 1), ("0", 0), ("0.0", 0), ("1e-3", 0.001)],
)
def test_the_share_of_requests_that_is_traced(
    monkeypatch: pytest.MonkeyPatch, share: str, rate: float
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", share)
    assert settings.tracing()["sample_rate"] == rate


@pytest.mark.parametrize("share", ["5%", "2", "-0.1", "nan", "", "1.01", "1e1", "0_1"])
def test_a_share_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, share: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", share)
    with pytest.raises(settings.SettingError, match=r"OTEL_TRACES_SAMPLER_ARG is '.*'; it must be the share"):
        settings.tracing()


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("PROPENSITY_MAX_LATENCY", "PROPENSITY_MAX_LATENCY_MS"),
        ("PROPENSITY_TOKEN_FILE", "PROPENSITY_TOKENS_FILE"),
        ("PROPENSITY_RATELIMIT", "PROPENSITY_RATE_LIMIT"),
        ("PROPENSITY_workers", "PROPENSITY_WORKERS"),
        ("PROPENSITY_", "PROPENSITY_"),
    ],
)
def test_a_variable_that_there_is_not_is_refused_by_the_nearest(
    monkeypatch: pytest.MonkeyPatch, name: str, nearest: str
) -> None:
    settings.check_names()
    monkeypatch.setenv(name, "500")
    with pytest.raises(settings.SettingError, match=f"{name} is set, but .*the nearest is {nearest}"):
        settings.check_names()


@pytest.mark.parametrize(
    "name",
    [
        "PROPENSITY_SERVICE_HOST", "PROPENSITY_SERVICE_PORT", "PROPENSITY_SERVICE_PORT_HTTP",
        "PROPENSITY_PORT", "PROPENSITY_PORT_80_TCP", "PROPENSITY_PORT_80_TCP_PROTO",
        "PROPENSITY_PORT_80_TCP_PORT",
        "PROPENSITY_PORT_80_TCP_ADDR", "PROPENSITY_CANARY_SERVICE_HOST",
        "PROPENSITY_CANARY_PORT_3000_TCP_ADDR",
    ],
)  # fmt: skip
def test_what_kubernetes_sets_for_a_service_of_the_name_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "10.0.0.1")
    settings.check_names()


def test_every_variable_that_is_read_is_known_and_every_known_one_is_documented() -> None:
    sources = [*(ROOT / "propensity").glob("*.py"), ROOT / "service.py", ROOT / "import_model.py"]
    read = {
        name
        for path in [*sources, ROOT / "Makefile", *(ROOT / "deploy").rglob("*.y*ml")]
        for name in re.findall(r"\bPROPENSITY_[A-Z_]*[A-Z]\b", path.read_text())
    }
    assert read <= settings.NAMES
    documented = set(re.findall(r"PROPENSITY_[A-Z_]+", (ROOT / "docs/serving.md").read_text()))
    assert settings.NAMES - documented == {"PROPENSITY_IMAGE", "PROPENSITY_USER"}
