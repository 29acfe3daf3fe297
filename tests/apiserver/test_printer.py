"""Tables; what stands in the cells was seen on a kube-apiserver v1.36.3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.apiserver.printer import (
    CRD_COLUMNS,
    EVENT_COLUMNS,
    NAMESPACE_COLUMNS,
    Column,
    crd_columns,
    human_duration,
    table,
)
from reconciler.errors import SchemaError

NOW = datetime(2026, 11, 25, 5, 0, 0, tzinfo=UTC)
GADGET: dict[str, Any] = {
    "apiVersion": "test.dev/v1",
    "kind": "Gadget",
    "metadata": {"name": "a", "namespace": "default", "creationTimestamp": "2026-11-25T04:55:00Z"},
    "spec": {
        "s": "hello", "i": 5, "f": 2.75, "whole": 1.0, "big": 1e21, "b": True,
        "o": {"x.y": "<z>", "a": 1, "z": [1.5]}, "l": [3, "x", 4.5], "n": None,
        "d": "2024-01-01T00:00:00Z", "fraction": "2024-01-01T01:00:00.123456789+01:00", "e": "",
        "items": [{"a": 1}, {"a": 2}, {"b": 3}], "mixed": [{"a": "x"}, {"a": 2}],
        "zero": "0001-01-01T00:00:00Z",
    },
    "status": {"conditions": [{"type": "X", "reason": "no"}, {"type": "Ready", "reason": "yes"}]},
}  # fmt: skip


def cell(kind: str, path: str, obj: dict[str, Any] = GADGET) -> Any:
    return Column.compile({"name": "C", "type": kind, "jsonPath": path}).cell(obj, NOW)


@pytest.mark.parametrize(
    ("kind", "path", "wanted"),
    [
        pytest.param("string", ".spec.s", "hello", id="a text"),
        pytest.param("string", ".spec.i", "5", id="a number as text"),
        pytest.param("string", ".spec.f", "2.75", id="a fraction as text"),
        pytest.param("string", ".spec.big", "1e+21", id="a big number as text"),
        pytest.param("string", ".spec.b", "true", id="a flag as text"),
        pytest.param("string", ".spec.o", '{"a":1,"x.y":"\\u003cz\\u003e","z":[1.5]}', id="an object as text"),
        pytest.param("string", ".spec.l", '[3,"x",4.5]', id="a list as text"),
        pytest.param("string", ".spec.n", "<no value>", id="a null as text"),
        pytest.param("string", ".spec.missing", None, id="no text"),
        pytest.param("string", ".spec.s.deeper", None, id="below a text"),
        pytest.param("integer", ".spec.i", 5, id="an integer"),
        pytest.param("integer", ".spec.f", 2, id="a fraction as an integer"),
        pytest.param("integer", ".spec.s", None, id="a text as an integer"),
        pytest.param("integer", ".spec.b", None, id="a flag as an integer"),
        pytest.param("number", ".spec.f", 2.75, id="a number"),
        pytest.param("number", ".spec.i", 5, id="an integer as a number"),
        pytest.param("boolean", ".spec.b", True, id="a flag"),
        pytest.param("boolean", ".spec.i", None, id="a number as a flag"),
        pytest.param("date", ".metadata.creationTimestamp", "5m", id="a date"),
        pytest.param("date", ".spec.d", "2y329d", id="an old date"),
        pytest.param("date", ".spec.fraction", "2y329d", id="a date with a fraction and a zone"),
        pytest.param("date", ".spec.s", "<invalid>", id="a text as a date"),
        pytest.param("date", ".spec.e", "<unknown>", id="an empty date"),
        pytest.param("date", ".spec.zero", "<unknown>", id="Go's zero time"),
        pytest.param("date", ".spec.missing", None, id="no date"),
        pytest.param("date", ".spec.n", None, id="a null as a date"),
        pytest.param("date", ".spec.i", None, id="a number as a date"),
    ],
)
def test_a_cell_shows_its_value_in_the_columns_type(kind: str, path: str, wanted: Any) -> None:
    found = cell(kind, path)
    assert (found, type(found)) == (wanted, type(wanted))


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        pytest.param('.status.conditions[?(@.type=="Ready")].reason', "yes", id="a filter"),
        pytest.param(".status.conditions[?(@.type=='Ready')].reason", "yes", id="single quotes"),
        pytest.param('.status.conditions[?(@.type == "Ready")].reason', "yes", id="spaces"),
        pytest.param('.status.conditions[?(@.type=="None")].reason', None, id="a filter that nothing passes"),
        pytest.param('.status.conditions[?(@.type!="Ready")].reason', "no", id="unequal"),
        pytest.param(".spec.items[?(@.a)].a", "1", id="something is there"),
        pytest.param(".spec.items[?(@.a>1)].a", "2", id="greater"),
        pytest.param(".spec.items[?(@.a<=1)].a", "1", id="at most"),
        pytest.param(".spec.mixed[?(@.a>1)].a", None, id="types that do not compare"),
        pytest.param(".spec.s[?(@.a>1)].a", None, id="a filter of a text"),
        pytest.param(".missing.conditions[?(@.type=='Ready')].reason", None, id="a filter of nothing"),
        pytest.param(".spec.l[0]", "3", id="a position"),
        pytest.param(".spec.l[-1]", "4.5", id="a position from the end"),
        pytest.param(".spec.l[9]", None, id="outside"),
        pytest.param(".spec.l[-1:]", "4.5", id="a slice from the end"),
        pytest.param(".spec.l[1:2]", "x", id="a slice"),
        pytest.param(".spec.l[1:9]", None, id="a slice that ends outside"),
        pytest.param(".spec.l[*]", "3", id="the first of all"),
        pytest.param(".spec.o['a']", "1", id="a key"),
        pytest.param(".spec.o['x.y']", "<z>", id="a key with a dot"),
        pytest.param(".spec.o.x\\.y", "<z>", id="an escaped dot"),
        pytest.param(".spec.s[0]", None, id="a position in a text"),
    ],
)
def test_a_path_leads_to_the_first_thing_it_finds(path: str, wanted: Any) -> None:
    assert cell("string", path) == wanted


@pytest.mark.parametrize(
    ("entry", "field", "message"),
    [
        pytest.param({"type": "string", "jsonPath": ".a"}, "name", "Required value", id="no name"),
        pytest.param(
            {"name": "a", "jsonPath": ".a"}, "type",
            "Required value: must be one of boolean,date,integer,number,string", id="no type",
        ),
        pytest.param(
            {"name": "a", "type": "foo", "jsonPath": ".a"}, "type",
            'Invalid value: "foo": must be one of boolean,date,integer,number,string', id="an unknown type",
        ),
        pytest.param(
            {"name": "a", "type": "string", "format": "x", "jsonPath": ".a"}, "format",
            'Invalid value: "x": must be one of byte,date,date-time,double,float,int32,int64,password', id="a format",
        ),
        pytest.param({"name": "a", "type": "string"}, "JSONPath", "Required value", id="no path"),
        pytest.param(
            {"name": "a", "type": "string", "jsonPath": "foo"}, "JSONPath",
            'Invalid value: "foo": must be a simple json path starting with .', id="a path without a dot",
        ),
    ],
)  # fmt: skip
def test_a_column_is_refused_in_the_words_of_a_kube_apiserver(entry: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        crd_columns([entry], field="spec.additionalPrinterColumns")
    assert caught.value.field == f"spec.additionalPrinterColumns[0].{field}"
    assert caught.value.message == message


@pytest.mark.parametrize(
    "path",
    [
        "..a", ".a..b", ".a[", ".a['x','y']", ".a[?(@.x==1 && @.y==2)]", ".a b", ".a{.b}", ".a[x]", ".a[?(.x)]",
        ".a[?(@.x=~'a')]", ".a[?(@.x==@.y)]",
    ],
)  # fmt: skip
def test_a_path_that_this_server_cannot_follow_is_refused(path: str) -> None:
    with pytest.raises(SchemaError, match="must be a json path that this server supports"):
        Column.compile({"name": "a", "type": "string", "jsonPath": path})


@pytest.mark.parametrize(
    ("span", "wanted"),
    [
        (timedelta(seconds=-3), "<invalid>"), (timedelta(seconds=-1), "0s"), (timedelta(seconds=0.9), "0s"),
        (timedelta(seconds=119), "119s"), (timedelta(minutes=2), "2m"), (timedelta(minutes=9, seconds=59), "9m59s"),
        (timedelta(minutes=10, seconds=5), "10m"), (timedelta(minutes=179), "179m"), (timedelta(hours=3), "3h"),
        (timedelta(hours=7, minutes=30), "7h30m"), (timedelta(hours=8, minutes=30), "8h"),
        (timedelta(hours=47), "47h"), (timedelta(hours=48), "2d"), (timedelta(days=2, hours=3), "2d3h"),
        (timedelta(days=8, hours=3), "8d"), (timedelta(days=729), "729d"), (timedelta(days=730), "2y"),
        (timedelta(days=800), "2y70d"), (timedelta(days=8 * 365 + 1), "8y"),
    ],
)  # fmt: skip
def test_a_span_is_shown_in_two_or_three_figures(span: timedelta, wanted: str) -> None:
    assert human_duration(span.total_seconds()) == wanted


def test_a_table_describes_its_columns_and_carries_metadata_with_each_row() -> None:
    # Given a kind with one column of its own,
    entry = {"name": "S", "type": "string", "jsonPath": ".spec.s", "priority": 1, "format": "password"}
    # when a page with one object is shown,
    shown = table(
        crd_columns([entry]), [GADGET], now=NOW, resource_version="7", include_object="Metadata",
        list_metadata={"continue": "abc", "remainingItemCount": 3},
    )  # fmt: skip
    # then the name comes first, and the object is there without its contents.
    assert shown["kind"] == "Table"
    assert shown["apiVersion"] == "meta.k8s.io/v1"
    assert shown["metadata"] == {"resourceVersion": "7", "continue": "abc", "remainingItemCount": 3}
    name, own = shown["columnDefinitions"]
    assert (name["name"], name["format"]) == ("Name", "name")
    assert own == {
        "name": "S", "type": "string", "format": "password", "priority": 1,
        "description": "Custom resource definition column (in JSONPath format): .spec.s",
    }  # fmt: skip
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": GADGET["metadata"]}
    assert shown["rows"] == [{"cells": ["a", "hello"], "object": partial}]


@pytest.mark.parametrize(("include_object", "wanted"), [("Object", GADGET), ("None", None)])
def test_a_row_carries_the_object_that_the_client_asked_for(include_object: str, wanted: Any) -> None:
    shown = table(crd_columns([]), [GADGET], now=NOW, resource_version="7", include_object=include_object)
    assert shown["rows"][0]["object"] == wanted


def test_a_table_cannot_include_what_has_no_name() -> None:
    with pytest.raises(ValueError, match="Half"):
        table(crd_columns([]), [], now=NOW, resource_version="7", include_object="Half")


def test_a_kind_without_columns_shows_name_and_age() -> None:
    shown = table(crd_columns([]), [GADGET], now=NOW, resource_version="7", include_object="None")
    assert [column["name"] for column in shown["columnDefinitions"]] == ["Name", "Age"]
    assert shown["rows"][0]["cells"] == ["a", "5m"]


def test_later_tables_of_a_watch_leave_their_columns_out() -> None:
    shown = table(crd_columns([]), [], now=NOW, resource_version="7", include_object="None", with_definitions=False)
    assert shown["columnDefinitions"] is None


def test_namespaces_and_definitions_have_their_own_columns() -> None:
    namespace = {"metadata": GADGET["metadata"], "status": {"phase": "Active"}}
    shown = table(NAMESPACE_COLUMNS, [namespace], now=NOW, resource_version="7", include_object="None")
    assert shown["rows"][0]["cells"] == ["a", "Active", "5m"]
    shown = table(CRD_COLUMNS, [GADGET], now=NOW, resource_version="7", include_object="None")
    assert shown["rows"][0]["cells"] == ["a", "2026-11-25T04:55:00Z"]


@pytest.mark.parametrize(
    ("event", "cells"),
    [
        pytest.param(
            {
                "involvedObject": {"kind": "Gadget", "name": "a", "fieldPath": "spec.x"}, "reason": "R",
                "message": " hello \n", "type": "Normal", "source": {"component": "c", "host": "h"},
                "firstTimestamp": "2026-11-25T01:00:00Z", "lastTimestamp": "2026-11-25T04:00:00Z", "count": 3,
            },
            ["60m", "Normal", "R", "gadget/a", "spec.x", "c, h", "hello", "4h", 3, "e"],
            id="counted",
        ),
        pytest.param(
            {
                "involvedObject": {"kind": "Gadget", "name": "a"}, "reason": "R", "type": "Normal",
                "reportingComponent": "a/b", "reportingInstance": "i", "eventTime": "2026-11-25T02:00:00.123456Z",
                "series": {"count": 7, "lastObservedTime": "2026-11-25T03:00:00.000000Z"}, "firstTimestamp": None,
            },
            ["120m", "Normal", "R", "gadget/a", "", "a/b, i", "", "179m", 7, "e"],
            id="of a series",
        ),
        pytest.param(
            {"involvedObject": {"kind": "Gadget"}, "source": {}, "firstTimestamp": None, "lastTimestamp": None},
            ["<unknown>", "", "", "gadget", "", "", "", "<unknown>", 1, "e"],
            id="nearly empty",
        ),
    ],
)  # fmt: skip
def test_an_event_is_shown_with_its_object_and_its_times(event: dict[str, Any], cells: list[Any]) -> None:
    obj = {"metadata": {"name": "e"}, **event}
    shown = table(EVENT_COLUMNS, [obj], now=NOW, resource_version="7", include_object="None")
    assert shown["rows"][0]["cells"] == cells
    assert [column["name"] for column in shown["columnDefinitions"] if column["priority"] == 0] == [
        "Last Seen", "Type", "Reason", "Object", "Message",
    ]  # fmt: skip
