"""
Owner references and finalizers, set on an object in memory; the caller writes the object. Pure.

Every function takes typed objects and dictionaries, and the two may be mixed. What changes is `metadata` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from reconciler.api.meta import KubeObject, OwnerReference
from reconciler.errors import ReconcilerError

__all__ = [
    "AlreadyOwnedError",
    "OwnerError",
    "add_finalizer",
    "contains_finalizer",
    "controller_of",
    "has_owner_reference",
    "is_controlled_by",
    "remove_finalizer",
    "remove_owner_reference",
    "set_controller_reference",
    "set_owner_reference",
]

AnyObject = KubeObject | dict[str, Any]


class OwnerError(ReconcilerError):
    """An object cannot own another one: they live in different places, or the owner has no identity yet."""


class AlreadyOwnedError(OwnerError):
    """
    Another controller owns the object; `owner` says which.

    Mirrors: controller-runtime `controllerutil.AlreadyOwnedError`.
    """

    def __init__(self, message: str, owner: OwnerReference) -> None:
        """`owner` is the reference that is in the way."""
        super().__init__(message)
        self.owner = owner


def set_controller_reference(owner: AnyObject, obj: AnyObject, *, block_owner_deletion: bool = True) -> bool:
    """
    Make `owner` the controller of `obj`, and return whether anything changed.

    The object is deleted with its owner, and its events can wake the owner's key. A reference to an owner of the same
    group, kind and name is replaced, also one to a predecessor with another UID.

    Args:
        owner: Cluster-scoped, or in the namespace of `obj`; it needs a UID, so it has been read or created.
        obj: What is owned.
        block_owner_deletion: Whether a deletion of the owner in the foreground waits for `obj`.

    Raises:
        AlreadyOwnedError: Another controller owns `obj`.
        OwnerError: `owner` is in another namespace, or has no UID.

    Mirrors: controller-runtime `controllerutil.SetControllerReference`.
    Differs: an owner without a UID is refused here, not by the server later.
    """
    new = _reference_to(owner, obj, controller=True, block_owner_deletion=block_owner_deletion)
    old = controller_of(obj)
    if old is not None and not _is_same(old, new):
        raise AlreadyOwnedError(
            f"{_words(obj)} is controlled by {old.kind} {old.name} already; {new.kind} {new.name} cannot control it",
            old,
        )
    return _put(obj, new)


def set_owner_reference(owner: AnyObject, obj: AnyObject, *, block_owner_deletion: bool | None = None) -> bool:
    """
    Make `owner` one of the owners of `obj`, not its controller, and return whether anything changed.

    The garbage collector deletes `obj` when its last owner is gone. A reference to an owner of the same group, kind
    and name is replaced, also where it made that owner the controller.

    Raises:
        OwnerError: `owner` is in another namespace, or has no UID.

    Mirrors: controller-runtime `controllerutil.SetOwnerReference`.
    Differs: an owner without a UID is refused here, not by the server later.
    """
    return _put(obj, _reference_to(owner, obj, controller=None, block_owner_deletion=block_owner_deletion))


def remove_owner_reference(owner: AnyObject, obj: AnyObject) -> bool:
    """
    Take the reference to `owner` out of `obj`, and return whether there was one.

    Mirrors: controller-runtime `controllerutil.RemoveOwnerReference`.
    Differs: a reference that is not there is no error.
    """
    owners = _owners(obj)
    index = _index(owners, owner)
    if index is None:
        return False
    del owners[index]
    _set_owners(obj, owners)
    return True


def has_owner_reference(owner: AnyObject, obj: AnyObject) -> bool:
    """
    Return whether `obj` has a reference to the group, kind and name of `owner`, whatever its UID.

    Mirrors: controller-runtime `controllerutil.HasOwnerReference`.
    """
    return _index(_owners(obj), owner) is not None


def controller_of(obj: AnyObject) -> OwnerReference | None:
    """
    Return a copy of the reference to the controller of `obj`, or None.

    Mirrors: apimachinery `metav1.GetControllerOf`.
    """
    found = next((owner for owner in _owners(obj) if owner.controller), None)
    return found.model_copy() if found else None


def is_controlled_by(obj: AnyObject, owner: AnyObject) -> bool:
    """
    Return whether `owner` itself, by its UID, is the controller of `obj`.

    Mirrors: apimachinery `metav1.IsControlledBy`.
    """
    found = controller_of(obj)
    return found is not None and found.uid == _text(owner, "uid")


def add_finalizer(obj: AnyObject, finalizer: str) -> bool:
    """
    Put `finalizer` last unless it is there, and return whether anything changed.

    Mirrors: controller-runtime `controllerutil.AddFinalizer`.
    """
    finalizers = _finalizers(obj)
    if finalizer in finalizers:
        return False
    _set_finalizers(obj, [*finalizers, finalizer])
    return True


def remove_finalizer(obj: AnyObject, finalizer: str) -> bool:
    """
    Take `finalizer` out, every time that it stands there, and return whether anything changed.

    Mirrors: controller-runtime `controllerutil.RemoveFinalizer`.
    """
    finalizers = _finalizers(obj)
    if finalizer not in finalizers:
        return False
    _set_finalizers(obj, [other for other in finalizers if other != finalizer])
    return True


def contains_finalizer(obj: AnyObject, finalizer: str) -> bool:
    """Return whether `finalizer` is there. Mirrors: controller-runtime `controllerutil.ContainsFinalizer`."""
    return finalizer in _finalizers(obj)


def _reference_to(
    owner: AnyObject, obj: AnyObject, *, controller: bool | None, block_owner_deletion: bool | None
) -> OwnerReference:
    namespace, found = _text(owner, "namespace"), _text(obj, "namespace")
    # An owner without a namespace is cluster-scoped, and may own anything.
    if namespace and not found:
        raise OwnerError(
            f"{_words(obj)} has no namespace, so {_words(owner)}, which has one, cannot own it: "
            "a cluster-scoped object needs a cluster-scoped owner"
        )
    if namespace and namespace != found:
        raise OwnerError(f"{_words(owner)} cannot own {_words(obj)}: an owner is in the same namespace, or in none")
    uid = _text(owner, "uid")
    if not uid:
        raise OwnerError(f"{_words(owner)} has no UID, so it cannot own {_words(obj)}: create or read the owner first")
    api_version, kind = _kind(owner)
    return OwnerReference(
        api_version=api_version,
        kind=kind,
        name=_text(owner, "name"),
        uid=uid,
        controller=controller,
        block_owner_deletion=block_owner_deletion,
    )


def _put(obj: AnyObject, new: OwnerReference) -> bool:
    owners = _owners(obj)
    for index, old in enumerate(owners):
        if _is_same(old, new):
            owners[index] = new
            break
    else:
        old = None
        owners.append(new)
    if old == new:
        return False
    _set_owners(obj, owners)
    return True


def _index(owners: list[OwnerReference], owner: AnyObject) -> int | None:
    api_version, kind = _kind(owner)
    wanted = OwnerReference(api_version=api_version, kind=kind, name=_text(owner, "name"), uid="")
    return next((index for index, found in enumerate(owners) if _is_same(found, wanted)), None)


def _is_same(one: OwnerReference, other: OwnerReference) -> bool:
    # Neither the version, which changes with the program, nor the UID, which changes with a re-created owner.
    return (_group(one.api_version), one.kind, one.name) == (_group(other.api_version), other.kind, other.name)


def _group(api_version: str) -> str:
    return api_version.rpartition("/")[0]


def _kind(obj: AnyObject) -> tuple[str, str]:
    if isinstance(obj, KubeObject):
        return obj.resource.api_version, obj.resource.kind
    api_version, kind = obj.get("apiVersion") or "", obj.get("kind") or ""
    if not api_version or not kind:
        raise OwnerError(f"the owner {_text(obj, 'name')} has no apiVersion or no kind")
    return api_version, kind


def _words(obj: AnyObject) -> str:
    kind = obj.resource.kind if isinstance(obj, KubeObject) else obj.get("kind") or "object"
    namespace, name = _text(obj, "namespace"), _text(obj, "name") or "(no name)"
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def _text(obj: AnyObject, field: str) -> str:
    if isinstance(obj, KubeObject):
        return str(getattr(obj.metadata, field))
    return str(_metadata(obj).get(field) or "")


def _metadata(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", obj.get("metadata") or {})


def _owners(obj: AnyObject) -> list[OwnerReference]:
    if isinstance(obj, KubeObject):
        return list(obj.metadata.owner_references or ())
    return [OwnerReference.model_validate(found) for found in _metadata(obj).get("ownerReferences") or ()]


def _set_owners(obj: AnyObject, owners: list[OwnerReference]) -> None:
    if isinstance(obj, KubeObject):
        obj.metadata.owner_references = owners or None
    else:
        _set(obj, "ownerReferences", [owner.to_wire() for owner in owners])


def _finalizers(obj: AnyObject) -> list[str]:
    if isinstance(obj, KubeObject):
        return list(obj.metadata.finalizers or ())
    return list(_metadata(obj).get("finalizers") or ())


def _set_finalizers(obj: AnyObject, finalizers: list[str]) -> None:
    if isinstance(obj, KubeObject):
        obj.metadata.finalizers = finalizers or None
    else:
        _set(obj, "finalizers", finalizers)


def _set(obj: dict[str, Any], field: str, value: list[Any]) -> None:
    metadata = dict(_metadata(obj))
    if value:
        metadata[field] = value
    else:
        metadata.pop(field, None)
    obj["metadata"] = metadata
