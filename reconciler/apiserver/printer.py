"""
Objects as rows: the Tables that `kubectl get` shows.

Mirrors: apiextensions-apiserver `tableconvertor`, kubernetes `pkg/printers/internalversion` for Namespace and Event.
Differs: a JSONPath that `jsonpath` does not know is refused when the CustomResourceDefinition comes, where a
kube-apiserver then shows no further columns. Pure: the time is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from reconciler.apiserver import cause, jsonpath
from reconciler.errors import SchemaError

__all__ = ["CRD_COLUMNS", "EVENT_COLUMNS", "NAMESPACE_COLUMNS", "Column", "crd_columns", "human_duration", "table"]

Cell = Callable[[Mapping[str, Any], datetime], Any]
"""From an object and the present time to what stands in the cell; None is an empty one."""


@dataclass(frozen=True, slots=True)
class Column:
    """
    One column of a Table.

    Attributes:
        type: One of `string`, `integer`, `number`, `boolean` and `date`.
        format: A remark on the type; `name` marks the column that names the object.
        priority: 0 is always shown, more than 0 only with `-o wide`.
        cell: What stands in it.
    """

    name: str
    type: str
    cell: Cell
    format: str = ""
    description: str = ""
    priority: int = 0

    @classmethod
    def compile(cls, printer_column: Mapping[str, Any], *, field: str = "") -> Column:
        """
        Return the column that an entry of `additionalPrinterColumns` describes.

        Args:
            printer_column: The entry.
            field: Its path in the CustomResourceDefinition.

        Raises:
            SchemaError: A part is missing, or is not one that the server knows.
        """
        entry = {key: printer_column.get(key) or "" for key in ("name", "type", "format", "jsonPath", "description")}
        _check_entry(entry, field)
        path = _read_path(entry["jsonPath"], f"{field}.JSONPath")
        description = entry["description"]
        return cls(
            name=entry["name"],
            type=entry["type"],
            format=entry["format"],
            description=description or f"Custom resource definition column (in JSONPath format): {entry['jsonPath']}",
            priority=printer_column.get("priority") or 0,
            cell=lambda obj, now: _cell(path, entry["type"], obj, now),
        )

    def definition(self) -> dict[str, Any]:
        """Return the column as a Table's `columnDefinitions` have it."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


def table(
    columns: Sequence[Column],
    objects: Sequence[Mapping[str, Any]],
    *,
    now: datetime,
    resource_version: str,
    include_object: str = "Metadata",
    list_metadata: Mapping[str, Any] | None = None,
    with_definitions: bool = True,
) -> dict[str, Any]:
    """
    Return a `meta.k8s.io/v1` Table of objects.

    Args:
        columns: Its columns.
        objects: One row each.
        now: The present time, aware; ages are counted from it.
        resource_version: Of the list, or of the single object.
        include_object: What goes with each row: `None`, `Metadata` (also for ""), or `Object`.
        list_metadata: `continue` and `remainingItemCount` of a page.
        with_definitions: Whether the columns are described; in a watch only the first Table does.

    Raises:
        ValueError: `include_object` is none of the three.
    """
    shown = _INCLUDED.get(include_object)
    if shown is None:
        raise ValueError(f"include_object: {include_object!r} is none of None, Metadata, Object")
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": resource_version} | dict(list_metadata or {}),
        "columnDefinitions": [column.definition() for column in columns] if with_definitions else None,
        "rows": [{"cells": [column.cell(obj, now) for column in columns], "object": shown(obj)} for obj in objects],
    }


def _metadata_of(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj.get("metadata", {})}


_INCLUDED: Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any] | None]] = {
    "": _metadata_of,
    "Metadata": _metadata_of,
    "Object": lambda obj: obj,
    "None": lambda _: None,
}


def crd_columns(additional: Sequence[Mapping[str, Any]], *, field: str = "") -> tuple[Column, ...]:
    """
    Return the columns of a custom resource: its name, then its own, or its age where it has none.

    Args:
        additional: The `additionalPrinterColumns` of a version.
        field: Their path in the CustomResourceDefinition.

    Raises:
        SchemaError: See `Column.compile`.
    """
    entries = additional or [_AGE_ENTRY]
    columns = (Column.compile(entry, field=f"{field}[{index}]") for index, entry in enumerate(entries))
    return (_NAME, *columns)


_TYPES = ("boolean", "date", "integer", "number", "string")
_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")


def _check_entry(entry: Mapping[str, str], field: str) -> None:
    types, path = f"must be one of {','.join(_TYPES)}", entry["jsonPath"]
    if not entry["name"]:
        _refuse(cause.required(f"{field}.name"))
    if not entry["type"]:
        _refuse(cause.required(f"{field}.type", types))
    if entry["type"] not in _TYPES:
        _refuse(cause.invalid(f"{field}.type", entry["type"], types))
    if entry["format"] and entry["format"] not in _FORMATS:
        _refuse(cause.invalid(f"{field}.format", entry["format"], f"must be one of {','.join(_FORMATS)}"))
    if not path:
        _refuse(cause.required(f"{field}.JSONPath"))
    if not path.startswith("."):
        _refuse(cause.invalid(f"{field}.JSONPath", path, "must be a simple json path starting with ."))


def _refuse(found: cause.FieldError) -> None:
    raise SchemaError(found.field, found.message, found.reason)


def _read_path(text: str, field: str) -> jsonpath.JsonPath:
    try:
        return jsonpath.read_path(text)
    except jsonpath.JsonPathError as error:
        found = cause.invalid(field, text, f"must be a json path that this server supports: {error}")
        raise SchemaError(found.field, found.message, found.reason) from error


def _cell(path: jsonpath.JsonPath, kind: str, obj: Mapping[str, Any], now: datetime) -> Any:
    try:
        found = path.find(obj)
    except jsonpath.JsonPathError:
        return None
    return _RENDERERS[kind](found[0], now) if found else None


def _text_cell(value: Any, now: datetime) -> Any:
    del now
    if value is None:
        return "<no value>"
    if isinstance(value, str):
        return value
    return cause.go_float(value) if isinstance(value, float) else cause.go_json(value)


def _integer_cell(value: Any, now: datetime) -> Any:
    del now
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _number_cell(value: Any, now: datetime) -> Any:
    del now
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _boolean_cell(value: Any, now: datetime) -> Any:
    del now
    return value if isinstance(value, bool) else None


def _date_cell(value: Any, now: datetime) -> Any:
    if not isinstance(value, str):
        return None
    if value in {"", "null"}:
        return "<unknown>"
    moment = _read_time(value)
    return "<invalid>" if moment is None else _age(moment, now)


_RENDERERS: Mapping[str, Callable[[Any, datetime], Any]] = {
    "string": _text_cell,
    "integer": _integer_cell,
    "number": _number_cell,
    "boolean": _boolean_cell,
    "date": _date_cell,
}

_RFC3339 = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:[.,](\d+))?(Z|[+-]\d{2}:\d{2})", re.ASCII)


def _read_time(text: str) -> datetime | None:
    found = _RFC3339.fullmatch(text)
    if found is None:
        return None
    try:
        return datetime.fromisoformat(f"{found[1]}.{(found[2] or '')[:6]:0<6}{found[3]}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _age(moment: datetime, now: datetime) -> str:
    if moment == datetime.min.replace(tzinfo=UTC):  # Go's zero time
        return "<unknown>"
    return human_duration((now - moment).total_seconds())


_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86_400, 31_536_000
_STEPS: Sequence[tuple[int, int, str, int, str]] = (
    # below, in whole units of, named, then the rest in units of, named
    (2 * _MINUTE, 1, "s", 0, ""),
    (10 * _MINUTE, _MINUTE, "m", 1, "s"),
    (3 * _HOUR, _MINUTE, "m", 0, ""),
    (8 * _HOUR, _HOUR, "h", _MINUTE, "m"),
    (48 * _HOUR, _HOUR, "h", 0, ""),
    (8 * _DAY, _DAY, "d", _HOUR, "h"),
    (2 * _YEAR, _DAY, "d", 0, ""),
    (8 * _YEAR, _YEAR, "y", _DAY, "d"),
)


def human_duration(seconds: float) -> str:
    """
    Return a span in two or three figures: `45s`, `5m`, `7h30m`, `2d3h`, `400d`.

    Args:
        seconds: The span. A clock that is less than 2 s behind is taken for now; more is `<invalid>`.

    Mirrors: apimachinery `duration.HumanDuration`.
    """
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    whole = max(whole, 0)
    for below, unit, name, rest_unit, rest_name in _STEPS:
        if whole < below:
            rest = whole % unit // rest_unit if rest_unit else 0
            return f"{whole // unit}{name}" + (f"{rest}{rest_name}" if rest else "")
    return f"{whole // _YEAR}y"


def _at(path: str) -> Callable[[Mapping[str, Any]], Any]:
    names = path.split(".")

    def read(obj: Mapping[str, Any]) -> Any:
        value: Any = obj
        for name in names:
            value = cast("Mapping[str, Any]", value).get(name) if isinstance(value, Mapping) else None
        return value

    return read


def _text_at(path: str) -> Cell:
    read = _at(path)
    return lambda obj, _: read(obj) or ""


def _age_at(*paths: str) -> Cell:
    """Return a cell with the age of the first of several times that is set."""
    reads = [_at(path) for path in paths]

    def cell(obj: Mapping[str, Any], now: datetime) -> str:
        text = next((text for read in reads if (text := read(obj))), "")
        return cast("str", _date_cell(text, now))

    return cell


def _event_object(obj: Mapping[str, Any], now: datetime) -> str:
    del now
    kind, name = (_KIND_OF_OBJECT(obj) or "").lower(), _NAME_OF_OBJECT(obj)
    return f"{kind}/{name}" if name else kind


_KIND_OF_OBJECT, _NAME_OF_OBJECT = _at("involvedObject.kind"), _at("involvedObject.name")


def _event_source(obj: Mapping[str, Any], now: datetime) -> str:
    del now
    component, host = (next((text for read in reads if (text := read(obj))), "") for reads in _SOURCES)
    return f"{component}, {host}" if host else component


_SOURCES = (
    (_at("source.component"), _at("reportingComponent")),
    (_at("source.host"), _at("reportingInstance")),
)


def _event_count(obj: Mapping[str, Any], now: datetime) -> int:
    del now
    series = obj.get("series")
    return (series.get("count") or 0) if series else (obj.get("count") or 1)


_NAME_TEXT = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a "
    "client to request the generation of an appropriate name automatically. Name is primarily intended for creation "
    "idempotence and configuration definition. Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
_CREATED_TEXT = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed "
    "to be set in happens-before order across separate operations. Clients may not set this value. It is represented "
    "in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)
_NAME = Column("Name", "string", _text_at("metadata.name"), format="name", description=_NAME_TEXT)
_AGE_ENTRY = {
    "name": "Age",
    "type": "date",
    "jsonPath": ".metadata.creationTimestamp",
    "description": _CREATED_TEXT,
}

NAMESPACE_COLUMNS: Sequence[Column] = (
    _NAME,
    Column("Status", "string", _text_at("status.phase"), description="The status of the namespace"),
    Column("Age", "string", _age_at("metadata.creationTimestamp"), description=_CREATED_TEXT),
)
CRD_COLUMNS: Sequence[Column] = (
    _NAME,
    Column("Created At", "date", _text_at("metadata.creationTimestamp"), description=_CREATED_TEXT),
)
EVENT_COLUMNS: Sequence[Column] = (
    Column(
        "Last Seen", "string",
        _age_at("series.lastObservedTime", "lastTimestamp", "firstTimestamp", "eventTime"),
        description="The time at which the most recent occurrence of this event was recorded.",
    ),
    Column(
        "Type", "string", _text_at("type"),
        description="Type of this event (Normal, Warning), new types could be added in the future",
    ),
    Column(
        "Reason", "string", _text_at("reason"),
        description="This should be a short, machine understandable string that gives the reason for the transition "
        "into the object's current status.",
    ),
    Column("Object", "string", _event_object, description="The object that this event is about."),
    Column(
        "Subobject", "string", _text_at("involvedObject.fieldPath"), priority=1,
        description="The part of the object that this event is about, such as spec.containers{name}.",
    ),
    Column(
        "Source", "string", _event_source, priority=1,
        description="The component reporting this event. Should be a short machine understandable string.",
    ),
    Column(
        "Message", "string", lambda obj, _: (obj.get("message") or "").strip(),
        description="A human-readable description of the status of this operation.",
    ),
    Column(
        "First Seen", "string", _age_at("firstTimestamp", "eventTime"), priority=1,
        description="The time at which the event was first recorded. (Time of server receipt is in TypeMeta.)",
    ),
    Column("Count", "string", _event_count, priority=1, description="The number of times this event has occurred."),
    Column("Name", "string", _text_at("metadata.name"), format="name", priority=1, description=_NAME_TEXT),
)  # fmt: skip
