"""Answers that are something else than what was asked for: each is refused, and none is taken for an empty list."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from reconciler.api import ObjectKey, ObjectMeta, ResourceType
from reconciler.client import Client, RestClient
from reconciler.errors import MalformedObjectError
from reconciler.kinds import ConfigMap, Container, Pod, PodSpec
from reconciler.testing import run_virtual

from .scripted import ScriptedTransport, answer
from .test_servers import NAMESPACES, Setting

CONFIG_MAPS = ConfigMap.resource
GADGETS = ResourceType("example.com", "v1", "Gadget", "gadgets")
KEY = ObjectKey("d", "x")
FAILURE = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "hunter2", "code": 500}
SUCCESS = {"kind": "Status", "apiVersion": "v1", "status": "Success"}
SECRET = {
    "kind": "Secret",
    "apiVersion": "v1",
    "metadata": {"name": "x", "resourceVersion": "7"},
    "data": {"a": "aA=="},
}
MAP = {"metadata": {"name": "x", "namespace": "d", "resourceVersion": "7"}}

Call = Callable[[Client, Any], Awaitable[Any]]
CALLS: list[Any] = [
    pytest.param(lambda client, kind: client.get(kind, KEY), id="get"),
    pytest.param(lambda client, kind: client.create(MAP, resource=CONFIG_MAPS), id="create"),
    pytest.param(lambda client, kind: client.update(ConfigMap.model_validate(MAP)), id="update"),
    pytest.param(lambda client, kind: client.patch(kind, KEY, {}), id="patch"),
    pytest.param(lambda client, kind: client.status.patch(kind, KEY, {}), id="status patch"),
    pytest.param(lambda client, kind: client.apply(MAP, resource=CONFIG_MAPS, field_owner="me"), id="apply"),
]


async def _await(call: Awaitable[Any]) -> Any:
    return await call


def _ask(call: Call, kind: Any, body: object) -> Any:
    return run_virtual(_await(call(Client(RestClient(ScriptedTransport([answer(200, body)]))), kind)))


@pytest.mark.parametrize("kind", [ConfigMap, CONFIG_MAPS], ids=["typed", "untyped"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param({}, "the answer is an object of no kind, not ConfigMap", id="nothing"),
        pytest.param({"status": "ok"}, "the answer is an object of no kind, not ConfigMap", id="a health page"),
        pytest.param(FAILURE, "the answer is Status, not ConfigMap", id="a failure"),
        pytest.param(SECRET, "the answer is Secret, not ConfigMap", id="another kind"),
        pytest.param({"kind": "ConfigMapList", "items": []}, "the answer is ConfigMapList, not ConfigMap", id="a list"),
        pytest.param({"kind": "<hunter2>"}, "the answer is an object of no kind, not ConfigMap", id="no kind's name"),
        pytest.param({"kind": 3, **MAP}, "not ConfigMap|fit the model", id="a number for a kind"),
    ],
)
def test_one_object_is_refused_where_the_answer_is(body: object, says: str, call: Call, kind: Any) -> None:
    with pytest.raises(MalformedObjectError, match=says) as caught:
        _ask(call, kind, body)
    assert caught.value.doing.endswith("configmaps d/x")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("kind", [ConfigMap, CONFIG_MAPS], ids=["typed", "untyped"])
@pytest.mark.parametrize("body", [MAP, {**MAP, "kind": "ConfigMap"}, {**MAP, "kind": "PartialObjectMetadata"}])
def test_what_was_asked_for_is_taken_with_its_kind_and_without(body: object, kind: Any) -> None:
    got = _ask(lambda client, kind: client.get(kind, KEY), kind, body)
    wire = got if isinstance(got, dict) else got.to_wire()
    assert {**wire, "apiVersion": "v1", "kind": "ConfigMap"} == {**MAP, "apiVersion": "v1", "kind": "ConfigMap"}


@pytest.mark.parametrize(
    ("kind", "body", "says"),
    [
        pytest.param(CONFIG_MAPS, {"kind": "Secret", "metadata": {}}, "is Secret, not a list: ", id="an object"),
        pytest.param(CONFIG_MAPS, FAILURE, "the answer is Status, not a list: ", id="a failure"),
        pytest.param(CONFIG_MAPS, {"metadata": {}}, "the answer is not a list: ", id="metadata alone"),
        pytest.param(
            CONFIG_MAPS, {"kind": "SecretList", "metadata": {}, "items": []}, "is SecretList, not ConfigMapList",
            id="an empty list of another kind",
        ),
        pytest.param(
            GADGETS, {"kind": "Odd", "metadata": {}, "items": [SECRET]}, "is Secret, not Gadget",
            id="a list with an object of another kind",
        ),
        pytest.param(GADGETS, {**SUCCESS, "metadata": {}, "items": []}, "is Status, not GadgetList", id="a Status"),
        pytest.param(CONFIG_MAPS, {"kind": "Table", "metadata": {}, "rows": []}, "is Table, not a list", id="a table"),
    ],
)  # fmt: skip
def test_a_list_is_refused_and_never_empty_where_the_answer_is(kind: ResourceType, body: object, says: str) -> None:
    with pytest.raises(MalformedObjectError, match=says):
        _ask(lambda client, kind: client.list(kind, namespace="d"), kind, body)


@pytest.mark.parametrize(
    ("kind", "body", "names"),
    [
        pytest.param(CONFIG_MAPS, {"kind": "ConfigMapList", "metadata": {}, "items": None}, [], id="null, as in Go"),
        pytest.param(CONFIG_MAPS, {"metadata": {}, "items": [MAP]}, ["x"], id="without a kind"),
        pytest.param(
            CONFIG_MAPS, {"kind": "PartialObjectMetadataList", "metadata": {}, "items": [MAP]}, ["x"],
            id="metadata alone",
        ),
        pytest.param(
            GADGETS, {"kind": "Gadgetry", "metadata": {}, "items": [{**MAP, "kind": "Gadget"}]}, ["x"],
            id="of a definition with a word of its own for its lists",
        ),
    ],
)  # fmt: skip
def test_a_list_is_taken_where_it_is(kind: ResourceType, body: object, names: list[str]) -> None:
    listed = _ask(lambda client, kind: client.list(kind, namespace="d"), kind, body)
    assert [each["metadata"]["name"] for each in listed] == names


METRIC = {"timestamp": "2026-01-01T00:00:00Z", "value": "5"}


@pytest.mark.parametrize(
    ("group", "kind", "item"),
    [
        pytest.param("external", "ExternalMetricValue", {"metricName": "q", **METRIC}, id="external"),
        pytest.param("custom", "MetricValue", {"describedObject": {"kind": "Pod", "name": "a"}, **METRIC}, id="custom"),
        pytest.param("custom", "MetricValue", {"kind": "MetricValue", **METRIC}, id="with its kind"),
    ],
)
@pytest.mark.parametrize("suffix", ["", "List"])
def test_values_of_metrics_are_read_though_they_have_no_name(
    group: str, kind: str, item: dict[str, Any], suffix: str
) -> None:
    # Discovery names the kind of the list; people name that of the value.
    resource = ResourceType(f"{group}.metrics.k8s.io", "v1beta1", kind + suffix, "queue-length")
    body = {"kind": f"{kind}List", "metadata": {}, "items": [item]}
    listed = _ask(lambda client, kind: client.list(kind, namespace="d"), resource, body)
    assert list(listed) == [{"apiVersion": resource.api_version, "kind": kind, **item}]
    for page in ({}, {"status": "ok"}, {"kind": "Login", "value": 1}):
        with pytest.raises(MalformedObjectError):
            _ask(lambda client, kind: client.get(kind, KEY), resource, page)


@pytest.mark.parametrize("kind", [CONFIG_MAPS, GADGETS], ids=["built-in", "custom"])
@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param({}, "an object of no kind, not [A-Za-z]+ or Status", id="nothing"),
        pytest.param({"status": "ok"}, "an object of no kind, not [A-Za-z]+ or Status", id="a health page"),
        pytest.param({"kind": "Login"}, "the answer is Login, not [A-Za-z]+ or Status", id="a page with a kind"),
        pytest.param({"kind": "Login", "items": []}, "the answer is Login, not", id="a page with items"),
        pytest.param({"items": [], "metadata": {}}, "an object of no kind, not", id="a list of no kind"),
        pytest.param({"kind": "GadgetList", "metadata": {}}, "is GadgetList, not", id="a list without items"),
        pytest.param(SECRET, "the answer is Secret, not [A-Za-z]+ or Status", id="another kind"),
        pytest.param(FAILURE, "a Status that tells of a failure", id="a failure"),
    ],
)
def test_a_deletion_is_refused_where_the_answer_is(body: object, says: str, kind: ResourceType) -> None:
    for call in (
        lambda client, kind: client.delete(kind, KEY),
        lambda client, kind: client.delete_collection(kind, namespace="d"),
    ):
        with pytest.raises(MalformedObjectError, match=says):
            _ask(call, kind, body)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (CONFIG_MAPS, SUCCESS),
        (CONFIG_MAPS, {**MAP, "kind": "ConfigMap"}),
        (CONFIG_MAPS, {"kind": "ConfigMapList", "items": []}),
        (GADGETS, {**MAP, "kind": "Gadget"}),
        (GADGETS, {"kind": "GadgetList", "metadata": {}, "items": None}),
        (GADGETS, {"kind": "Gadgetry", "metadata": {"resourceVersion": "1"}, "items": []}),
    ],
)
def test_a_deletion_is_answered_with_a_status_an_object_or_a_list(kind: ResourceType, body: object) -> None:
    assert _ask(lambda client, kind: client.delete(kind, KEY), kind, body) is None


SUBRESOURCE_CALLS: list[Any] = [
    pytest.param(lambda client, kind: client.subresource("scale").get(kind, KEY), id="get"),
    pytest.param(lambda client, kind: client.subresource("scale").create(kind, KEY, {}), id="create"),
    pytest.param(lambda client, kind: client.subresource("scale").update(kind, KEY, {}), id="update"),
    pytest.param(lambda client, kind: client.subresource("scale").patch(kind, KEY, {}), id="patch"),
]


@pytest.mark.parametrize("call", SUBRESOURCE_CALLS)
def test_a_subresource_may_be_of_any_kind_but_no_failure_and_not_of_none(call: Call) -> None:
    for body in (SUCCESS, {"kind": "Scale", "spec": {}}, {"metadata": {"name": "x"}}):
        assert _ask(call, CONFIG_MAPS, body) == body
    with pytest.raises(MalformedObjectError, match="a Status that tells of a failure"):
        _ask(call, CONFIG_MAPS, FAILURE)
    nothings: list[object] = [{}, {"status": "ok"}, {"a": 1}, {"metadata": {}}]
    for nothing in nothings:
        with pytest.raises(MalformedObjectError, match="scale of configmaps d/x: the answer is an object of no kind"):
            _ask(call, CONFIG_MAPS, nothing)


def test_what_is_created_and_stored_nowhere_is_answered_with_a_status() -> None:
    assert _ask(lambda client, kind: client.create(MAP, resource=CONFIG_MAPS), CONFIG_MAPS, SUCCESS) == SUCCESS
    # A model has no place for a Status.
    sent = ConfigMap(metadata=ObjectMeta(name="x", namespace="d"), data={"a": "b"})
    got = _ask(lambda client, kind: client.create(sent), CONFIG_MAPS, SUCCESS)
    assert (got, got is sent, got.metadata.resource_version) == (sent, False, "")
    wrong: list[object] = [FAILURE, {"kind": "Status"}, {"kind": "Status", "status": {}}]
    for body in wrong:
        with pytest.raises(MalformedObjectError, match="the answer is Status, not ConfigMap"):
            _ask(lambda client, kind: client.create(MAP, resource=CONFIG_MAPS), CONFIG_MAPS, body)


@pytest.mark.asyncio
@pytest.mark.real_server
@pytest.mark.parametrize("server", ["real"], indirect=True)
async def test_a_pod_is_bound_by_creating_a_binding(setting: Setting) -> None:
    client, key = setting.client, setting.key()
    metadata = {"name": key.name, "namespace": key.namespace}
    accounts = ResourceType("", "v1", "ServiceAccount", "serviceaccounts")
    await client.create({"metadata": {**metadata, "name": "default"}}, resource=accounts)
    pod = Pod(
        metadata=ObjectMeta(name=key.name, namespace=key.namespace),
        spec=PodSpec(containers=[Container(name="web", image="web:1")]),
    )
    await client.create(pod)
    bindings = ResourceType("", "v1", "Binding", "bindings")
    target = {"apiVersion": "v1", "kind": "Node", "name": "n1"}
    answered = await client.create({"metadata": metadata, "target": target}, resource=bindings)
    assert (answered["kind"], answered["status"]) == ("Status", "Success")
    assert (await client.get(Pod, key)).spec.node_name == "n1"


DEEP = b'{"kind":"ConfigMap","metadata":{"name":"x"},"data":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001


@pytest.mark.parametrize("kind", [ConfigMap, CONFIG_MAPS], ids=["typed", "untyped"])
@pytest.mark.parametrize("call", [*CALLS, *SUBRESOURCE_CALLS])
def test_an_answer_that_is_nested_deeper_than_can_be_read_is_refused_as_any_other(call: Call, kind: Any) -> None:
    with pytest.raises(MalformedObjectError, match=r"configmaps d/x: the answer is not JSON: .*recursion"):
        _ask(call, kind, DEEP)


@pytest.mark.asyncio
async def test_a_plural_that_leads_to_another_kind_is_found_out(setting: Setting) -> None:
    wrong = ResourceType("", "v1", "Secret", NAMESPACES.plural, is_namespaced=False)
    with pytest.raises(MalformedObjectError, match="the answer is Namespace, not Secret"):
        await setting.client.get(wrong, ObjectKey("", setting.namespace))
    with pytest.raises(MalformedObjectError, match="the answer is NamespaceList, not SecretList"):
        await setting.client.list(wrong)
