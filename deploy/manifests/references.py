"""References between manifests, and from settings to files: what leads nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from deploy.manifests.pod_security import Manifest, title
from propensity.contract.limits import BODY_SECONDS

ENDING_SECONDS = 15
"""Seconds that a worker needs after the drain: for the longest request (10 s), and to end itself."""

GIVEN: dict[str, set[str]] = {
    "propensity": {"tokens"},
    "propensity-scrape": {"token"},
    "propensity-tls": {"tls.crt", "tls.key"},
    "propensity-redis": {"url"},
    "propensity-pull": {".dockerconfigjson"},
}
"""Secrets, by their keys, that may be referred to and made elsewhere; docs/deployment.md says how."""


def reference_faults(manifests: list[Manifest]) -> list[str]:
    """References that lead nowhere: no schema sees a selector that selects nothing."""
    return list(_References(manifests).faults())


class _References:
    def __init__(self, manifests: list[Manifest]) -> None:
        self._all = manifests
        self._deployments = [each for each in manifests if each["kind"] == "Deployment"]
        self._secrets: dict[str, set[str]] = {
            **{
                each["spec"]["target"]["name"]: {value["secretKey"] for value in each["spec"]["data"]}
                for each in self._of("ExternalSecret")
            },
            **{
                each["metadata"]["name"]: {*each.get("data", {}), *each.get("stringData", {})}
                for each in self._of("Secret")
            },
        }
        self.left: set[str] = set()
        """Secrets that are referred to and not made here."""
        self._settings = {each["metadata"]["name"]: each.get("data", {}) for each in self._of("ConfigMap")}

    def faults(self) -> Iterator[str]:
        checks = {
            "Deployment": self._deployment,
            "ServiceAccount": self._account,
            "ConfigMap": self._config,
            "Service": self._service,
            "HorizontalPodAutoscaler": self._autoscaler,
            "PodDisruptionBudget": self._budget,
            "NetworkPolicy": self._policy,
            "Gateway": self._gateway,
            "HTTPRoute": self._route,
            "ServiceMonitor": self._monitor,
        }
        for each in self._all:
            for fault in checks.get(each["kind"], lambda _: ())(each):
                yield f"{title(each)}: {fault}"

    def _of(self, kind: str) -> list[Manifest]:
        return [each for each in self._all if each["kind"] == kind]

    def _found(self, kind: str, name: str) -> Manifest | None:
        return next((each for each in self._of(kind) if each["metadata"]["name"] == name), None)

    def _selected(self, labels: Mapping[str, str]) -> list[Manifest]:
        """The Deployments whose pods have these labels."""
        return [
            each
            for each in self._deployments
            if labels.items() <= each["spec"]["template"]["metadata"]["labels"].items()
        ]

    def _one(self, labels: Mapping[str, str]) -> Iterator[str]:
        """A Deployment, a Service and a budget are for pods of one Deployment: no canary among them."""
        selected = self._selected(labels)
        if not selected:
            yield "its selector selects no pods"
        if len(selected) > 1:
            yield f"its selector selects pods of {' and '.join(map(title, selected))}"

    def _keys(self, secret: str) -> set[str] | None:
        if secret in self._secrets:
            return self._secrets[secret]
        if secret in GIVEN:
            self.left.add(secret)
        return GIVEN.get(secret)

    def _secret(self, name: str, key: str) -> Iterator[str]:
        if key not in (self._keys(name) or set()):
            yield f"no Secret {name} with a key {key}"

    def _deployment(self, deployment: Manifest) -> Iterator[str]:
        spec = deployment["spec"]
        template = spec["template"]
        pod, labels = template["spec"], template["metadata"]["labels"].items()
        if not spec["selector"]["matchLabels"].items() <= labels:
            yield "its selector does not select its own pods"
        else:
            yield from self._one(spec["selector"]["matchLabels"])
        for constraint in pod.get("topologySpreadConstraints", []):
            if not constraint["labelSelector"]["matchLabels"].items() <= labels:
                yield "a topology spread constraint does not count its pods"
        account = pod.get("serviceAccountName", "default")
        if self._found("ServiceAccount", account) is None:
            yield f"no ServiceAccount {account}"
        if pod.get("enableServiceLinks", True):
            yield "enableServiceLinks is not false: a Service called propensity sets PROPENSITY_ variables"
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        for name, volume in volumes.items():
            if self._files(volume) is None:
                yield f"volume {name}: nothing that is called so"
        for container in pod["containers"]:
            yield from self._container(container, volumes, pod.get("terminationGracePeriodSeconds", 30))
        yield from self._egress(deployment)

    def _files(self, volume: Manifest) -> set[str] | None:
        """What a volume holds when a pod starts; None, if what it names is not there."""
        if "secret" in volume:
            return self._keys(volume["secret"]["secretName"])
        if "configMap" in volume:
            held = self._settings.get(volume["configMap"]["name"])
            return None if held is None else set(held)
        claim = volume.get("persistentVolumeClaim", {}).get("claimName")
        return set() if claim is None or self._found("PersistentVolumeClaim", claim) else None

    def _container(self, container: Manifest, volumes: Mapping[str, Manifest], grace: int) -> Iterator[str]:
        ports = _ports([container])
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            port = container.get(probe, {}).get("httpGet", {}).get("port")
            if port is not None and port not in ports:
                yield f"{probe}: no port {port}"
        files = {}
        for mount in container.get("volumeMounts", []):
            volume = volumes.get(mount["name"])
            if volume is None:
                yield f"no volume {mount['name']}"
            else:
                files[mount["mountPath"]] = self._files(volume) or set()
        for variable in container.get("env", []):
            if secret := variable.get("valueFrom", {}).get("secretKeyRef"):
                yield from self._secret(secret["name"], secret["key"])
        for source in container.get("envFrom", []):
            if "secretRef" in source and self._keys(source["secretRef"]["name"]) is None:
                yield f"no Secret {source['secretRef']['name']}"
            elif "configMapRef" in source:
                settings = self._settings.get(source["configMapRef"]["name"])
                if settings is None:
                    yield f"no ConfigMap {source['configMapRef']['name']}"
                else:
                    yield from _setting_faults(settings, files, grace)

    def _egress(self, deployment: Manifest) -> Iterator[str]:
        """Settings that name another host, to which no policy lets the pods out."""
        labels = deployment["spec"]["template"]["metadata"]["labels"].items()
        ports = {
            port["port"]
            for each in self._of("NetworkPolicy")
            if each["spec"]["podSelector"].get("matchLabels", {}).items() <= labels
            for rule in each["spec"].get("egress", [])
            for port in rule.get("ports", [])
            if "port" in port
        }
        for settings in self._settings.values():
            for name in _FETCHED & settings.keys():
                url = urlsplit(settings[name])
                port = url.port or {"https": 443, "http": 80}.get(url.scheme)
                if port is not None and not {port, 53} <= ports:
                    yield f"{name} is {settings[name]}, and no NetworkPolicy lets out to port {port} and DNS"

    def _config(self, settings: Manifest) -> Iterator[str]:
        for key, value in settings.get("data", {}).items():
            if "PRIVATE KEY-----" in value:
                yield f"{key} holds a private key, which everybody may read here; put the public one there"

    def _account(self, account: Manifest) -> Iterator[str]:
        for secret in account.get("imagePullSecrets", []):
            yield from self._secret(secret["name"], ".dockerconfigjson")

    def _service(self, service: Manifest) -> Iterator[str]:
        yield from self._one(service["spec"]["selector"])
        for port in service["spec"]["ports"]:
            for each in self._selected(service["spec"]["selector"]):
                if port["targetPort"] not in _ports(_containers(each)):
                    yield f"targetPort {port['targetPort']} names no port of its pods"

    def _autoscaler(self, autoscaler: Manifest) -> Iterator[str]:
        target = autoscaler["spec"]["scaleTargetRef"]
        found = self._found(target["kind"], target["name"])
        if found is None:
            yield f"no {target['kind']} {target['name']}"
        elif "replicas" in found["spec"]:
            yield f"{title(found)} sets replicas itself, and each rollout would undo the scaling"

    def _budget(self, budget: Manifest) -> Iterator[str]:
        yield from self._one(budget["spec"]["selector"]["matchLabels"])

    def _policy(self, policy: Manifest) -> Iterator[str]:
        selected = self._selected(policy["spec"]["podSelector"].get("matchLabels", {}))
        if not selected:
            yield "its selector selects no pods"
        ports = {
            port["port"]
            for rule in policy["spec"].get("ingress", [])
            for port in rule.get("ports", [])
            if "port" in port
        }
        for port in ports:
            if not all(port in _ports(_containers(each)) for each in selected):
                yield f"port {port} names no port of its pods"

    def _gateway(self, gateway: Manifest) -> Iterator[str]:
        for listener in gateway["spec"]["listeners"]:
            for certificate in listener["tls"]["certificateRefs"]:
                yield from self._secret(certificate["name"], "tls.key")

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
            yield from self._timeouts(rule["timeouts"])
        yield from _rule_faults(route["spec"]["rules"])

    def _timeouts(self, timeouts: Mapping[str, str]) -> Iterator[str]:
        """Check that the gateway waits longer than the service, whose problems say more than a 504."""
        request, backend = (int(timeouts[each].removesuffix("s")) for each in ("request", "backendRequest"))
        for settings in self._settings.values():
            if "PROPENSITY_MAX_LATENCY_MS" in settings:
                longest = BODY_SECONDS + int(settings["PROPENSITY_MAX_LATENCY_MS"]) / 1_000
                if backend <= longest:
                    yield f"backendRequest is {backend} s, and the service may take {longest:g} s to answer"
        if request < backend:
            yield f"request is {request} s, shorter than backendRequest"

    def _monitor(self, monitor: Manifest) -> Iterator[str]:
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        services = [
            each for each in self._of("Service") if wanted <= each["metadata"].get("labels", {}).items()
        ]
        if not services:
            yield "its selector selects no Service"
        for label in monitor["spec"].get("podTargetLabels", []):
            for service in services:
                for each in self._selected(service["spec"]["selector"]):
                    if label not in each["spec"]["template"]["metadata"]["labels"]:
                        yield f"pods of {title(each)} have no label {label}"
        for endpoint in monitor["spec"]["endpoints"]:
            for service in services:
                if endpoint["port"] not in {port["name"] for port in service["spec"]["ports"]}:
                    yield f"no port {endpoint['port']} of {title(service)}"
            credentials = endpoint["authorization"]["credentials"]
            yield from self._secret(credentials["name"], credentials["key"])


_FETCHED = {"PROPENSITY_JWT_KEYS", "PROPENSITY_RATE_LIMIT_REDIS", "OTEL_EXPORTER_OTLP_ENDPOINT"}
"""Settings that name what the pods connect to."""


def _containers(deployment: Manifest) -> list[Manifest]:
    containers: list[Manifest] = deployment["spec"]["template"]["spec"]["containers"]
    return containers


def _ports(containers: list[Manifest]) -> set[str | int]:
    return {
        port[each]
        for container in containers
        for port in container.get("ports", [])
        for each in ("name", "containerPort")
        if each in port
    }


def _setting_faults(settings: Mapping[str, str], files: Mapping[str, set[str]], grace: int) -> Iterator[str]:
    """Settings that name files that are not there, or a drain that the pod does not live to end."""
    for name, value in settings.items():
        folder, _, file = value.rpartition("/")
        if value.startswith("/") and value not in files and file not in files.get(folder, set()):
            yield f"{name} is {value}, and nothing that is mounted there has a key {file}"
    if int(settings.get("PROPENSITY_DRAIN_SECONDS", 0)) + ENDING_SECONDS > grace:
        yield f"terminationGracePeriodSeconds is {grace}, shorter than the drain and {ENDING_SECONDS} s"


def _rule_faults(rules: list[Manifest]) -> Iterator[str]:
    """Rules of one route: what asks for a header must be what is served without it."""
    paths = [{(match["path"]["type"], match["path"]["value"]) for match in rule["matches"]} for rule in rules]
    for rule, own in zip(rules, paths, strict=True):
        if own != paths[0]:
            yield "its rules are for different paths"
        if rule is not rules[0] and not all(match.get("headers") for match in rule["matches"]):
            yield "two rules are for the same requests"


def unfinished(manifests: list[Manifest]) -> list[str]:
    """What the manifests leave to whoever applies them."""
    references = _References(manifests)
    list(references.faults())
    images = [
        container["image"]
        for each in manifests
        if each["kind"] == "Deployment"
        for container in _containers(each)
    ]
    keys = [each["data"]["model-key.pub"] for each in manifests if "model-key.pub" in each.get("data", {})]
    return [
        *(["an image, by `make release`"] if any(image.endswith("0" * 64) for image in images) else []),
        *("a public key in model-key.pub" for key in keys if "-----BEGIN PUBLIC KEY-----" not in key),
        *(f"the Secret {name} ({', '.join(sorted(GIVEN[name]))})" for name in sorted(references.left)),
    ]
