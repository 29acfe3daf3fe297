"""Lists, pages, selectors and watches, on the embedded server and on a real one."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from .api import TABLE, Api


def names(items: list[dict[str, Any]]) -> list[str]:
    return [item["metadata"]["name"] for item in items]


def changes(events: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, str]]:
    return [(type_, obj["metadata"]["name"]) for type_, obj in events]


# --- lists ------------------------------------------------------------------------------------------------------------


def test_a_list_is_ordered_by_name_and_carries_its_version(api: Api) -> None:
    for name in ("b", "c", "a"):
        api.create(name)
    answer = api.request("GET", api.widgets).json
    assert (answer["kind"], answer["apiVersion"]) == ("WidgetList", "example.com/v1")
    assert names(answer["items"]) == ["a", "b", "c"]
    assert int(answer["metadata"]["resourceVersion"]) >= int(answer["items"][0]["metadata"]["resourceVersion"])


def test_pages_show_the_state_of_the_first_one(api: Api) -> None:
    for name in ("a", "b", "c"):
        api.create(name)
    # Given the first page of two,
    first = api.request("GET", api.widgets, query="limit=2").json
    assert (names(first["items"]), first["metadata"]["remainingItemCount"]) == (["a", "b"], 1)
    # when something is created and something deleted before the next is asked for,
    api.create("bb")
    api.request("DELETE", f"{api.widgets}/c")
    # then that one is still of the same moment.
    token = first["metadata"]["continue"]
    second = api.request("GET", api.widgets, query=f"limit=2&continue={token}").json
    assert names(second["items"]) == ["c"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert not second["metadata"].get("continue")


def test_a_continue_token_allows_no_version_beside_it(api: Api) -> None:
    api.create("a")
    api.create("b")
    token = api.request("GET", api.widgets, query="limit=1").json["metadata"]["continue"]
    answer = api.request("GET", api.widgets, query=f"continue={token}&resourceVersion=5")
    assert (answer.status, answer.message) == (400, "specifying resource version is not allowed when using continue")


def test_a_continue_token_that_is_none_gets_400(api: Api) -> None:
    answer = api.request("GET", api.widgets, query="continue=abc")
    assert answer.status == 400
    assert answer.message.startswith("invalid continue token: continue key is not valid: ")


def test_an_inconsistent_continue_token_goes_on_in_the_present(api: Api) -> None:
    api.create("a")
    api.create("b")
    token = api.request("GET", api.widgets, query="limit=1").json["metadata"]["continue"]
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    version = raw[raw.index('"rv":') + 5 : raw.index(',"start"')]
    inconsistent = base64.urlsafe_b64encode(raw.replace(f'"rv":{version}', '"rv":-1').encode()).decode().rstrip("=")
    api.create("c")
    assert names(api.request("GET", api.widgets, query=f"continue={inconsistent}").json["items"]) == ["b", "c"]


def test_an_exact_list_shows_the_past(api: Api) -> None:
    then = api.create("a")["metadata"]["resourceVersion"]
    api.create("b")
    exact = api.request("GET", api.widgets, query=f"resourceVersion={then}&resourceVersionMatch=Exact").json
    at_least = api.request("GET", api.widgets, query=f"resourceVersion={then}&resourceVersionMatch=NotOlderThan").json
    assert (names(exact["items"]), exact["metadata"]["resourceVersion"]) == (["a"], then)
    assert names(at_least["items"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        pytest.param("x=1", ["a"], id="equals"),
        pytest.param("x==1", ["a"], id="double equals"),
        pytest.param("x!=1", ["b", "c"], id="differs, also where absent"),
        pytest.param("x in (1,2)", ["a", "b"], id="in"),
        pytest.param("x notin (1)", ["b", "c"], id="not in"),
        pytest.param("x", ["a", "b"], id="exists"),
        pytest.param("!x", ["c"], id="does not exist"),
        pytest.param("x,y=1", ["b"], id="both"),
        pytest.param("x>1", ["b"], id="greater"),
        pytest.param("x<2", ["a"], id="less"),
        pytest.param(" x  in ( 1 , 3 ) , y!=1 ", ["a"], id="blanks"),
    ],
)
def test_a_list_shows_what_its_labels_select(api: Api, selector: str, found: list[str]) -> None:
    api.create("a", metadata={"labels": {"x": "1"}})
    api.create("b", metadata={"labels": {"x": "2", "y": "1"}})
    api.create("c")
    query = f"labelSelector={selector.replace('=', '%3D').replace(' ', '+').replace('>', '%3E').replace('<', '%3C')}"
    assert names(api.request("GET", api.widgets, query=query).json["items"]) == found


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        pytest.param("metadata.name%3Da", ["a"], id="name"),
        pytest.param("metadata.name!%3Da", ["b"], id="not that name"),
        pytest.param("metadata.namespace%3Dnope", [], id="namespace"),
        pytest.param("spec.type%3DEscalation", ["b"], id="a field that the definition makes selectable"),
    ],
)
def test_a_list_shows_what_its_fields_select(api: Api, selector: str, found: list[str]) -> None:
    api.create("a")
    api.create("b", spec={"type": "Escalation", "subject": "s"})
    assert names(api.request("GET", api.widgets, query=f"fieldSelector={selector}").json["items"]) == found


# --- other forms ------------------------------------------------------------------------------------------------------


def test_a_table_shows_the_columns_of_the_definition(api: Api) -> None:
    api.create("a")
    table = api.request("GET", f"{api.widgets}/a", accept=TABLE).json
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Type", "Phase", "Age"]
    [row] = table["rows"]
    assert row["cells"][:3] == ["a", "Simple", None]
    assert row["object"]["kind"] == "PartialObjectMetadata"


def test_bare_metadata_is_served_to_whom_asks_for_it(api: Api) -> None:
    api.create("a", metadata={"labels": {"x": "1"}})
    one = api.request("GET", f"{api.widgets}/a", accept="application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")
    assert (one.json["kind"], one.json["metadata"]["labels"]) == ("PartialObjectMetadata", {"x": "1"})
    assert "spec" not in one.json
    accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    many = api.request("GET", api.widgets, accept=accept).json
    assert (many["kind"], names(many["items"])) == ("PartialObjectMetadataList", ["a"])


def test_yaml_is_served_to_whom_asks_for_it(api: Api) -> None:
    api.create("a")
    answer = api.request("GET", f"{api.widgets}/a", accept="application/yaml")
    assert answer.headers["content-type"] == "application/yaml"
    assert "kind: Widget\n" in answer.text


# --- watches ----------------------------------------------------------------------------------------------------------


def test_a_watch_without_a_version_begins_with_what_is_there(api: Api) -> None:
    api.create("a")
    api.create("b")
    assert sorted(changes(list(api.watch("")))) == [("ADDED", "a"), ("ADDED", "b")]


def test_a_watch_from_a_version_shows_each_change_after_it(api: Api) -> None:
    start = api.create("a")["metadata"]["resourceVersion"]
    api.patch("a", {"metadata": {"labels": {"x": "1"}}})
    api.patch("a", {"metadata": {"labels": {"x": "1"}}})  # changes nothing
    api.create("b")
    api.request("DELETE", f"{api.widgets}/a")
    events = list(api.watch(f"resourceVersion={start}"))
    assert changes(events) == [("MODIFIED", "a"), ("ADDED", "b"), ("DELETED", "a")]
    versions = [int(obj["metadata"]["resourceVersion"]) for _, obj in events]
    assert versions == sorted(versions)
    assert versions[0] > int(start)


def test_the_last_event_of_a_finalized_object_is_its_deletion(api: Api) -> None:
    start = api.create("a", metadata={"finalizers": ["example.com/f"]})["metadata"]["resourceVersion"]
    api.request("DELETE", f"{api.widgets}/a")
    api.patch("a", {"metadata": {"finalizers": None}})
    events = list(api.watch(f"resourceVersion={start}"))
    assert changes(events) == [("MODIFIED", "a"), ("DELETED", "a")]
    assert events[0][1]["metadata"]["deletionTimestamp"]
    assert int(events[1][1]["metadata"]["resourceVersion"]) > int(events[0][1]["metadata"]["resourceVersion"])


def test_an_object_that_enters_or_leaves_the_selection_comes_as_added_or_deleted(api: Api) -> None:
    start = api.create("a", metadata={"labels": {"x": "1"}})["metadata"]["resourceVersion"]
    left = api.patch("a", {"metadata": {"labels": {"x": "2"}}}).json["metadata"]["resourceVersion"]
    api.patch("a", {"metadata": {"labels": {"y": "1"}}})  # not selected before or after
    api.patch("a", {"metadata": {"labels": {"x": "1"}}})
    events = list(api.watch(f"resourceVersion={start}&labelSelector=x%3D1"))
    assert changes(events) == [("DELETED", "a"), ("ADDED", "a")]
    gone = events[0][1]["metadata"]
    # It carries its last selected state, under the version of the change that took it away.
    assert (gone["labels"], gone["resourceVersion"]) == ({"x": "1"}, left)


def test_a_watch_of_one_name_shows_no_other(api: Api) -> None:
    api.create("a")
    api.create("b")
    assert changes(list(api.watch("fieldSelector=metadata.name%3Db"))) == [("ADDED", "b")]


def test_initial_events_end_with_a_marked_bookmark(api: Api) -> None:
    api.create("a")
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    events = list(api.watch(query))
    assert [type_ for type_, _ in events][:2] == ["ADDED", "BOOKMARK"]
    marked = events[1][1]
    assert marked["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert marked["kind"] == "Widget"


def test_a_watch_of_tables_sends_its_columns_once(api: Api) -> None:
    api.create("a")
    api.create("b")
    tables = [obj for _, obj in api.watch("", accept=TABLE)]
    assert [bool(table["columnDefinitions"]) for table in tables] == [True, False]
    assert sorted(table["rows"][0]["cells"][0] for table in tables) == ["a", "b"]


# --- discovery --------------------------------------------------------------------------------------------------------


def test_a_definition_appears_in_discovery(api: Api) -> None:
    found = api.request("GET", "/apis/example.com/v1").json
    assert (found["kind"], found["groupVersion"]) == ("APIResourceList", "example.com/v1")
    widgets, status = found["resources"]
    assert (widgets["name"], widgets["singularName"], widgets["kind"]) == ("widgets", "widget", "Widget")
    assert (widgets["namespaced"], widgets["shortNames"]) == (True, ["wd"])
    verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
    assert sorted(widgets["verbs"]) == verbs
    assert (status["name"], status["kind"]) == ("widgets/status", "Widget")
    group = api.request("GET", "/apis/example.com").json
    assert group["preferredVersion"] == {"groupVersion": "example.com/v1", "version": "v1"}
    assert "example.com" in [entry["name"] for entry in api.request("GET", "/apis").json["groups"]]


def test_aggregated_discovery_lists_everything_at_once(api: Api) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    answer = api.request("GET", "/apis", accept=accept)
    assert "as=APIGroupDiscoveryList" in answer.headers["content-type"]
    [group] = [item for item in answer.json["items"] if item["metadata"]["name"] == "example.com"]
    [version] = group["versions"]
    [resource] = version["resources"]
    assert (version["version"], resource["resource"], resource["scope"]) == ("v1", "widgets", "Namespaced")
    assert resource["subresources"][0]["subresource"] == "status"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/livez"])
def test_the_server_says_that_it_is_well(api: Api, path: str) -> None:
    answer = api.request("GET", path)
    assert (answer.status, answer.text) == (200, "ok")


def test_the_server_says_its_version(api: Api) -> None:
    found = api.request("GET", "/version").json
    assert found["major"] == "1"
    assert found["gitVersion"].startswith("v1.")
