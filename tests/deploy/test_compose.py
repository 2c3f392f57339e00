"""The Compose file: valid, and its parts fit together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

from deploy.image import DOCKERFILE

FILE = ROOT / "deploy/compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


WRONG = {
    "readonly: true": "read_only: true",
    "secrets: token": "secrets: [token]",
    "capdrop:": "cap_drop:",
}
"""What Compose does not know, by what stands there."""


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Of the file, and of copies that are wrong, what is refused; all in one process, which starts slowly."""
    folder, text = tmp_path_factory.mktemp("compose"), FILE.read_text()
    files = {"as it is": FILE}
    for wrong, right in WRONG.items():
        assert right in text
        files[wrong] = folder / f"{len(files)}.yaml"
        files[wrong].write_text(text.replace(right, wrong))
    checker = str(Path(sys.executable).with_name("check-jsonschema"))
    command = [checker, "--builtin-schema", "vendor.compose-spec", "--output-format", "json"]
    done = subprocess.run([*command, *map(str, files.values())], capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert found["parse_errors"] == []
    faulty = {error["filename"] for error in found["errors"]}
    return {name for name, path in files.items() if str(path) in faulty}


def test_the_file_is_what_compose_knows(refused: set[str]) -> None:
    assert "as it is" not in refused


@pytest.mark.parametrize("wrong", WRONG)
def test_a_file_that_compose_does_not_know_is_found(refused: set[str], wrong: str) -> None:
    assert wrong in refused


def test_what_depends_on_another_waits_until_it_is_well() -> None:
    waits = {
        (name, other): how["condition"]
        for name, service in SERVICES.items()
        for other, how in service.get("depends_on", {}).items()
    }
    assert set(waits) == {("prometheus", "propensity"), ("grafana", "prometheus"), ("locust", "propensity")}
    assert set(waits.values()) == {"service_healthy"}
    assert "healthcheck" in SERVICES["prometheus"]
    assert "HEALTHCHECK" in DOCKERFILE.read_text()


def test_secrets_are_files_that_make_writes_and_git_never_sees() -> None:
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert used == set(COMPOSE["secrets"])
    for secret in COMPOSE["secrets"].values():
        assert secret["file"].startswith("../.local/")
    assert "/.local/" in (ROOT / ".gitignore").read_text().splitlines()
    environment = SERVICES["propensity"]["environment"]
    for name in ("PROPENSITY_TOKENS_FILE", "PROPENSITY_MODEL_KEY"):
        assert environment[name].removeprefix("/run/secrets/") in SERVICES["propensity"]["secrets"]


def test_what_is_mounted_is_there_and_can_not_be_written() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source, _, mode = volume.split(":")
            assert (FILE.parent / source).exists(), (name, source)
            assert mode == "ro"


def test_nothing_listens_beyond_this_machine_and_every_image_is_pinned() -> None:
    for name, service in SERVICES.items():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        if name != "propensity":
            assert service["image"].rpartition(":")[2][:1] in "v123456789", name


def test_prometheus_scrapes_the_service_and_grafana_reads_prometheus() -> None:
    (job,) = yaml.safe_load((FILE.parent / "prometheus/prometheus.yaml").read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["propensity:3000"]}]
    assert job["authorization"]["credentials_file"] == "/run/secrets/token"
    provisioning = FILE.parent / "grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards/propensity.yaml").read_text())["providers"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in SERVICES["grafana"]["volumes"]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (FILE.parent / "grafana/dashboards" / Path(home).name).is_file()
