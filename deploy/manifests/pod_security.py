"""What the restricted level of Pod Security would not let in.

By kubernetes.io/docs/concepts/security/pod-security-standards.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Manifest = dict[str, Any]

_MODES = ("enforce", "audit", "warn")

_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def title(manifest: Manifest) -> str:
    """Kind and name of an object."""
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def security_faults(manifests: list[Manifest]) -> list[str]:
    """Pods that the restricted level would not let in, and namespaces that do not ask for it."""
    return [f"{title(each)}: {fault}" for each in manifests for fault in _faults(each, manifests)]


def _faults(manifest: Manifest, manifests: list[Manifest]) -> Iterator[str]:
    if manifest["kind"] == "Namespace":
        labels = manifest["metadata"].get("labels", {})
        for mode in _MODES:
            label = f"pod-security.kubernetes.io/{mode}"
            if labels.get(label) != "restricted" or not labels.get(f"{label}-version"):
                yield f"{label} is not restricted, of a version"
    if manifest["kind"] == "Deployment":
        names = {each["metadata"]["name"] for each in manifests if each["kind"] == "Namespace"}
        if names != {manifest["metadata"].get("namespace")}:
            yield "is not in the one Namespace that is here"
        yield from _pod(manifest["spec"]["template"]["spec"])


def _pod(pod: Manifest) -> Iterator[str]:
    security = pod.get("securityContext", {})
    if security.get("runAsNonRoot") is not True or security.get("runAsUser") == 0:
        yield "may run as root"
    if security.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        yield "has no seccomp profile"
    for host in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(host):
            yield f"sets {host}"
    for volume in pod.get("volumes", []):
        for kind in volume.keys() - {"name"} - _VOLUMES:
            yield f"volume {volume['name']} is a {kind}"
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        for fault in _container(container):
            yield f"container {container['name']} {fault}"


def _container(container: Manifest) -> Iterator[str]:
    security = container.get("securityContext", {})
    if security.get("allowPrivilegeEscalation") is not False or security.get("privileged"):
        yield "may gain privileges"
    capabilities = security.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "keeps capabilities"
    if security.get("runAsNonRoot") is False or security.get("runAsUser") == 0:
        yield "may run as root"
