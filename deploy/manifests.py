"""The manifests as a cluster would get them, and what is wrong with them: schemas and references.

    python -m deploy.manifests deploy/k8s/overlays/production

Nothing here asks a cluster: admission, scheduling, scaling and network policies are not tried by it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor
from pydantic import BaseModel, ValidationError

from deploy.gateway_api import Gateway, HTTPRoute

OLDEST, NEWEST = "1.31", "1.37"
"""Versions of Kubernetes that the manifests are written for; the oldest is bound by the disruption budget."""

ENDING_SECONDS = 15
"""Beyond the drain: the longest request (10 s), and ending itself."""

_CUSTOM: dict[str, type[BaseModel]] = {
    "Gateway": Gateway,
    "HTTPRoute": HTTPRoute,
    "PrometheusRule": PrometheusRule,
    "ServiceMonitor": ServiceMonitor,
}

Manifest = dict[str, Any]


class ManifestsError(Exception):
    """Manifests that can't be rendered; the message is kustomize's."""


def render(overlay: Path) -> list[Manifest]:
    """What an overlay amounts to.

    Raises:
        ManifestsError: it can't be rendered, say for want of its secrets.
    """
    kubectl = str(Path(sys.executable).with_name("kubectl"))
    done = subprocess.run([kubectl, "kustomize", str(overlay)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ManifestsError(f"{overlay}: {done.stderr.strip().removeprefix('error: ')}")
    return list(yaml.safe_load_all(done.stdout))


def schema_faults(manifests: list[Manifest], version: str) -> list[str]:
    """Fields and types that a version of Kubernetes does not know."""
    faults = []
    for each in manifests:
        try:
            if each["kind"] in _CUSTOM:
                _CUSTOM[each["kind"]].model_validate(each, extra="forbid")
            else:
                kubernetes_validate.validate(each, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            faults.append(f"{_name(each)}: {each['apiVersion']} is unknown to Kubernetes {version}")
        except kubernetes_validate.ValidationError as error:
            faults.append(f"{_name(each)}: {'.'.join(map(str, error.path))}: {error.message}")
        except ValidationError as error:
            first = error.errors()[0]
            faults.append(f"{_name(each)}: {'.'.join(map(str, first['loc']))}: {first['msg']}")
    return faults


def _name(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def reference_faults(manifests: list[Manifest]) -> list[str]:
    """References that lead nowhere: no schema sees a selector that selects nothing."""
    return list(_References(manifests).faults())


class _References:
    def __init__(self, manifests: list[Manifest]) -> None:
        self._all = manifests
        self._pods = [each["spec"]["template"] for each in manifests if each["kind"] == "Deployment"]

    def faults(self) -> Iterator[str]:
        checks = {
            "Deployment": self._deployment,
            "Service": self._service,
            "HorizontalPodAutoscaler": self._autoscaler,
            "PodDisruptionBudget": self._budget,
            "NetworkPolicy": self._policy,
            "HTTPRoute": self._route,
            "ServiceMonitor": self._monitor,
        }
        for each in self._all:
            for fault in checks.get(each["kind"], lambda _: ())(each):
                yield f"{_name(each)}: {fault}"

    def _found(self, kind: str, name: str) -> Manifest | None:
        return next(
            (each for each in self._all if each["kind"] == kind and each["metadata"]["name"] == name), None
        )

    def _selected(self, labels: Mapping[str, str]) -> list[Manifest]:
        """The templates of the pods that have these labels."""
        return [pod for pod in self._pods if labels.items() <= pod["metadata"]["labels"].items()]

    def _deployment(self, deployment: Manifest) -> Iterator[str]:
        spec = deployment["spec"]
        template = spec["template"]
        pod, labels = template["spec"], template["metadata"]["labels"].items()
        if not spec["selector"]["matchLabels"].items() <= labels:
            yield "its selector does not select its own pods"
        for constraint in pod.get("topologySpreadConstraints", []):
            if not constraint["labelSelector"]["matchLabels"].items() <= labels:
                yield "a topology spread constraint does not count its pods"
        if self._found("ServiceAccount", pod["serviceAccountName"]) is None:
            yield f"no ServiceAccount {pod['serviceAccountName']}"
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for name, volume in volumes.items():
            if "secret" in volume and self._found("Secret", volume["secret"]["secretName"]) is None:
                yield f"volume {name}: no Secret {volume['secret']['secretName']}"
        for container in pod["containers"]:
            yield from self._container(container, volumes, pod["terminationGracePeriodSeconds"])

    def _container(self, container: Manifest, volumes: Mapping[str, Manifest], grace: int) -> Iterator[str]:
        ports = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            port = container[probe]["httpGet"]["port"]
            if port not in ports:
                yield f"{probe}: no port {port}"
        files = {}
        for mount in container["volumeMounts"]:
            volume = volumes.get(mount["name"])
            if volume is None:
                yield f"no volume {mount['name']}"
            elif "secret" in volume:
                secret = self._found("Secret", volume["secret"]["secretName"]) or {"data": {}}
                files[mount["mountPath"]] = secret["data"]
        for source in container["envFrom"]:
            settings = self._found("ConfigMap", source["configMapRef"]["name"])
            if settings is None:
                yield f"no ConfigMap {source['configMapRef']['name']}"
            else:
                yield from _settings(settings["data"], files, grace)

    def _service(self, service: Manifest) -> Iterator[str]:
        pods = self._selected(service["spec"]["selector"])
        if not pods:
            yield "its selector selects no pods"
        for port in service["spec"]["ports"]:
            for pod in pods:
                if port["targetPort"] not in _ports(pod):
                    yield f"targetPort {port['targetPort']} names no port of its pods"

    def _autoscaler(self, autoscaler: Manifest) -> Iterator[str]:
        target = autoscaler["spec"]["scaleTargetRef"]
        found = self._found(target["kind"], target["name"])
        if found is None:
            yield f"no {target['kind']} {target['name']}"
        elif "replicas" in found["spec"]:
            yield f"{_name(found)} sets replicas itself, and each rollout would undo the scaling"

    def _budget(self, budget: Manifest) -> Iterator[str]:
        if not self._selected(budget["spec"]["selector"]["matchLabels"]):
            yield "its selector selects no pods"

    def _policy(self, policy: Manifest) -> Iterator[str]:
        pods = self._selected(policy["spec"]["podSelector"]["matchLabels"])
        if not pods:
            yield "its selector selects no pods"
        ports = {port["port"] for rule in policy["spec"].get("ingress", []) for port in rule["ports"]}
        for port in ports:
            if not all(port in _ports(pod) for pod in pods):
                yield f"port {port} names no port of its pods"

    def _route(self, route: Manifest) -> Iterator[str]:
        hosts = set()
        for parent in route["spec"]["parentRefs"]:
            gateway = self._found("Gateway", parent["name"])
            listeners = gateway["spec"]["listeners"] if gateway else []
            section = [each for each in listeners if each["name"] == parent["sectionName"]]
            if not section:
                yield f"no Gateway {parent['name']} with a listener {parent['sectionName']}"
            hosts |= {each["hostname"] for each in section}
        if not set(route["spec"]["hostnames"]) <= hosts:
            yield f"its gateway does not listen for {', '.join(route['spec']['hostnames'])}"
        for rule in route["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                service = self._found("Service", backend["name"])
                if service is None or backend["port"] not in {
                    each["port"] for each in service["spec"]["ports"]
                }:
                    yield f"no Service {backend['name']} with a port {backend['port']}"

    def _monitor(self, monitor: Manifest) -> Iterator[str]:
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        services = [
            each
            for each in self._all
            if each["kind"] == "Service" and wanted <= each["metadata"].get("labels", {}).items()
        ]
        if not services:
            yield "its selector selects no Service"
        for endpoint in monitor["spec"]["endpoints"]:
            for service in services:
                if endpoint["port"] not in {port["name"] for port in service["spec"]["ports"]}:
                    yield f"no port {endpoint['port']} of {_name(service)}"
            credentials = endpoint["authorization"]["credentials"]
            secret = self._found("Secret", credentials["name"])
            if secret is None or credentials["key"] not in secret["data"]:
                yield f"no Secret {credentials['name']} with a key {credentials['key']}"


def _ports(pod: Manifest) -> set[str]:
    return {port["name"] for container in pod["spec"]["containers"] for port in container["ports"]}


def _settings(
    settings: Mapping[str, str], files: Mapping[str, Mapping[str, str]], grace: int
) -> Iterator[str]:
    """Settings that name files that are not there, or a drain that the pod does not live to end."""
    for name, value in settings.items():
        folder, _, file = value.rpartition("/")
        if folder and file not in files.get(folder, {}):
            yield f"{name} is {value}, and no Secret that is mounted there has a key {file}"
    if int(settings["PROPENSITY_DRAIN_SECONDS"]) + ENDING_SECONDS > grace:
        yield f"terminationGracePeriodSeconds is {grace}, shorter than the drain and {ENDING_SECONDS} s"


def main() -> None:
    """The command: one line for each fault."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m deploy.manifests OVERLAY")
    try:
        manifests = render(Path(sys.argv[1]))
    except ManifestsError as error:
        sys.exit(f"manifests: {error}")
    faults = [
        *schema_faults(manifests, OLDEST),
        *schema_faults(manifests, NEWEST),
        *reference_faults(manifests),
    ]
    if faults:
        sys.exit("\n".join(dict.fromkeys(faults)))
    print(f"manifests: {len(manifests)} without fault, for Kubernetes {OLDEST} to {NEWEST}")


if __name__ == "__main__":
    main()
