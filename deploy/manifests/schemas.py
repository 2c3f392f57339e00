"""Schemas of manifests: fields and types that Kubernetes and its extensions know."""

from __future__ import annotations

from functools import cache

from pydantic import BaseModel, ValidationError

from deploy.manifests.external_secrets import ExternalSecret
from deploy.manifests.gateway_api import Gateway, HTTPRoute
from deploy.manifests.pod_security import Manifest, title

OLDEST, NEWEST = "1.31", "1.37"
"""Versions of Kubernetes that the manifests are written for; the oldest is bound by the disruption budget."""


@cache
def _custom() -> dict[str, type[BaseModel]]:
    """The kinds that Kubernetes itself does not know."""
    # The operator's package takes seconds to import.
    from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor  # noqa: PLC0415

    return {
        "ExternalSecret": ExternalSecret,
        "Gateway": Gateway,
        "HTTPRoute": HTTPRoute,
        "PrometheusRule": PrometheusRule,
        "ServiceMonitor": ServiceMonitor,
    }


def schema_faults(manifests: list[Manifest], version: str) -> list[str]:
    """Fields and types that a version of Kubernetes does not know."""
    # It compiles grammars when it is imported, which takes seconds.
    import kubernetes_validate  # noqa: PLC0415

    custom = _custom()
    faults = []
    for each in manifests:
        try:
            if each["kind"] in custom:
                custom[each["kind"]].model_validate(each, extra="forbid")
            else:
                kubernetes_validate.validate(each, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            faults.append(f"{title(each)}: {each['apiVersion']} is unknown to Kubernetes {version}")
        except kubernetes_validate.ValidationError as error:
            faults.append(f"{title(each)}: {'.'.join(map(str, error.path))}: {error.message}")
        except ValidationError as error:
            first = error.errors()[0]
            faults.append(f"{title(each)}: {'.'.join(map(str, first['loc']))}: {first['msg']}")
    return faults
