"""What the manifests use of the Gateway API, which no package describes; a field beyond it is a fault.

By the API's own reference, version 1 (gateway-api.sigs.k8s.io/reference/spec).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
Port = Annotated[int, Field(ge=1, le=65535)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Metadata(_Part):
    """Of any object."""

    name: Name
    namespace: Name | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class CertificateRef(_Part):
    """A Secret with a certificate."""

    kind: Literal["Secret"] = "Secret"
    name: Name


class Tls(_Part):
    """How a listener ends TLS."""

    mode: Literal["Terminate"]
    certificateRefs: Annotated[list[CertificateRef], Field(min_length=1)]  # noqa: N815


class Namespaces(_Part):
    """Whose routes are let in."""

    from_: Literal["Same", "All"] = Field(alias="from")


class AllowedRoutes(_Part):
    """Which routes are let in."""

    namespaces: Namespaces


class Listener(_Part):
    """A port of a gateway."""

    name: Name
    protocol: Literal["HTTPS"]
    port: Port
    hostname: Name
    tls: Tls
    allowedRoutes: AllowedRoutes  # noqa: N815


class GatewaySpec(_Part):
    """Of a gateway."""

    gatewayClassName: Name  # noqa: N815
    listeners: Annotated[list[Listener], Field(min_length=1)]


class Gateway(_Part):
    """A gateway."""

    apiVersion: Literal["gateway.networking.k8s.io/v1"]  # noqa: N815
    kind: Literal["Gateway"]
    metadata: Metadata
    spec: GatewaySpec


class ParentRef(_Part):
    """A gateway that a route belongs to."""

    name: Name
    sectionName: Name  # noqa: N815


class PathMatch(_Part):
    """A path, or all below it."""

    type: Literal["PathPrefix", "Exact"]
    value: Annotated[str, Field(pattern="^/")]


class Match(_Part):
    """Requests that a rule is for."""

    path: PathMatch


class BackendRef(_Part):
    """A Service, and its share of the requests."""

    name: Name
    port: Port
    weight: Annotated[int, Field(ge=0, le=1_000_000)] = 1


class Rule(_Part):
    """Where requests go."""

    matches: Annotated[list[Match], Field(min_length=1)]
    backendRefs: Annotated[list[BackendRef], Field(min_length=1)]  # noqa: N815


class RouteSpec(_Part):
    """Of a route."""

    parentRefs: Annotated[list[ParentRef], Field(min_length=1)]  # noqa: N815
    hostnames: Annotated[list[Name], Field(min_length=1)]
    rules: Annotated[list[Rule], Field(min_length=1)]


class HTTPRoute(_Part):
    """A route."""

    apiVersion: Literal["gateway.networking.k8s.io/v1"]  # noqa: N815
    kind: Literal["HTTPRoute"]
    metadata: Metadata
    spec: RouteSpec
