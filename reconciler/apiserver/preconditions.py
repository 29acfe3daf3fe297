"""What must hold before a write: versions, uids, an object without mistakes. Pure; each raises or returns."""

from __future__ import annotations

from reconciler.apiserver import metadata
from reconciler.apiserver.exchange import JsonObject
from reconciler.apiserver.failure import conflict, internal, invalid
from reconciler.apiserver.options import DeleteOptions
from reconciler.apiserver.resource import Resource, object_key
from reconciler.apiserver.schema import FieldError

__all__ = ["check_deletable", "check_uid", "check_valid", "check_version"]

_BLOCKING = frozenset(
    {"FieldValueRequired", "FieldValueNotSupported", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"}
)
_UNCHECKED = FieldError(
    "FieldValueInvalid",
    "Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation",
    "<nil>",
)
_STALE = "the object has been modified; please apply your changes to the latest version and try again"


def check_version(resource: Resource, name: str, wanted: JsonObject, old: JsonObject) -> None:
    """
    Refuse an update made from another version of the object.

    Raises:
        StatusError: 409 for another version; 422 for none where the kind needs one; 500 for one that is no number.
    """
    text = wanted["metadata"].get("resourceVersion", "")
    if text in ("", "0"):
        if resource.rules.needs_resource_version:
            mistake = "Invalid value: 0: must be specified for an update"
            cause = FieldError("FieldValueInvalid", mistake, "metadata.resourceVersion")
            raise invalid(resource.type.group, resource.type.plural, name, [cause])
        return
    if not text.isdecimal():
        raise internal(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    if int(text) != int(old["metadata"]["resourceVersion"]):
        raise conflict(resource.type, name, _STALE)


def check_uid(resource: Resource, namespace: str, name: str, wanted: JsonObject, old: JsonObject) -> None:
    """Refuse a PUT that names the uid of another object. Raises 409."""
    uid, held = wanted["metadata"].get("uid"), old["metadata"]["uid"]
    if not uid or uid == held:
        return
    key = f"/registry/{resource.bucket}/{object_key(namespace, name)}"
    raise conflict(
        resource.type,
        name,
        f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: "
        f"Precondition failed: UID in precondition: {uid}, UID in object meta: {held}",
    )


def check_deletable(resource: Resource, name: str, obj: JsonObject, options: DeleteOptions) -> None:
    """Refuse a deletion whose preconditions do not hold. Raises 409."""
    held = obj["metadata"]
    if options.uid and options.uid != held["uid"]:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({held['uid']}). "
            "The object might have been deleted and then recreated"
        )
        raise conflict(resource.type, name, why, by_kind=True)
    if options.resource_version and options.resource_version != held["resourceVersion"]:
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the "
            f"ResourceVersion in record ({held['resourceVersion']}). The object might have been modified"
        )
        raise conflict(resource.type, name, why, by_kind=True)


def check_valid(resource: Resource, new: JsonObject, old: JsonObject | None, *, only_status: bool = False) -> None:
    """
    Refuse an object with mistakes, naming all of them.

    Args:
        resource: Its kind.
        new: The whole object that is to be stored.
        old: What it replaces; None for a new one.
        only_status: Nothing but the status comes from the client.

    Raises:
        StatusError: 422.
    """
    errors = metadata.validate(new["metadata"], name_is_label=resource.rules.name_is_label)
    if old is not None:
        errors += metadata.validate_update(new["metadata"], old["metadata"])
    blocked = any(error.reason in _BLOCKING for error in errors)
    found = resource.structural.validate(new, old, only_status=only_status)
    if blocked and resource.has_rules and _UNCHECKED not in found:
        found = [*found, _UNCHECKED]
    # A kind's own checks read fields that the schema promises: they come last, and only where it holds.
    errors += found or resource.rules.check(new, old)
    if errors:
        raise invalid(resource.type.group, resource.type.kind, new["metadata"].get("name", ""), errors)
