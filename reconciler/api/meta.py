"""
The base of typed objects: `KubeObject` and its metadata.

Unknown fields survive a round trip: a server newer than a model must not lose data because we wrote the object back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticSerializationError

from reconciler.api.identity import ObjectKey, ResourceType
from reconciler.errors import ReconcilerError

__all__ = ["ApiModel", "KubeObject", "ModelError", "ObjectMeta", "OwnerReference"]


class ModelError(ReconcilerError):
    """
    An object cannot be written, since a field of it holds what the field does not take. No value is in the message.

    Attributes:
        what: The object in words, or the model where it is a piece of one.
        field: The path of the field, by the names of the wire.
        found: The type of the value.
    """

    def __init__(self, what: str, field: str, found: str) -> None:
        """Put the three into one line."""
        self.what = what
        self.field = field
        self.found = found
        super().__init__(f"{what}: {field} holds a value of type {found}, which this field does not take")


# Above the models: the first of them are made while this file is read.
@cache
def _fields_by_alias(kind: type[ApiModel]) -> Mapping[str, str]:
    fields = kind.model_fields
    aliases = {field.serialization_alias: name for name, field in fields.items()}
    return MappingProxyType({alias: name for alias, name in aliases.items() if alias and alias not in fields})


class ApiModel(BaseModel):
    """
    A piece of an API object: camelCase on the wire, snake_case in Python, unknown fields kept.

    The name on the wire of a field that the model knows means that field (`spec.nodeSelector` is `spec.node_selector`),
    so that code goes on working when a model learns a field.
    """

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="allow")

    def to_wire(self) -> dict[str, Any]:
        """
        Return the JSON form, without fields that are None.

        Raises:
            ModelError: A field was set to what it does not take. It is checked here, not when it is set: an object may
                be changed step by step, and a list inside it changes unseen.
        """
        try:
            return self.model_dump(mode="json", by_alias=True, exclude_none=True, warnings="error")
        except PydanticSerializationError:
            # Not "from error": pydantic's text quotes the values.
            field, value = _misfit(self)
            raise ModelError(self._words(), field, type(value).__name__) from None

    def _words(self) -> str:
        return type(self).__name__

    if not TYPE_CHECKING:  # type checkers see the names of Python alone

        def __getattr__(self, name: str) -> Any:
            """Return the field of that name on the wire, or an unknown field."""
            field = _fields_by_alias(type(self)).get(name)
            return super().__getattr__(name) if field is None else getattr(self, field)

        def __setattr__(self, name: str, value: Any) -> None:
            """Set a field, by either of its names, or an unknown field."""
            super().__setattr__(_fields_by_alias(type(self)).get(name, name), value)


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

    Attributes:
        resource: Where the kind lives in the API.
        drops_empty: Whether the server drops empty lists and maps of this kind, so that empty and absent are the same.
            True of the kinds that are built into Kubernetes; custom ones are kept as they were sent.

    Mirrors: controller-runtime `client.Object`.
    """

    resource: ClassVar[ResourceType]
    drops_empty: ClassVar[bool] = False

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
        """
        Return the JSON form, with `apiVersion` and `kind` filled in from `resource`.

        Raises:
            ModelError: A field was set to what it does not take.
        """
        wire = super().to_wire()
        wire["apiVersion"] = self.resource.api_version
        wire["kind"] = self.resource.kind
        wire["metadata"] = self.metadata.to_wire()
        return wire

    def _words(self) -> str:
        metadata = cast("object", self.metadata)
        # It may be the very field that holds something else.
        return f"{self.resource} {self.key}" if isinstance(metadata, ObjectMeta) else str(self.resource)


def _misfit(model: BaseModel) -> tuple[str, object]:
    """Return the path of the first field of `model` that has no JSON form, and its value."""
    fields = type(model).model_fields
    for name, value in (*model.__dict__.items(), *(model.model_extra or {}).items()):
        if _fits(model, {name}):
            continue
        known = fields.get(name)
        path = (known.serialization_alias if known else None) or name
        if isinstance(value, BaseModel):
            return _inside(path, value)
        return _misfit_within(model, name, path, value)
    return "a field", model


def _misfit_within(model: BaseModel, name: str, path: str, value: object) -> tuple[str, object]:
    # A dictionary in the place of a model is wrong as a whole, whatever is in it.
    inside = _parts(value) if _fits(model, {name: set[Any]()}) else ()
    for part, inner in inside:
        if not _fits(model, {name: {part}}):
            below = f"{path}[{part}]" if isinstance(part, int) else f"{path}.{part}"
            return _inside(below, inner) if isinstance(inner, BaseModel) else (below, inner)
    return path, value


def _inside(path: str, value: BaseModel) -> tuple[str, object]:
    below, found = _misfit(value)
    # A whole model of another class than the field's is good for itself.
    return (path, value) if found is value else (f"{path}.{below}", found)


def _parts(value: object) -> Iterable[tuple[Any, object]]:
    if isinstance(value, dict):
        return list(cast("dict[Any, object]", value).items())
    return list(enumerate(cast("list[object]", value))) if isinstance(value, list) else []


def _fits(model: BaseModel, include: Any) -> bool:
    try:
        model.model_dump(mode="json", exclude_none=True, include=include, warnings="error")
    except PydanticSerializationError:
        return False
    return True
