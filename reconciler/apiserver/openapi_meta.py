"""
The schemas that every OpenAPI document has: metadata, lists, deletions and the answers that are no objects.

In our own words, and as far as clients use them. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

__all__ = ["META", "META_SCHEMAS", "TYPE_META", "V3_REF", "Json", "meta_ref"]

Json = dict[str, Any]

META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1"
"""The start of these schemas' names."""

V3_REF: Final = "#/components/schemas/"


def meta_ref(name: str, text: str) -> Json:
    """Return a reference to one of these schemas, with a description of its own."""
    return {"description": text, "allOf": [{"$ref": f"{V3_REF}{META}.{name}"}]}


TYPE_META: Mapping[str, Json] = MappingProxyType({
    "apiVersion": {"type": "string", "description": "The version of the schema that this object follows."},
    "kind": {"type": "string", "description": "What this object is, in camel case; it cannot be changed."},
})  # fmt: skip


def _text(description: str, **more: Any) -> Json:
    return {"type": "string", "description": description, **more}


def _texts(description: str) -> Json:
    return {"type": "object", "additionalProperties": {"type": "string"}, "description": description}


def _array(description: str, items: Mapping[str, Any], **more: Any) -> Json:
    return {"type": "array", "items": items, "description": description, **more}


def _whole(description: str) -> Json:
    return {"type": "integer", "format": "int64", "description": description}


def _object(description: str, required: Sequence[str] = (), /, **properties: Json) -> Json:
    needed = {"required": list(required)} if required else {}
    return {"type": "object", "description": description, **needed, "properties": properties}


def _time(description: str) -> Json:
    return meta_ref("Time", description)


_UID = _text("The identity of the object in time and space.")
META_SCHEMAS: Mapping[str, Json] = MappingProxyType({
    "Time": {"type": "string", "format": "date-time", "description": "A moment, as in RFC 3339."},
    "FieldsV1": {"type": "object", "description": "A set of fields, as a trie of JSON."},
    "Patch": {"type": "object", "description": "A change to an object, in the form that the content type says."},
    "OwnerReference": _object(
        "Who owns an object.", ("apiVersion", "kind", "name", "uid"),
        apiVersion=_text("API version of the owner."), kind=_text("Kind of the owner."),
        name=_text("Name of the owner."), uid=_text("UID of the owner."),
        blockOwnerDeletion={"type": "boolean", "description": "Whether the owner waits for this object in a deletion."},
        controller={"type": "boolean", "description": "Whether the owner manages this object."},
    ) | {"x-kubernetes-map-type": "atomic"},
    "ManagedFieldsEntry": _object(
        "Which fields somebody manages.",
        apiVersion=_text("The version in which the fields are named."), fieldsType=_text("Always FieldsV1."),
        fieldsV1=meta_ref("FieldsV1", "The fields."), manager=_text("Who manages them."),
        operation=_text("Apply or Update."), subresource=_text("The subresource that was written."),
        time=_time("When they were written."),
    ),
    "ObjectMeta": _object(
        "What every stored object has.",
        annotations=_texts("Free texts by key, for tools."),
        creationTimestamp=_time("When the object was created; set by the server."),
        deletionGracePeriodSeconds=_whole("How long the object may take to end."),
        deletionTimestamp=_time("From when on the object is to go; set by the server."),
        finalizers=_array(
            "Who must still do something before the object goes.", {"type": "string"},
            **{"x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge"},
        ),
        generateName=_text("The beginning of a name that the server completes."),
        generation=_whole("Counts the changes of what is wanted; set by the server."),
        labels=_texts("Short texts by key, to select objects by."),
        managedFields=_array("Who manages which fields.", {"$ref": f"{V3_REF}{META}.ManagedFieldsEntry"}),
        name=_text("Unique in its namespace; it cannot be changed."),
        namespace=_text("The namespace that the name belongs to; it cannot be changed."),
        ownerReferences=_array(
            "The objects that this one goes with.", {"$ref": f"{V3_REF}{META}.OwnerReference"},
            **{"x-kubernetes-list-map-keys": ["uid"], "x-kubernetes-list-type": "map",
               "x-kubernetes-patch-merge-key": "uid", "x-kubernetes-patch-strategy": "merge"},
        ),
        resourceVersion=_text("The version of the object in the storage; opaque."),
        selfLink=_text("No longer set."),
        uid=_UID,
    ),
    "ListMeta": _object(
        "What every list has.",
        **{"continue": _text("Where the next page begins; empty on the last.")},
        remainingItemCount=_whole("How many objects come after this page, where that is known."),
        resourceVersion=_text("The version of the list; a watch can go on from it."),
        selfLink=_text("No longer set."),
    ),
    "Preconditions": _object(
        "What must hold for a deletion.", resourceVersion=_text("The version that is meant."), uid=_UID,
    ),
    "DeleteOptions": _object(
        "How to delete.",
        **TYPE_META,
        dryRun=_array("With All, nothing is stored.", {"type": "string"}),
        gracePeriodSeconds=_whole("How long the object may take to end."),
        preconditions=meta_ref("Preconditions", "What must hold."),
        propagationPolicy=_text("What becomes of dependents: Orphan, Background or Foreground."),
    ),
    "StatusCause": _object(
        "One mistake.", field=_text("The field."), message=_text("The mistake in words."), reason=_text("Its kind."),
    ),
    "StatusDetails": _object(
        "What an answer is about.",
        causes=_array("The mistakes.", {"$ref": f"{V3_REF}{META}.StatusCause"}),
        group=_text("The group."), kind=_text("The kind or resource."), name=_text("The name."),
        retryAfterSeconds={"type": "integer", "format": "int32", "description": "When to ask again."},
        uid=_UID,
    ),
    "Status": _object(
        "An answer that is no object.",
        **TYPE_META,
        code={"type": "integer", "format": "int32", "description": "The HTTP status."},
        details=meta_ref("StatusDetails", "What it is about."), message=_text("In words."),
        metadata=meta_ref("ListMeta", "Standard list metadata."), reason=_text("In one word."),
        status=_text("Success or Failure."),
    ),
})  # fmt: skip
