"""
What the answer to a write says of the objects that were written: which version is there now, or that one is gone. Pure.

An API server answers a write that removes the last finalizer of an object that is being deleted with the object, and
names a version from before the deletion; so the metadata must be looked at, not the version alone. A deletion that is
complete is answered with a `Status` that names the uid, or with the object; one that must wait with the object as it
was marked. A deletion of a collection is answered with the list of what was found, as it was before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import msgspec

from reconciler.api import ObjectKey
from reconciler.client import Written

__all__ = ["Fate", "Outcome", "outcomes"]


class Fate(Enum):
    """What became of the object."""

    STORED = "stored"
    GONE = "gone"
    GONE_OR_MARKED = "gone, or being deleted"


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What is known of an object after a write.

    Attributes:
        key: Which one.
        fate: What became of it.
        uid: Empty where the answer does not say it.
        version: The newest one that is known; of an object that is gone an older one than its deletion's, or empty.
        labels: None where the answer does not show them.
        labels_from: The version that had these labels, if it is not `version`; empty otherwise.
    """

    key: ObjectKey
    fate: Fate
    uid: str = ""
    version: str = ""
    labels: Mapping[str, str] | None = None
    labels_from: str = ""


class _Metadata(msgspec.Struct, gc=False, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    finalizers: tuple[str, ...] | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None


class _Details(msgspec.Struct, gc=False):
    uid: str = ""


class _Spec(msgspec.Struct, gc=False):
    finalizers: tuple[str, ...] | None = None


class _Object(msgspec.Struct, gc=False):
    kind: str = ""
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class _Status(msgspec.Struct, gc=False):
    details: _Details | None = None


class _WithSpec(msgspec.Struct, gc=False):
    spec: _Spec | None = None


class _List(msgspec.Struct, gc=False):
    items: list[_Object] | None = None


_object = msgspec.json.Decoder(_Object)
_status = msgspec.json.Decoder(_Status)
_with_spec = msgspec.json.Decoder(_WithSpec)
_list = msgspec.json.Decoder(_List)


def outcomes(written: Written) -> tuple[Outcome, ...]:
    """Return what the answer says; nothing where it names no version and no uid."""
    try:
        if written.verb == "deletecollection":
            return tuple(map(_deleted, _list.decode(written.answer).items or ()))
        found = _of_one(written)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    return () if found is None else (found,)


def _of_one(written: Written) -> Outcome | None:
    found = _object.decode(written.answer)
    metadata = found.metadata
    is_deletion = written.verb == "delete" and not written.subresource
    if found.kind == "Status":
        details = _status.decode(written.answer).details
        uid = details.uid if details else ""
        return Outcome(written.key, Fate.GONE, uid, written.old_version) if is_deletion and uid else None
    if not metadata.resource_version:
        return None
    # A subresource such as `scale` is answered with an object of another kind, without the labels.
    if found.kind != written.resource.kind:
        return Outcome(written.key, Fate.STORED, metadata.uid, metadata.resource_version)
    # Some built-in kinds answer a complete deletion with the object as it was.
    is_gone = _is_finished(found, written) or (is_deletion and metadata.deletion_timestamp is None)
    fate = Fate.GONE if is_gone else Fate.STORED
    return Outcome(written.key, fate, metadata.uid, metadata.resource_version, metadata.labels or {})


def _is_finished(found: _Object, written: Written) -> bool:
    """Whether nothing keeps an object that is being deleted: no finalizer and no time of grace."""
    metadata = found.metadata
    if metadata.deletion_timestamp is None or metadata.finalizers or metadata.deletion_grace_period_seconds:
        return False
    if (written.resource.group, found.kind) != ("", "Namespace"):
        return True
    # Those of a namespace stand elsewhere.
    spec = _with_spec.decode(written.answer).spec
    return spec is None or not spec.finalizers


def _deleted(item: _Object) -> Outcome:
    metadata = item.metadata
    key = ObjectKey(metadata.namespace, metadata.name)
    return Outcome(key, Fate.GONE_OR_MARKED, metadata.uid, metadata.resource_version, metadata.labels or {})
