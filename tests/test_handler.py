from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import msgspec
import pytest

from reconciler.api import EncodedObject, ObjectKey, ResourceType
from reconciler.errors import ConfigurationError
from reconciler.event import CreateEvent, DeleteEvent, Event, GenericEvent, UpdateEvent
from reconciler.handler import (
    EnqueueRequestForObject,
    EnqueueRequestForOwner,
    EnqueueRequestsFromMapFunc,
    EventHandler,
    MapFunc,
    check_handler,
)
from reconciler.reconcile import Request
from tests.cache.objects import WIDGETS, Widget, encoded

FLEET = ResourceType("example.com", "v1", "Fleet", "fleets", is_namespaced=False)


def reference(name: str, *, controller: bool | None = None, **fields: str) -> dict[str, Any]:
    found = {"apiVersion": "example.com/v1", "kind": "Widget", "name": name, "uid": f"uid-{name}", **fields}
    return found if controller is None else {**found, "controller": controller}


def child(*owners: dict[str, Any], version: int = 1, namespace: str = "default") -> EncodedObject:
    metadata = {
        "name": "child",
        "namespace": namespace,
        "resourceVersion": str(version),
        "ownerReferences": list(owners),
    }
    return EncodedObject.from_json(msgspec.json.encode({"metadata": metadata}))


def keys(handler: EventHandler, event: Event) -> list[str]:
    return [str(request) for request in handler.requests(event)]


def test_the_object_itself_is_asked_for_whatever_happened_to_it() -> None:
    handler, a = EnqueueRequestForObject(), encoded("a", 1)
    events: tuple[Event, ...] = (CreateEvent(a), UpdateEvent(a, a), DeleteEvent(a), GenericEvent(a.key))
    assert [keys(handler, event) for event in events] == [["default/a"]] * 4


TWO = (reference("a"), reference("b", controller=True))


@pytest.mark.parametrize(
    ("owners", "controller_only", "asked"),
    [
        pytest.param(TWO, False, ["default/a", "default/b"], id="any owner"),
        pytest.param(TWO, True, ["default/b"], id="the one that controls"),
        pytest.param((reference("a", controller=False),), True, [], id="none that controls"),
        pytest.param((), False, [], id="no owner"),
        pytest.param((reference("a", kind="Gadget"),), False, [], id="another kind"),
        pytest.param((reference("a", apiVersion="other.com/v1"),), False, [], id="another group"),
        pytest.param((reference("a", apiVersion="v1"),), False, [], id="the core group"),
        pytest.param((reference("a", apiVersion="example.com/v2"),), False, ["default/a"], id="another version"),
        pytest.param((reference("a"), reference("a")), False, ["default/a"], id="the same owner twice"),
        pytest.param(
            (reference("f", kind="Fleet", controller=True), reference("a")), True, [], id="controlled by another kind"
        ),
    ],
)
def test_the_owners_of_the_kind_are_asked_for(
    owners: tuple[dict[str, Any], ...], controller_only: bool, asked: list[str]
) -> None:
    handler = EnqueueRequestForOwner(Widget, controller_only=controller_only)
    for event in (CreateEvent(child(*owners)), DeleteEvent(child(*owners)), GenericEvent(child().key, child(*owners))):
        assert keys(handler, event) == asked


def test_an_update_asks_for_the_owners_of_the_old_and_of_the_new_object_each_once() -> None:
    handler = EnqueueRequestForOwner(WIDGETS)
    old = child(reference("left"), reference("stays"))
    new = child(reference("stays"), reference("came"), version=2)
    assert keys(handler, UpdateEvent(old, new)) == ["default/left", "default/stays", "default/came"]


@pytest.mark.parametrize(
    ("owner", "namespace", "asked"),
    [
        pytest.param(FLEET, "default", ["f"], id="a cluster-scoped owner has no namespace"),
        pytest.param(FLEET, "", ["f"], id="both cluster-scoped"),
        pytest.param(WIDGETS, "there", ["there/f"], id="a namespaced owner lives beside its child"),
        pytest.param(WIDGETS, "", [], id="a namespaced owner cannot own a cluster-scoped object"),
    ],
)
def test_the_request_has_the_scope_of_the_owner(owner: ResourceType, namespace: str, asked: list[str]) -> None:
    owned = child(reference("f", kind=owner.kind), namespace=namespace)
    assert keys(EnqueueRequestForOwner(owner), CreateEvent(owned)) == asked


def test_an_owner_of_the_core_group_is_known_by_its_version_alone() -> None:
    pods = ResourceType("", "v1", "Pod", "pods")
    owned = child(reference("p", apiVersion="v1", kind="Pod"))
    assert keys(EnqueueRequestForOwner(pods), CreateEvent(owned)) == ["default/p"]


def by_label(obj: EncodedObject) -> Iterable[Request]:
    return [Request(obj.key.namespace, name) for name in obj.metadata.labels.values()]


def test_a_function_maps_old_and_new_object_of_an_update_and_each_request_is_made_once() -> None:
    handler = EnqueueRequestsFromMapFunc(by_label)
    old, new = encoded("a", 1, labels={"x": "left", "y": "stays"}), encoded("a", 2, labels={"x": "stays", "y": "came"})
    assert keys(handler, UpdateEvent(old, new)) == ["default/left", "default/stays", "default/came"]
    assert keys(handler, CreateEvent(old)) == ["default/left", "default/stays"]
    assert keys(handler, DeleteEvent(old)) == ["default/left", "default/stays"]
    assert keys(handler, GenericEvent(old.key, old)) == ["default/left", "default/stays"]


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(EnqueueRequestForOwner(Widget), id="owner"),
        pytest.param(EnqueueRequestsFromMapFunc(by_label), id="mapped"),
    ],
)
def test_a_generic_event_without_an_object_says_that_its_handler_needs_one(handler: EventHandler) -> None:
    with pytest.raises(ValueError, match=f"default/a has no object, and {type(handler).__name__} needs one"):
        handler.requests(GenericEvent(ObjectKey("default", "a")))


def test_a_handler_passes_its_check_and_a_map_func_is_a_plain_function() -> None:
    function: MapFunc = by_label
    handler = EnqueueRequestsFromMapFunc(function)
    assert check_handler(handler) is handler


async def asks_the_server(obj: EncodedObject) -> list[Request]:
    return [Request(obj.key.namespace, "a")]


class Asking:
    async def __call__(self, obj: EncodedObject) -> list[Request]:
        return await asks_the_server(obj)


class AsyncHandler:
    async def requests(self, event: Event) -> Iterable[Request]:
        return [Request(event.key.namespace, "a")]


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        pytest.param(lambda: EnqueueRequestsFromMapFunc(asks_the_server), "a map function", id="a function"),  # type: ignore[arg-type]  # the error is the test
        pytest.param(lambda: EnqueueRequestsFromMapFunc(Asking()), "a map function", id="an object"),  # type: ignore[arg-type]  # the error is the test
        pytest.param(
            lambda: EnqueueRequestsFromMapFunc(partial(asks_the_server)),  # type: ignore[arg-type]  # the error is the test
            "a map function",
            id="a partial",
        ),
        pytest.param(lambda: check_handler(AsyncHandler()), "a handler", id="a handler"),  # type: ignore[arg-type]  # the error is the test
    ],
)
def test_what_is_async_is_refused_when_it_is_given_with_the_way_that_waits_for_nothing(
    wrong: Callable[[], object], what: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"{what} is called where nothing may wait.*is async.*by_index"):
        wrong()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        pytest.param(
            lambda: check_handler(EnqueueRequestForObject),  # type: ignore[arg-type]  # the error is the test
            r"EnqueueRequestForObject is a class",
            id="a class",
        ),
        pytest.param(
            lambda: check_handler(by_label),  # type: ignore[arg-type]  # the error is the test
            r"write EnqueueRequestsFromMapFunc\(function\)",
            id="a function",
        ),
        pytest.param(
            lambda: check_handler(None),  # type: ignore[arg-type]  # the error is the test
            "None is no handler",
            id="None",
        ),
    ],
)
def test_what_is_no_handler_is_refused_when_it_is_given(wrong: Callable[[], object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        wrong()
