"""The Kubernetes manifests: each overlay passes every gate, and each gate fires on what it is there for."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

from deploy import release
from deploy.manifests import NEWEST, OLDEST, Manifest, ManifestsError, reference_faults, render, schema_faults
from deploy.release import ReleaseError
from load_tests.figures import Scaling
from propensity.limits import MAX_BYTES_IN_FLIGHT, MAX_IN_FLIGHT

OVERLAYS = ("staging", "production", "production-canary")
IMAGE = f"registry.bank.example/propensity@sha256:{'5' * 64}"


@pytest.fixture(scope="module")
def k8s(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifests, with secrets that are nobody's."""
    copied = tmp_path_factory.mktemp("deploy") / "k8s"
    shutil.copytree(ROOT / "deploy/k8s", copied, ignore=shutil.ignore_patterns("secrets"))
    for overlay in ("staging", "production"):
        secrets = copied / "overlays" / overlay / "secrets"
        secrets.mkdir()
        for name in ("tokens", "model-key.pub", "scrape-token"):
            (secrets / name).write_text("of nobody\n")
    return copied


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest, k8s: Path) -> list[Manifest]:
    return render(k8s / "overlays" / request.param)


@pytest.fixture
def manifests(k8s: Path) -> list[Manifest]:
    """Those of the overlay that has everything, to be broken."""
    return render(k8s / "overlays/production-canary")


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_overlay_is_what_kubernetes_knows(overlay: list[Manifest], version: str) -> None:
    assert schema_faults(overlay, version) == []


def test_every_reference_of_every_overlay_leads_somewhere(overlay: list[Manifest]) -> None:
    assert len(overlay) >= 14
    assert reference_faults(overlay) == []


def test_an_overlay_without_its_secrets_is_not_rendered() -> None:
    if (ROOT / "deploy/k8s/overlays/staging/secrets").exists():
        pytest.fail("deploy/k8s/overlays/staging/secrets must not be kept in the checkout")
    with pytest.raises(ManifestsError, match="secrets/tokens"):
        render(ROOT / "deploy/k8s/overlays/staging")


def of(manifests: list[Manifest], kind: str, name: str = "propensity") -> Any:
    return next(each for each in manifests if each["kind"] == kind and each["metadata"]["name"] == name)


def container(manifests: list[Manifest]) -> Any:
    return of(manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]


def selector(manifests: list[Manifest], kind: str, name: str = "propensity", field: str = "selector") -> Any:
    return of(manifests, kind, name)["spec"][field]["matchLabels"]


def ingress(manifests: list[Manifest]) -> Any:
    return of(manifests, "NetworkPolicy", "propensity-allow")["spec"]["ingress"][0]


def settings(manifests: list[Manifest]) -> Any:
    return next(each["data"] for each in manifests if each["kind"] == "ConfigMap")


Break = Callable[[list[Manifest]], object]

SCHEMA: dict[str, tuple[Break, str]] = {
    "a field that is misspelt": (
        lambda all_: of(all_, "Deployment")["spec"].update(replica=2), "'replica' was unexpected"
    ),
    "a number where text belongs": (
        lambda all_: settings(all_).update(PROPENSITY_WORKERS=1), "1 is not of type 'string'"
    ),
    "a version that is gone": (
        lambda all_: of(all_, "HorizontalPodAutoscaler").update(apiVersion="autoscaling/v2beta2"),
        "autoscaling/v2beta2 is unknown",
    ),
    "a quantity in a unit that is none": (
        lambda all_: container(all_)["resources"]["limits"].update(memory=["1Gi"]), "memory"
    ),
    "a field of a route that is misspelt": (
        lambda all_: of(all_, "HTTPRoute")["spec"].update(hostname=["a"]), "hostname: Extra inputs"
    ),
    "a weight that is text": (
        lambda all_: of(all_, "HTTPRoute")["spec"]["rules"][0]["backendRefs"][0].update(weight="95"), "weight"
    ),
    "a listener without TLS": (
        lambda all_: of(all_, "Gateway")["spec"]["listeners"][0].pop("tls"), "tls: Field required"
    ),
    "a scrape interval that is misspelt": (
        lambda all_: of(all_, "ServiceMonitor")["spec"]["endpoints"][0].update(intervall="15s"), "intervall"
    ),
    "a rule without an expression": (
        lambda all_: of(all_, "PrometheusRule")["spec"]["groups"][0]["rules"][0].pop("expr"), "expr"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SCHEMA)
def test_the_schemas_refuse(manifests: list[Manifest], case: str) -> None:
    breaks, said = SCHEMA[case]
    breaks(manifests)
    (fault,) = schema_faults(manifests, NEWEST)
    assert said in fault


REFERENCES: dict[str, tuple[Break, str]] = {
    "a Service that selects nothing": (
        lambda all_: of(all_, "Service")["spec"]["selector"].update(track="steady"),
        "Service propensity: its selector selects no pods",
    ),
    "a targetPort that is no port": (
        lambda all_: of(all_, "Service")["spec"]["ports"][0].update(targetPort="web"),
        "Service propensity: targetPort web names no port of its pods",
    ),
    "an autoscaler of nothing": (
        lambda all_: of(all_, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"].update(name="api"),
        "HorizontalPodAutoscaler propensity: no Deployment api",
    ),
    "replicas that fight the autoscaler": (
        lambda all_: of(all_, "Deployment")["spec"].update(replicas=2),
        "HorizontalPodAutoscaler propensity: Deployment propensity sets replicas itself, and each rollout"
        " would undo the scaling",
    ),
    "a disruption budget of nothing": (
        lambda all_: selector(all_, "PodDisruptionBudget").update(a="b"),
        "PodDisruptionBudget propensity: its selector selects no pods",
    ),
    "a policy for nobody": (
        lambda all_: selector(all_, "NetworkPolicy", "propensity-deny", "podSelector").update(a="b"),
        "NetworkPolicy propensity-deny: its selector selects no pods",
    ),
    "a policy for a port that is none": (
        lambda all_: ingress(all_)["ports"][0].update(port="x"),
        "NetworkPolicy propensity-allow: port x names no port of its pods",
    ),
    "a Deployment that does not select its pods": (
        lambda all_: selector(all_, "Deployment", "propensity-canary").update(a="b"),
        "Deployment propensity-canary: its selector does not select its own pods",
    ),
    "a spread of other pods": (
        lambda all_: of(all_, "Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"][0][
            "labelSelector"
        ]["matchLabels"].update(a="b"),
        "Deployment propensity: a topology spread constraint does not count its pods",
    ),
    "a probe of no port": (
        lambda all_: container(all_)["startupProbe"]["httpGet"].update(port="web"),
        "Deployment propensity: startupProbe: no port web",
    ),
    "a mount of no volume": (
        lambda all_: container(all_)["volumeMounts"].append({"name": "x", "mountPath": "/x"}),
        "Deployment propensity: no volume x",
    ),
    "settings that are not there": (
        lambda all_: container(all_)["envFrom"][0]["configMapRef"].update(name="x"),
        "Deployment propensity: no ConfigMap x",
    ),
    "an account that is not there": (
        lambda all_: of(all_, "Deployment")["spec"]["template"]["spec"].update(serviceAccountName="x"),
        "Deployment propensity: no ServiceAccount x",
    ),
    "a gateway that is not there": (
        lambda all_: of(all_, "HTTPRoute")["spec"]["parentRefs"][0].update(sectionName="http"),
        "HTTPRoute propensity: no Gateway propensity with a listener http",
    ),
    "a host that nobody listens for": (
        lambda all_: of(all_, "Gateway")["spec"]["listeners"][0].update(hostname="other.example"),
        "HTTPRoute propensity: its gateway does not listen for propensity.bank.example",
    ),
    "a backend that is not there": (
        lambda all_: of(all_, "HTTPRoute")["spec"]["rules"][0]["backendRefs"][1].update(port=3000),
        "HTTPRoute propensity: no Service propensity-canary with a port 3000",
    ),
    "a scrape of no Service": (
        lambda all_: selector(all_, "ServiceMonitor").update(a="b"),
        "ServiceMonitor propensity: its selector selects no Service",
    ),
    "a scrape with no token": (
        lambda all_: of(all_, "Secret", "propensity-scrape")["data"].clear(),
        "ServiceMonitor propensity: no Secret propensity-scrape with a key token",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFERENCES)
def test_a_reference_that_leads_nowhere_is_found(manifests: list[Manifest], case: str) -> None:
    breaks, said = REFERENCES[case]
    breaks(manifests)
    assert said in reference_faults(manifests)


def test_both_deployments_lack_what_a_secret_or_a_drain_lacks(manifests: list[Manifest]) -> None:
    both = ("Deployment propensity", "Deployment propensity-canary")
    broken = copy.deepcopy(manifests)
    del of(broken, "Secret")["data"]["tokens"]
    assert reference_faults(broken) == [
        f"{each}: PROPENSITY_TOKENS_FILE is /run/secrets/propensity/tokens, and no Secret that is mounted"
        " there has a key tokens"
        for each in both
    ]
    settings(manifests)["PROPENSITY_DRAIN_SECONDS"] = "16"
    assert reference_faults(manifests) == [
        f"{each}: terminationGracePeriodSeconds is 30, shorter than the drain and 15 s" for each in both
    ]


def test_the_canary_is_the_deployment_with_another_name_track_and_image(manifests: list[Manifest]) -> None:
    stable, canary = of(manifests, "Deployment"), of(manifests, "Deployment", "propensity-canary")
    text = json.dumps(canary["spec"]["template"]).replace('"track": "canary"', '"track": "stable"')
    template = json.loads(text)
    (theirs,), (ours,) = template["spec"]["containers"], stable["spec"]["template"]["spec"]["containers"]
    theirs["image"] = ours["image"]
    assert template == stable["spec"]["template"]


def test_settings_are_settings_that_the_service_has(manifests: list[Manifest]) -> None:
    documented = set(re.findall(r"`(PROPENSITY_\w+)`", (ROOT / "docs/serving.md").read_text()))
    assert set(settings(manifests)) <= documented
    assert settings(manifests)["PROPENSITY_WORKERS"] == "1"


def test_the_pod_is_given_what_was_measured_and_room_for_bodies(manifests: list[Manifest]) -> None:
    resources = container(manifests)["resources"]
    scaling = Scaling()
    measured = scaling.base_mb() + scaling.worker_mb()
    tmp = of(manifests, "Deployment")["spec"]["template"]["spec"]["volumes"][1]["emptyDir"]["sizeLimit"]
    assert tmp == "64Mi"
    assert resources["requests"]["memory"] == "512Mi"
    assert measured + 64 * 1.05 < 512 * 1.048
    # A body is held as it came, as what it says, and as the answer.
    assert resources["limits"]["memory"] == "1Gi"
    assert measured + 64 * 1.05 + 4 * MAX_BYTES_IN_FLIGHT / 1e6 < 1024 * 1.048
    assert resources["requests"]["cpu"] == "1"
    (in_flight,) = [
        each["pods"]["target"]["averageValue"]
        for each in of(manifests, "HorizontalPodAutoscaler")["spec"]["metrics"]
        if each["type"] == "Pods"
    ]
    assert int(in_flight) < MAX_IN_FLIGHT / 10
    rates = {each: scaling.rate(1, each) for each in scaling.connections}
    assert rates[max(rates)] < 1.1 * rates[int(in_flight)], "more in flight would have been of use"


CHECKOV = ROOT / ".local/checkov/bin/checkov"


def checkov(file: Path) -> dict[str, Any]:
    """What checkov fails, and its config skips nothing."""
    command = [str(CHECKOV), "--config-file", str(ROOT / "deploy/checkov/config.yaml"), "--file", str(file)]
    done = subprocess.run([*command, "--output", "json"], capture_output=True, text=True, check=False)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_checkov_finds_nothing(overlay: list[Manifest], tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(overlay))
    found = checkov(tmp_path / "all.yaml")["summary"]
    assert (found["failed"], found["skipped"], found["parsing_errors"]) == (0, 0, 0)
    assert found["passed"] > 80


def test_checkov_finds_what_is_unsafe(manifests: list[Manifest], tmp_path: Path) -> None:
    broken = container(manifests)
    broken["image"] = "propensity:latest"
    broken["securityContext"] = {"privileged": True, "runAsUser": 0}
    del broken["livenessProbe"], broken["resources"]["limits"]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(manifests))
    failed = {each["check_id"] for each in checkov(tmp_path / "all.yaml")["results"]["failed_checks"]}
    unsafe = {
        "CKV_K8S_16",  # privileged
        "CKV_K8S_14",  # an image that may be another tomorrow
        "CKV_K8S_8",  # no liveness probe
        "CKV_K8S_11",  # no CPU limit
        "CKV_K8S_13",  # no memory limit
        "CKV_K8S_20",  # privilege escalation
        "CKV_K8S_22",  # a root file system that can be written
    }
    assert unsafe <= failed


@pytest.mark.parametrize("quantity", ["1Gi", "512MB"])
def test_quantities_are_quantities(manifests: list[Manifest], quantity: str, tmp_path: Path) -> None:
    """A cluster reads them as kubectl does; schemas take any text."""
    container(manifests)["resources"]["limits"]["memory"] = quantity
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(of(manifests, "Deployment")))
    kubectl = str(Path(sys.executable).with_name("kubectl"))
    command = [kubectl, "set", "image", "--local", "--filename", str(tmp_path / "all.yaml"), "propensity=x"]
    done = subprocess.run([*command, "--output", "yaml"], capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (quantity == "1Gi"), done.stderr


@pytest.fixture
def kustomization(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "kustomization.yaml"
    path.write_text((ROOT / "deploy/k8s/overlays/staging/kustomization.yaml").read_text())
    monkeypatch.setitem(release.KUSTOMIZATIONS, "staging", path)
    return path


def test_a_release_sets_the_image_and_nothing_else(kustomization: Path) -> None:
    before = yaml.safe_load(kustomization.read_text())
    comments = kustomization.read_text().count("#")
    release.release("staging", IMAGE)
    after = yaml.safe_load(kustomization.read_text())
    assert after["images"] == [
        {"name": "propensity", "newName": "registry.bank.example/propensity", "digest": f"sha256:{'5' * 64}"}
    ]
    assert {**after, "images": before["images"]} == before
    assert kustomization.read_text().count("#") == comments


@pytest.mark.parametrize("name", list(release.KUSTOMIZATIONS))
def test_every_overlay_waits_for_a_release(name: str) -> None:
    (image,) = yaml.safe_load(release.KUSTOMIZATIONS[name].read_text())["images"]
    assert image["digest"] == f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("overlay_", "image", "said"),
    [
        ("staging", "registry.bank.example/propensity:1.0", "may mean another image tomorrow"),
        ("staging", "registry.bank.example/propensity@sha256:12", "is not NAME@sha256:DIGEST"),
        ("test", IMAGE, "no overlay 'test'; there are staging, production, canary"),
    ],
)
def test_a_release_that_can_not_be_meant_changes_nothing(
    kustomization: Path, overlay_: str, image: str, said: str
) -> None:
    before = kustomization.read_text()
    with pytest.raises(ReleaseError, match=said):
        release.release(overlay_, image)
    assert kustomization.read_text() == before


def test_no_secret_and_no_digest_of_an_image_is_in_the_repository() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "deploy"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "deploy/compose.yaml" in tracked
    assert "secrets/" not in tracked
    assert "/deploy/k8s/overlays/*/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
