"""
`EncodedObject`: an object as its own JSON bytes, with a small header of what is asked for most.

This is how the cache keeps objects and how events carry them. It is immutable and may be shared; everything that is
decoded from it, except `metadata`, is a new value that belongs to whoever asked. Pure.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from reconciler.api.identity import ObjectKey
from reconciler.api.meta import KubeObject

__all__ = ["EncodedObject", "EncodedOwner", "PartialMetadata"]

K = TypeVar("K", bound=KubeObject)
Raw = msgspec.Raw

_METADATA_REMEMBERED = 256


class EncodedOwner(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """An owner reference, as far as handlers need it."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None


class PartialMetadata(msgspec.Struct, frozen=True, rename="camel"):
    """The parts of an object's metadata that predicates and handlers look at. It is shared: read, do not write."""

    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[EncodedOwner, ...] = ()

    @property
    def controller(self) -> EncodedOwner | None:
        """The owner that controls the object, if there is one. Mirrors: apimachinery `metav1.GetControllerOf`."""
        return next((owner for owner in self.owner_references if owner.controller), None)


class EncodedObject(msgspec.Struct, frozen=True, gc=False, eq=False):
    """
    One version of one object.

    Attributes:
        key: Namespace and name.
        uid: Tells a re-created object of the same name from its predecessor.
        resource_version: Opaque; only equality means something.
        generation: 0 where the kind has none.
        is_being_deleted: Whether `metadata.deletionTimestamp` is set.
        body: The object's JSON, without `metadata.managedFields` unless they were asked for.
    """

    key: ObjectKey
    uid: str
    resource_version: str
    generation: int
    is_being_deleted: bool
    body: bytes

    @classmethod
    def from_json(cls, body: bytes | memoryview | Raw, *, keep_managed_fields: bool = False) -> EncodedObject:
        """
        Return the object that `body` holds; its bytes are copied, so `body` may be a view into something bigger.

        Raises:
            msgspec.DecodeError: `body` is not an object of Kubernetes (`msgspec.ValidationError` is one of these).
        """
        parts = _parts.decode(body)
        if "metadata" not in parts:
            raise msgspec.ValidationError("Object missing required field `metadata`")
        header = _header.decode(parts["metadata"])
        if not keep_managed_fields:
            metadata = _parts.decode(parts["metadata"])
            # Half of a small object is often this list, and no controller reads it from a cache.
            if metadata.pop("managedFields", None) is not None:
                parts["metadata"] = Raw(_encoder.encode(metadata))
        return cls(
            # Few namespaces, many objects: one string for all of them.
            ObjectKey(sys.intern(header.namespace), header.name),
            header.uid,
            header.resource_version,
            header.generation,
            header.deletion_timestamp is not None,
            # Copied once more: what the encoder returns keeps its buffer, half as large again.
            bytes(memoryview(_encoder.encode(parts))),
        )

    @property
    def metadata(self) -> PartialMetadata:
        """Labels, annotations, finalizers and owners; decoded on demand, and remembered for a while."""
        return _metadata_of(self)

    def decode(self, kind: type[K]) -> K:
        """Return a new model. Raises pydantic's `ValidationError` where the object breaks it."""
        return kind.from_json(self.body)

    def to_dict(self) -> dict[str, Any]:
        """Return a new dictionary."""
        return _dictionary.decode(self.body)

    def __repr__(self) -> str:
        return f"<EncodedObject {self.key} version {self.resource_version}, {len(self.body)} bytes>"


class _Header(msgspec.Struct, gc=False, rename="camel"):
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    deletion_timestamp: str | None = None


class _WithMetadata(msgspec.Struct, gc=False):
    metadata: PartialMetadata


_parts = msgspec.json.Decoder(dict[str, Raw])
_header = msgspec.json.Decoder(_Header)
_with_metadata = msgspec.json.Decoder(_WithMetadata)
_dictionary = msgspec.json.Decoder(dict[str, Any])
_encoder = msgspec.json.Encoder()


@lru_cache(maxsize=_METADATA_REMEMBERED)
def _metadata_of(encoded: EncodedObject) -> PartialMetadata:
    # By identity: an object is asked by its predicates and handlers in a row, then by the next event as the old one.
    return _with_metadata.decode(encoded.body).metadata
