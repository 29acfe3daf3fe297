"""Answers that are something else than what was asked for: each is refused, and none is taken for an empty list."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from reconciler.api import ObjectKey, ResourceType
from reconciler.client import Client, RestClient
from reconciler.errors import MalformedObjectError
from reconciler.kinds import ConfigMap
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
    assert _ask(lambda client, kind: client.get(kind, KEY), kind, body)


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


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param({}, "an object of no kind, not ConfigMap or Status", id="nothing"),
        pytest.param(SECRET, "the answer is Secret, not ConfigMap or Status", id="another kind"),
        pytest.param(FAILURE, "a Status that tells of a failure", id="a failure"),
    ],
)
def test_a_deletion_is_refused_where_the_answer_is(body: object, says: str) -> None:
    for call in (
        lambda client, kind: client.delete(kind, KEY),
        lambda client, kind: client.delete_collection(kind, namespace="d"),
    ):
        with pytest.raises(MalformedObjectError, match=says):
            _ask(call, CONFIG_MAPS, body)


@pytest.mark.parametrize("body", [SUCCESS, {**MAP, "kind": "ConfigMap"}, {"kind": "ConfigMapList", "items": []}])
def test_a_deletion_is_answered_with_a_status_an_object_or_a_list(body: object) -> None:
    assert _ask(lambda client, kind: client.delete(kind, KEY), CONFIG_MAPS, body) is None


def test_a_subresource_may_be_of_any_kind_but_no_failure() -> None:
    for body in (SUCCESS, {"kind": "Scale", "spec": {}}, {"a": 1}):
        assert _ask(lambda client, kind: client.subresource("scale").get(kind, KEY), CONFIG_MAPS, body) == body
    with pytest.raises(MalformedObjectError, match="a Status that tells of a failure"):
        _ask(lambda client, kind: client.subresource("scale").get(kind, KEY), CONFIG_MAPS, FAILURE)


@pytest.mark.asyncio
async def test_a_plural_that_leads_to_another_kind_is_found_out(setting: Setting) -> None:
    wrong = ResourceType("", "v1", "Secret", NAMESPACES.plural, is_namespaced=False)
    with pytest.raises(MalformedObjectError, match="the answer is Namespace, not Secret"):
        await setting.client.get(wrong, ObjectKey("", setting.namespace))
    with pytest.raises(MalformedObjectError, match="the answer is NamespaceList, not SecretList"):
        await setting.client.list(wrong)
