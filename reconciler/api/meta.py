"""
The base of typed objects: `KubeObject` and its metadata.

Unknown fields survive a round trip: a server newer than a model must not lose data because we wrote the object back.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from reconciler.api.identity import ObjectKey, ResourceType

__all__ = ["ApiModel", "KubeObject", "ObjectMeta", "OwnerReference"]


class ApiModel(BaseModel):
    """A piece of an API object: camelCase on the wire, snake_case in Python, unknown fields kept."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="allow")

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form, without fields that are None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class OwnerReference(ApiModel):
    """Names the object that owns this one. Mirrors: apimachinery `metav1.OwnerReference`."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(ApiModel):
    """
    What every object carries; see the API conventions for each field's meaning.

    Mirrors: apimachinery `metav1.ObjectMeta`.
    """

    name: str = ""
    generate_name: str | None = None
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    finalizers: list[str] | None = None
    owner_references: list[OwnerReference] | None = None

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form; what the server sets is left out while it is empty."""
        wire = super().to_wire()
        for name in ("name", "namespace", "uid", "resourceVersion", "generation"):
            if not wire.get(name):
                wire.pop(name, None)
        return wire


class KubeObject(ApiModel):
    """
    A typed object. A subclass sets `resource`, and adds `spec`, `status` or whatever its kind has.

    Mirrors: controller-runtime `client.Object`.
    """

    resource: ClassVar[ResourceType]

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()

    @property
    def key(self) -> ObjectKey:
        """Namespace and name of this object."""
        return ObjectKey(self.metadata.namespace, self.metadata.name)

    @classmethod
    def from_json(cls, body: bytes | str) -> Self:
        """Return the object that `body` holds. Raises pydantic's `ValidationError` where it breaks the model."""
        return cls.model_validate_json(body)

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form, with `apiVersion` and `kind` filled in from `resource`."""
        wire = super().to_wire()
        wire["apiVersion"] = self.resource.api_version
        wire["kind"] = self.resource.kind
        wire["metadata"] = self.metadata.to_wire()
        return wire
