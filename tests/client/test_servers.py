"""The client against the real kube-apiserver, over sockets, and against the embedded one, in process."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ApiModel, KubeObject, ObjectKey, ObjectMeta, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.client import AiohttpTransport, Client, JsonObject, OwnWrites, RestClient, Transport, load_config
from reconciler.clock import SystemWallClock
from reconciler.envtest import RealServer
from reconciler.errors import (
    AlreadyExistsError,
    BadRequestError,
    ConflictError,
    ExpiredError,
    InvalidError,
    NotFoundError,
    UnauthorizedError,
)
from reconciler.journal import Cause, Journal, Origin, Record, Wrote, current_cause
from reconciler.testing import InProcessTransport

pytestmark = pytest.mark.asyncio

NAMESPACES = ResourceType("", "v1", "Namespace", "namespaces", is_namespaced=False)
CRD: JsonObject = {
    "metadata": {"name": "widgets.client.example.com"},
    "spec": {
        "group": "client.example.com",
        "names": {"kind": "Widget", "listKind": "WidgetList", "plural": "widgets", "singular": "widget"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["size"],
                                "properties": {
                                    "size": {"type": "integer", "minimum": 0},
                                    "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
                                },
                            },
                            "status": {
                                "type": "object",
                                "properties": {"ready": {"type": "integer"}, "phase": {"type": "string"}},
                            },
                        },
                    }
                },
            }
        ],
    },
}


class WidgetSpec(ApiModel):
    size: int
    color: str | None = None


class WidgetStatus(ApiModel):
    ready: int | None = None
    phase: str | None = None


class Widget(KubeObject):
    resource = ResourceType("client.example.com", "v1", "Widget", "widgets")
    spec: WidgetSpec
    status: WidgetStatus | None = None


@dataclass
class Setting:
    client: Client
    rest: RestClient
    ledger: OwnWrites
    records: list[Record]
    namespace: str
    forget: Callable[[], None]
    """Makes the server forget its history; a kube-apiserver has none from before the kind was there."""

    def key(self, name: str = "a") -> ObjectKey:
        return ObjectKey(self.namespace, name)

    def widget(self, name: str = "a", size: int = 1) -> Widget:
        return Widget(metadata=ObjectMeta(name=name, namespace=self.namespace), spec=WidgetSpec(size=size))

    @property
    def wrote(self) -> list[Wrote]:
        return [record for record in self.records if isinstance(record, Wrote)]


NUMBERS = itertools.count(1)


@pytest.fixture(params=["real", "embedded"])
def server(request: pytest.FixtureRequest) -> RealServer | None:
    if request.param == "embedded":
        return None
    real: RealServer = request.getfixturevalue("real_server")
    return real


async def _transport(server: RealServer | None) -> tuple[Transport, Callable[[], None]]:
    if server is not None:
        return AiohttpTransport(await load_config(server.kubeconfig)), lambda: None
    embedded = ApiServer(wall=SystemWallClock())
    return InProcessTransport(embedded), embedded.compact


@pytest_asyncio.fixture
async def setting(server: RealServer | None) -> AsyncGenerator[Setting, None]:
    transport, forget = await _transport(server)
    rest = RestClient(transport)
    journal, ledger, records = Journal(), OwnWrites(), list[Record]()
    client = Client(rest, journal=journal, ledger=ledger)
    await _install(client)
    namespace = f"client-{next(NUMBERS)}"
    await client.create({"metadata": {"name": namespace}}, resource=NAMESPACES)
    journal.subscribe(records.append)
    current_cause.set(Cause(7, "widget", "key"))
    yield Setting(client, rest, ledger, records, namespace, forget)
    await rest.aclose()


async def _install(client: Client, crd: JsonObject = CRD, kind: ResourceType = Widget.resource) -> None:
    try:
        await client.create(crd, resource=CUSTOM_RESOURCE_DEFINITION)
    except AlreadyExistsError:
        return
    async with client.watch(
        CUSTOM_RESOURCE_DEFINITION, field_selector=f"metadata.name={crd['metadata']['name']}", idle_seconds=20
    ) as events:
        async for event in events:
            conditions = event.object.get("status", {}).get("conditions") or []
            if any(found["type"] == "Established" and found["status"] == "True" for found in conditions):
                break
    for _ in range(1000):  # for some tens of milliseconds the new path is not routed yet
        try:
            await client.list(kind)
        except NotFoundError:
            await asyncio.sleep(0.01)
        else:
            return


async def test_an_object_lives_from_create_to_delete(setting: Setting) -> None:
    client = setting.client
    created = await client.create(setting.widget())
    assert (created.spec.size, created.spec.color, created.metadata.generation) == (1, "red", 1)
    assert created.metadata.uid
    assert created.metadata.creation_timestamp is not None
    created.spec.size = 2
    updated = await client.update(created)
    assert (updated.spec.size, updated.metadata.generation) == (2, 2)
    patched = await client.patch(Widget, setting.key(), {"spec": {"color": "blue"}, "metadata": {"labels": {"a": "b"}}})
    assert (patched.spec.size, patched.spec.color, patched.metadata.labels) == (2, "blue", {"a": "b"})
    assert await client.get(Widget, setting.key()) == patched
    await client.delete(Widget, setting.key())
    with pytest.raises(
        NotFoundError, match=rf"^get widgets\.client\.example\.com {setting.namespace}/a: 404 .*not found"
    ):
        await client.get(Widget, setting.key())
    assert [(record.verb, record.code) for record in setting.wrote] == [
        ("create", 201),
        ("update", 200),
        ("patch", 200),
        ("delete", 200),
    ]
    assert [record.old_version for record in setting.wrote[:3]] == ["", created.metadata.resource_version, ""]
    assert setting.wrote[2].new_version == patched.metadata.resource_version


async def test_dictionaries_live_the_same_life(setting: Setting) -> None:
    client, kind = setting.client, Widget.resource
    obj: JsonObject = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"generateName": "w-", "namespace": setting.namespace},
        "spec": {"size": 1},
    }
    created = await client.create(obj, resource=kind)
    key = setting.key(created["metadata"]["name"])
    assert key.name.startswith("w-")
    created["spec"]["size"] = 5
    assert (await client.update(created, resource=kind))["spec"] == {"size": 5, "color": "red"}
    assert (await client.patch(kind, key, {"spec": {"color": None}}))["spec"] == {"size": 5, "color": "red"}
    assert await client.get(kind, key) == (await client.list(kind, namespace=setting.namespace)).items[0]
    assert setting.wrote[0].target == f"widgets {key}"


async def test_the_status_subresource_writes_nothing_but_status(setting: Setting) -> None:
    client = setting.client
    created = await client.create(setting.widget())
    created.spec.size = 9
    created.status = WidgetStatus(ready=1)
    with_status = await client.status.update(created)
    assert (with_status.spec.size, with_status.status) == (1, WidgetStatus(ready=1))
    patched = await client.status.patch(Widget, setting.key(), {"spec": {"size": 9}, "status": {"phase": "Up"}})
    assert (patched.spec.size, patched.status) == (1, WidgetStatus(ready=1, phase="Up"))
    assert patched.metadata.generation == 1
    patched.status = WidgetStatus(ready=99)
    assert (await client.update(patched)).status == WidgetStatus(ready=1, phase="Up")


async def test_a_write_of_a_stale_object_is_a_conflict(setting: Setting) -> None:
    client = setting.client
    stale = await client.create(setting.widget())
    await client.patch(Widget, setting.key(), {"spec": {"size": 2}})
    version = {"metadata": {"resourceVersion": stale.metadata.resource_version}}
    with pytest.raises(ConflictError, match="the object has been modified"):
        await client.update(stale)
    with pytest.raises(ConflictError):
        await client.status.update(stale.model_copy(update={"status": WidgetStatus(ready=1)}))
    with pytest.raises(ConflictError):
        await client.patch(Widget, setting.key(), {**version, "spec": {"size": 3}})
    with pytest.raises(ConflictError):
        await client.status.patch(Widget, setting.key(), {**version, "status": {"ready": 3}})
    assert [record.code for record in setting.wrote] == [201, 200, 409, 409, 409, 409]
    assert len(setting.ledger) == 0


async def test_delete_preconditions_guard_against_a_newer_object(setting: Setting) -> None:
    client = setting.client
    created = await client.create(setting.widget())
    with pytest.raises(ConflictError):
        await client.delete(Widget, setting.key(), uid="00000000-0000-0000-0000-000000000000")
    with pytest.raises(ConflictError):
        await client.delete(Widget, setting.key(), resource_version="1")
    await client.delete(
        Widget,
        setting.key(),
        uid=created.metadata.uid,
        resource_version=created.metadata.resource_version,
    )
    with pytest.raises(NotFoundError):
        await client.delete(Widget, setting.key())


async def test_a_finalizer_keeps_a_deleted_object_until_it_is_gone(setting: Setting) -> None:
    client = setting.client
    widget = setting.widget()
    widget.metadata.finalizers = ["example.com/hold"]
    await client.create(widget)
    await client.delete(Widget, setting.key())
    leaving = await client.get(Widget, setting.key())
    assert leaving.metadata.deletion_timestamp is not None
    assert setting.wrote[-1].new_version == leaving.metadata.resource_version
    await client.patch(Widget, setting.key(), {"metadata": {"finalizers": None}})
    with pytest.raises(NotFoundError):
        await client.get(Widget, setting.key())


async def test_an_object_that_breaks_its_schema_is_refused_with_its_fields(setting: Setting) -> None:
    client = setting.client
    bad: JsonObject = {
        "apiVersion": "client.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "bad", "namespace": setting.namespace},
        "spec": {"size": -1, "color": "green"},
    }
    with pytest.raises(InvalidError) as caught:
        await client.create(bad, resource=Widget.resource)
    assert sorted(cause.field for cause in caught.value.status.causes) == ["spec.color", "spec.size"]
    await client.create(setting.widget())
    with pytest.raises(InvalidError) as caught:
        await client.patch(Widget, setting.key(), {"spec": {"size": "many"}})
    assert [cause.field for cause in caught.value.status.causes] == ["spec.size"]
    with pytest.raises(AlreadyExistsError):
        await client.create(setting.widget())


async def test_a_custom_object_cannot_be_updated_without_its_version(setting: Setting) -> None:
    await setting.client.create(setting.widget())
    with pytest.raises(InvalidError, match="must be specified for an update"):
        await setting.client.update(setting.widget(size=2))


async def test_a_body_that_is_no_json_is_a_bad_request(setting: Setting) -> None:
    with pytest.raises(BadRequestError):
        await setting.rest.create(Widget.resource, setting.namespace, b"{")


async def test_a_kind_that_is_not_served_is_not_found_and_names_no_object(setting: Setting) -> None:
    unknown = ResourceType("client.example.com", "v1", "Gadget", "gadgets")
    with pytest.raises(NotFoundError) as caught:
        await setting.client.list(unknown)
    assert "name" not in caught.value.status.details


async def test_unknown_fields_are_dropped_without_an_error(setting: Setting) -> None:
    await setting.client.create(setting.widget())
    stored = await setting.client.patch(
        Widget.resource, setting.key(), {"spec": {"shape": "round"}, "status": {"ready": 1}}
    )
    assert stored["spec"] == {"size": 1, "color": "red"}
    assert "status" not in stored


async def test_a_write_that_changes_nothing_returns_the_version_it_sent_and_leaves_no_link(setting: Setting) -> None:
    client = setting.client
    created = await client.create(setting.widget())
    version = created.metadata.resource_version
    assert (await client.update(created)).metadata.resource_version == version
    same = {"metadata": {"resourceVersion": version}, "spec": {"size": 1}}
    assert (await client.patch(Widget, setting.key(), same)).metadata.resource_version == version
    version = (await client.status.patch(Widget, setting.key(), {"status": {"ready": 1}})).metadata.resource_version
    dropped = {"metadata": {"resourceVersion": version}, "status": {"ready": 1, "unknown": 1}}
    assert (await client.status.patch(Widget, setting.key(), dropped)).metadata.resource_version == version
    assert len(setting.ledger) == 0


async def test_the_ledger_links_the_versions_that_a_pass_wrote_and_no_others(setting: Setting) -> None:
    client, ledger = setting.client, setting.ledger
    first = await client.create(setting.widget())
    uid = first.metadata.uid
    first.spec.size = 2
    second = await client.update(first)
    third = await client.status.patch(
        Widget,
        setting.key(),
        {"metadata": {"resourceVersion": second.metadata.resource_version}, "status": {"ready": 1}},
    )
    versions = [widget.metadata.resource_version for widget in (first, second, third)]
    assert ledger.origin("widget", uid, versions[0], versions[2]) is Origin.OWN
    fourth = await client.patch(Widget, setting.key(), {"spec": {"size": 3}})
    assert ledger.origin("widget", uid, versions[2], fourth.metadata.resource_version) is Origin.FOREIGN
    fourth.spec.size = 4
    fifth = await client.update(fourth)
    assert ledger.origin("widget", uid, versions[0], fifth.metadata.resource_version) is Origin.FOREIGN


async def test_a_list_is_whole_whatever_its_pages_are(setting: Setting) -> None:
    for number in range(7):
        widget = setting.widget(f"w{number}", size=number)
        widget.metadata.labels = {"parity": "even" if number % 2 == 0 else "odd"}
        await setting.client.create(widget)
    names = [f"w{number}" for number in range(7)]
    for limit in (None, 3, 7, 1):
        listed = await setting.client.list(Widget, namespace=setting.namespace, limit=limit)
        assert [widget.metadata.name for widget in listed] == names
        assert listed.resource_version
    odd = await setting.client.list(Widget, namespace=setting.namespace, label_selector="parity=odd", limit=2)
    assert [widget.spec.size for widget in odd] == [1, 3, 5]
    one = await setting.client.list(
        Widget.resource, field_selector=f"metadata.name=w4,metadata.namespace={setting.namespace}"
    )
    assert [obj["metadata"]["name"] for obj in one] == ["w4"]


async def test_a_list_of_a_built_in_kind_fills_in_what_its_items_lack(setting: Setting) -> None:
    listed = await setting.client.list(NAMESPACES)
    assert "default" in {obj["metadata"]["name"] for obj in listed}
    assert {(obj["apiVersion"], obj["kind"]) for obj in listed} == {("v1", "Namespace")}


async def test_a_watch_from_a_list_sees_what_happened_since(setting: Setting) -> None:
    client = setting.client
    start = (await client.list(Widget, namespace=setting.namespace)).resource_version
    created = await client.create(setting.widget())
    created.spec.size = 2
    await client.update(created)
    seen: list[tuple[str, int]] = []
    async with client.watch(Widget, namespace=setting.namespace, resource_version=start, idle_seconds=20) as events:
        async for event in events:
            seen.append((event.type, event.object.spec.size))
            if event.type == "MODIFIED":
                await client.delete(Widget, setting.key())
            if event.type == "DELETED":
                break
    assert seen == [("ADDED", 1), ("MODIFIED", 2), ("DELETED", 2)]


async def test_a_watch_without_a_version_begins_with_all_that_is_there(setting: Setting) -> None:
    for name in ("a", "b"):
        await setting.client.create(setting.widget(name))
    async with setting.client.watch(Widget.resource, namespace=setting.namespace, idle_seconds=20) as events:
        seen = [await anext(events), await anext(events)]
    assert sorted((event.type, event.object["metadata"]["name"]) for event in seen) == [("ADDED", "a"), ("ADDED", "b")]


async def test_the_server_ends_a_watch_after_the_time_asked_for(setting: Setting) -> None:
    start = (await setting.client.list(Widget, namespace=setting.namespace)).resource_version
    async with setting.client.watch(
        Widget, namespace=setting.namespace, resource_version=start, timeout_seconds=1, idle_seconds=20
    ) as events:
        assert [event async for event in events] == []


async def test_a_watch_from_a_version_that_is_too_old_raises_expired(setting: Setting) -> None:
    await setting.client.create(setting.widget())
    await setting.client.create(setting.widget("b"))

    async def watch() -> Any:
        async with setting.client.watch(Widget, resource_version="1", timeout_seconds=1) as events:
            return [event async for event in events]

    setting.forget()
    with pytest.raises(ExpiredError, match="too old resource version"):
        await watch()


@pytest.mark.real_server
async def test_a_token_that_the_server_does_not_know_is_unauthorized(real_server: RealServer) -> None:
    config = await load_config(real_server.kubeconfig)
    wrong = real_server.kubeconfig.with_name("wrong-token")
    wrong.write_text(real_server.kubeconfig.read_text().replace(real_server.token, "not-a-token"))
    try:
        async with AiohttpTransport(await load_config(wrong)) as transport:
            with pytest.raises(UnauthorizedError):
                await Client(RestClient(transport)).list(NAMESPACES)
    finally:
        wrong.unlink()
    assert config.host == real_server.url


@pytest.mark.real_server
async def test_a_new_kind_can_be_listed_as_soon_as_it_is_established(real_server: RealServer) -> None:
    # A kube-apiserver may answer 429 with Retry-After while a new kind's watch cache fills; the client waits it out.
    async with AiohttpTransport(await load_config(real_server.kubeconfig)) as transport:
        client = Client(RestClient(transport))
        for number in range(5):
            plural = f"gadget{number}s"
            names = {"kind": f"Gadget{number}", "plural": plural, "singular": f"gadget{number}"}
            crd = {"metadata": {"name": f"{plural}.client.example.com"}, "spec": {**CRD["spec"], "names": names}}
            kind = ResourceType("client.example.com", "v1", names["kind"], plural)
            await _install(client, crd, kind)
            assert (await client.list(kind)).items == ()


async def test_a_read_may_be_content_with_an_older_state_or_want_one_moment(setting: Setting) -> None:
    client = setting.client
    created = await client.create(setting.widget())
    version = created.metadata.resource_version
    assert (await client.get(Widget, setting.key(), resource_version=version)).spec.size == 1
    first = await client.list(Widget, namespace=setting.namespace)
    await client.create(setting.widget("b"))
    listed = await client.list(
        Widget, namespace=setting.namespace, resource_version=first.resource_version, resource_version_match="Exact"
    )
    assert ([each.metadata.name for each in listed], listed.resource_version) == (["a"], first.resource_version)
    anything = await client.list(
        Widget, namespace=setting.namespace, resource_version=version, resource_version_match="NotOlderThan", limit=1
    )
    assert "a" in [each.metadata.name for each in anything]
