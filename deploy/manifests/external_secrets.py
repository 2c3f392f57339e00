"""What the manifests use of the External Secrets operator, as gateway_api.py for the Gateway API.

By the operator's own reference, version 1 (external-secrets.io/latest/api/externalsecret).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from deploy.manifests.gateway_api import Metadata, Name, Part


class StoreRef(Part):
    """The vault that is asked."""

    kind: Literal["SecretStore", "ClusterSecretStore"]
    name: Name


class Target(Part):
    """The Secret that is made."""

    name: Name


class RemoteRef(Part):
    """Where a value is in the vault."""

    key: Annotated[str, Field(min_length=1)]
    property: Annotated[str, Field(min_length=1)] | None = None


class Value(Part):
    """A key of the Secret, and where its value is."""

    secretKey: Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253)]  # noqa: N815
    remoteRef: RemoteRef  # noqa: N815


class ExternalSecretSpec(Part):
    """The spec of a Secret that is made from a vault's values."""

    refreshInterval: Annotated[str, Field(pattern=r"^\d+(s|m|h)$")]  # noqa: N815
    secretStoreRef: StoreRef  # noqa: N815
    target: Target
    data: Annotated[list[Value], Field(min_length=1)]


class ExternalSecret(Part):
    """A Secret that is made of a vault's values."""

    apiVersion: Literal["external-secrets.io/v1"]  # noqa: N815
    kind: Literal["ExternalSecret"]
    metadata: Metadata
    spec: ExternalSecretSpec
