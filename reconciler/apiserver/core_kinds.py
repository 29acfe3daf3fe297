"""
The kinds that are there without a CustomResourceDefinition: Namespace and Event. Pure.

Of `events.k8s.io` nothing is served: Events are read and written as `v1`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.api import ResourceType
from reconciler.apiserver.exchange import JsonObject
from reconciler.apiserver.printer import EVENT_COLUMNS, NAMESPACE_COLUMNS
from reconciler.apiserver.resource import ALL_VERBS, Resource, Rules
from reconciler.apiserver.schema import FieldError, Structural

__all__ = ["EVENTS", "INITIAL_NAMESPACES", "NAMESPACES", "PROTECTED_NAMESPACES", "new_namespace"]

INITIAL_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
PROTECTED_NAMESPACES = frozenset({"default", "kube-system", "kube-public"})
_NAME_LABEL = "kubernetes.io/metadata.name"

_STRING: Mapping[str, Any] = {"type": "string"}
_TIME: Mapping[str, Any] = {"type": "string", "format": "date-time", "nullable": True}
_INTEGER: Mapping[str, Any] = {"type": "integer", "format": "int32"}
_ROOT: Mapping[str, Any] = {"apiVersion": _STRING, "kind": _STRING, "metadata": {"type": "object"}}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


_CONDITION = _object(type=_STRING, status=_STRING, lastTransitionTime=_TIME, reason=_STRING, message=_STRING)
_REFERENCE = _object(
    apiVersion=_STRING, fieldPath=_STRING, kind=_STRING, name=_STRING, namespace=_STRING,
    resourceVersion=_STRING, uid=_STRING,
)  # fmt: skip

_NAMESPACE_SCHEMA = _object(
    **_ROOT,
    spec=_object(finalizers=_list(_STRING)),
    status=_object(phase=_STRING, conditions=_list(_CONDITION)),
)

_EVENT_SCHEMA = _object(
    **_ROOT,
    involvedObject=_REFERENCE,
    related=_REFERENCE,
    reason=_STRING,
    message=_STRING,
    source=_object(component=_STRING, host=_STRING),
    firstTimestamp=_TIME,
    lastTimestamp=_TIME,
    eventTime=_TIME,
    count=_INTEGER,
    type=_STRING,
    action=_STRING,
    series={**_object(count=_INTEGER, lastObservedTime=_TIME), "nullable": True},
    reportingComponent=_STRING,
    reportingInstance=_STRING,
)


def new_namespace(name: str) -> JsonObject:
    """Return a Namespace as a client would send it."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _prepare_namespace(new: JsonObject, old: JsonObject | None) -> JsonObject:
    metadata = new["metadata"]
    labels = {**metadata.get("labels", {}), _NAME_LABEL: metadata.get("name", "")}
    prepared: JsonObject = {**new, "metadata": {**metadata, "labels": labels}}
    if old is None:
        prepared |= {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
    else:
        prepared["spec"] = old["spec"]
    return prepared


NAMESPACES = Resource(
    type=ResourceType("", "v1", "Namespace", "namespaces", is_namespaced=False),
    singular="namespace",
    list_kind="NamespaceList",
    schema=_NAMESPACE_SCHEMA,
    structural=Structural.compile(_NAMESPACE_SCHEMA),
    columns=NAMESPACE_COLUMNS,
    selectable={"metadata.name": "metadata.name", "status.phase": "status.phase", "name": "metadata.name"},
    rules=Rules(
        has_status=True,
        counts_generation=False,
        needs_resource_version=False,
        takes_strategic_patch=True,
        name_is_label=True,
        verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
        prepare=_prepare_namespace,
    ),
    short_names=("ns",),
    stored_api_version="v1",
)

# These stand in every Event, since their Go fields have no omitempty.
_EVENT_ALWAYS: Mapping[str, Any] = {
    "involvedObject": {},
    "source": {},
    "firstTimestamp": None,
    "lastTimestamp": None,
    "eventTime": None,
    "reportingComponent": "",
    "reportingInstance": "",
}


def _prepare_event(new: JsonObject, old: JsonObject | None) -> JsonObject:
    del old
    return {**new, **{key: value for key, value in _EVENT_ALWAYS.items() if new.get(key) is None}}


def _check_event(new: JsonObject, old: JsonObject | None) -> Sequence[FieldError]:
    del old
    about = new["involvedObject"].get("namespace", "")
    errors: list[FieldError] = []
    if about != new["metadata"]["namespace"] and not (about == "" and new["metadata"]["namespace"] == "default"):
        text = f'Invalid value: "{about}": does not match event.namespace'
        errors.append(FieldError("FieldValueInvalid", text, "involvedObject.namespace"))
    if new["eventTime"] is None:
        return errors
    # An Event with `eventTime` is one of the new kind, which says who reports what.
    required = ("reportingComponent", "reportingInstance", "action", "reason")
    missing = [name for name in required if not new.get(name)]
    return [*errors, *(FieldError("FieldValueRequired", "Required value", name) for name in missing)]


_EVENT_SELECTABLE = (
    "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
    "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath",
    "reason", "reportingComponent", "type", "metadata.name", "metadata.namespace",
)  # fmt: skip

EVENTS = Resource(
    type=ResourceType("", "v1", "Event", "events"),
    singular="event",
    list_kind="EventList",
    schema=_EVENT_SCHEMA,
    structural=Structural.compile(_EVENT_SCHEMA),
    columns=EVENT_COLUMNS,
    selectable={**{path: path for path in _EVENT_SELECTABLE}, "source": "source.component"},
    rules=Rules(
        counts_generation=False,
        needs_resource_version=False,
        takes_strategic_patch=True,
        ttl_seconds=3600,
        prepare=_prepare_event,
        check=_check_event,
    ),
    short_names=("ev",),
    stored_api_version="v1",
)
