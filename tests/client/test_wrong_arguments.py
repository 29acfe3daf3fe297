"""What is refused before any request is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from reconciler.api import FieldSelector, LabelSelector, ModelError, ObjectKey, ObjectMeta
from reconciler.client import Client, JsonPatch, RestClient, StrategicMergePatch
from reconciler.kinds import Secret
from reconciler.testing import run_virtual

from .scripted import ScriptedTransport, answer

WRONG: Any = FieldSelector({"metadata.name": "a"})
FIELDS_WRONG: Any = LabelSelector({"app": "web"})


async def _iterate(client: Client) -> None:
    async for _ in client.iterate(Secret, label_selector=WRONG):
        pass


async def _watch(client: Client) -> None:
    async with client.watch(Secret, label_selector=WRONG):
        pass


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        pytest.param(lambda client: client.list(Secret, label_selector=WRONG), "label_selector takes", id="list"),
        pytest.param(
            lambda client: client.list(Secret, field_selector=FIELDS_WRONG), "field_selector takes a Field", id="fields"
        ),
        pytest.param(_iterate, "label_selector takes a LabelSelector", id="iterate"),
        pytest.param(_watch, "label_selector takes a LabelSelector", id="watch"),
        pytest.param(
            lambda client: client.delete_collection(Secret, namespace="a", label_selector=WRONG),
            "label_selector takes", id="delete_collection",
        ),
    ],
)  # fmt: skip
def test_a_selector_of_the_wrong_class_is_refused(ask: Callable[[Client], Awaitable[object]], said: str) -> None:
    transport = ScriptedTransport([])

    async def main() -> None:
        with pytest.raises(TypeError, match=said):
            await ask(Client(RestClient(transport)))

    run_virtual(main())
    assert transport.requests == []


KEY = ObjectKey("default", "a")


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        pytest.param(lambda client: client.delete(Secret, KEY, uid=""), "uid is empty", id="the UID of a deletion"),
        pytest.param(
            lambda client: client.delete(Secret, KEY, uid="u", resource_version=""), "resource_version is empty",
            id="the version of a deletion",
        ),
        pytest.param(
            lambda client: client.patch(Secret, KEY, {"metadata": {"resourceVersion": ""}}), "resourceVersion is empty",
            id="the version of a merge patch",
        ),
        pytest.param(
            lambda client: client.status.patch(Secret, KEY, StrategicMergePatch({"metadata": {"uid": ""}})),
            "uid is empty", id="the UID of a strategic patch",
        ),
        pytest.param(
            lambda client: client.subresource("scale").patch(
                Secret, KEY, JsonPatch().test("/metadata/resourceVersion", "").add("/spec/replicas", 1)
            ),
            "resourceVersion is empty", id="the version that a JSON patch tests",
        ),
    ],
)  # fmt: skip
def test_an_empty_precondition_is_refused_since_the_server_would_take_it_for_none(
    ask: Callable[[Client], Awaitable[object]], said: str
) -> None:
    transport = ScriptedTransport([])

    async def main() -> None:
        with pytest.raises(ValueError, match=said):
            await ask(Client(RestClient(transport)))

    run_virtual(main())
    assert transport.requests == []


def test_a_mapping_selects_what_is_equal() -> None:
    transport = ScriptedTransport([answer(200, {"metadata": {}, "items": []})])
    run_virtual(
        Client(RestClient(transport)).list(Secret, label_selector={"app": "web"}, field_selector={"type": "a,b"})
    )
    query = dict(transport.requests[0].query)
    assert (query["labelSelector"], query["fieldSelector"]) == ("app=web", r"type=a\,b")


@pytest.mark.parametrize("verb", ["create", "update", "apply"])
def test_a_value_that_a_field_does_not_take_names_verb_object_and_field_and_not_itself(verb: str) -> None:
    secret = Secret(metadata=ObjectMeta(name="a", namespace="default"))
    secret.data = {"pw": b""}
    wrong: Any = "hunter2"
    secret.data["pw"] = wrong
    transport = ScriptedTransport([])
    client = Client(RestClient(transport), field_owner="tester")

    async def main() -> None:
        with pytest.raises(ModelError, match=rf"^{verb} secrets default/a: data\.pw holds a value of type str, which"):
            await getattr(client, verb)(secret)

    run_virtual(main())
    assert transport.requests == []
