"""What the manifests use of the Gateway API, which no package describes; a field beyond it is a fault.

By the API's own reference, version 1 (gateway-api.sigs.k8s.io/reference/spec).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Part(BaseModel):
    """A part of an object; a field that it does not name is a fault."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Metadata(Part):
    """The metadata of any object."""

    name: Name
    namespace: Name | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class CertificateRef(Part):
    """A Secret with a certificate."""

    kind: Literal["Secret"] = "Secret"
    name: Name


class Tls(Part):
    """How a listener ends TLS."""

    mode: Literal["Terminate"]
    certificateRefs: Annotated[list[CertificateRef], Field(min_length=1)]  # noqa: N815


class Namespaces(Part):
    """Whose routes are let in."""

    from_: Literal["Same", "All"] = Field(alias="from")


class AllowedRoutes(Part):
    """The routes that a listener accepts."""

    namespaces: Namespaces


class Listener(Part):
    """A port of a gateway."""

    name: Name
    protocol: Literal["HTTPS"]
    port: Port
    hostname: Name
    tls: Tls
    allowedRoutes: AllowedRoutes  # noqa: N815


class GatewaySpec(Part):
    """The spec of a gateway."""

    gatewayClassName: Name  # noqa: N815
    listeners: Annotated[list[Listener], Field(min_length=1)]


class Gateway(Part):
    """A gateway."""

    apiVersion: Literal["gateway.networking.k8s.io/v1"]  # noqa: N815
    kind: Literal["Gateway"]
    metadata: Metadata
    spec: GatewaySpec


class ParentRef(Part):
    """A gateway that a route belongs to."""

    name: Name
    sectionName: Name  # noqa: N815


class PathMatch(Part):
    """A path, or all below it."""

    type: Literal["PathPrefix", "Exact"]
    value: Annotated[str, Field(pattern="^/")]


class HeaderMatch(Part):
    """A header, and the value that it must have."""

    type: Literal["Exact"] = "Exact"
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$", max_length=256)]
    value: Annotated[str, Field(min_length=1, max_length=4096)]


class Match(Part):
    """Requests that a rule is for."""

    path: PathMatch
    headers: Annotated[list[HeaderMatch], Field(max_length=16)] = []


class BackendRef(Part):
    """A Service, and its share of the requests."""

    name: Name
    port: Port
    weight: Annotated[int, Field(ge=0, le=1_000_000)] = 1


Duration = Annotated[str, Field(pattern=r"^\d{1,5}s$")]
"""Whole seconds are what is used here of the API's durations."""


class Timeouts(Part):
    """How long a request may take in all, and each try of a backend."""

    request: Duration
    backendRequest: Duration  # noqa: N815


class Rule(Part):
    """Where requests go."""

    matches: Annotated[list[Match], Field(min_length=1)]
    backendRefs: Annotated[list[BackendRef], Field(min_length=1)]  # noqa: N815
    timeouts: Timeouts


class RouteSpec(Part):
    """The spec of a route."""

    parentRefs: Annotated[list[ParentRef], Field(min_length=1)]  # noqa: N815
    hostnames: Annotated[list[Name], Field(min_length=1)]
    rules: Annotated[list[Rule], Field(min_length=1)]


class HTTPRoute(Part):
    """A route."""

    apiVersion: Literal["gateway.networking.k8s.io/v1"]  # noqa: N815
    kind: Literal["HTTPRoute"]
    metadata: Metadata
    spec: RouteSpec
