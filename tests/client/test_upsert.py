"""Create or update, create or patch: against the real kube-apiserver and the embedded one."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from reconciler.api import ObjectKey, ObjectMeta, add_finalizer
from reconciler.client import (
    Client,
    JsonObject,
    OperationResult,
    RestClient,
    create_or_patch,
    create_or_update,
    retry_on_conflict,
)
from reconciler.errors import AlreadyExistsError, ConflictError, ForbiddenError, NotFoundError
from reconciler.journal import Journal, Origin, Wrote
from reconciler.testing import run_virtual

from . import test_servers
from .scripted import ScriptedTransport, answer, refusal
from .test_servers import Setting, Widget, WidgetSpec, WidgetStatus

server = test_servers.server
setting = test_servers.setting
asynchronous = pytest.mark.asyncio


class Size:
    """Sets a size, and does not know what else there is."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, widget: Widget) -> None:
        widget.spec.size = self.size


def grow_untyped(obj: JsonObject) -> None:
    obj["spec"] = {**obj.get("spec", {}), "size": 5}


def verbs(setting: Setting) -> list[str]:
    return [record.verb + (" status" if "/status " in record.target else "") for record in setting.wrote]


@asynchronous
async def test_what_is_not_there_is_created_and_the_object_given_stays_as_it_was(setting: Setting) -> None:
    given = setting.widget(size=1)
    result, stored = await create_or_update(setting.client, given, Size(3))
    assert result is OperationResult.CREATED
    assert (stored.spec.size, bool(stored.metadata.uid)) == (3, True)
    assert given == setting.widget(size=1)


@asynchronous
async def test_what_is_there_is_changed_and_keeps_what_the_function_does_not_know(setting: Setting) -> None:
    widget = setting.widget()
    widget.metadata.labels = {"team": "blue"}
    await setting.client.create(widget)
    result, stored = await create_or_update(setting.client, setting.widget(size=99), Size(3))
    assert result is OperationResult.UPDATED
    assert (stored.spec.size, stored.metadata.labels) == (3, {"team": "blue"})
    assert (await setting.client.get(Widget, setting.key())).spec.size == 3


@asynchronous
@pytest.mark.parametrize("upsert", [create_or_update, create_or_patch])
async def test_a_change_that_changes_nothing_writes_nothing(setting: Setting, upsert: Any) -> None:
    created = await setting.client.create(setting.widget(size=3))

    def mutate(widget: Widget) -> None:
        widget.spec.size = 3
        widget.metadata.labels = {}
        widget.metadata.finalizers = []

    result, found = await upsert(setting.client, setting.widget(), mutate)
    assert result is OperationResult.NONE
    assert found.metadata.resource_version == created.metadata.resource_version
    assert verbs(setting) == ["create"]


@asynchronous
@pytest.mark.parametrize("upsert", [create_or_update, create_or_patch])
async def test_dictionaries_are_created_changed_and_left_alone_likewise(setting: Setting, upsert: Any) -> None:
    given: JsonObject = {"metadata": {"name": "a", "namespace": setting.namespace}}
    kind = Widget.resource
    results = [await upsert(setting.client, given, grow_untyped, resource=kind)]
    results.append(await upsert(setting.client, given, grow_untyped, resource=kind))
    await setting.client.patch(kind, setting.key(), {"spec": {"size": 1, "color": "blue"}})
    results.append(await upsert(setting.client, given, grow_untyped, resource=kind))
    assert [result for result, _ in results] == ["created", "unchanged", "updated"]
    assert results[-1].object["spec"] == {"size": 5, "color": "blue"}
    assert given == {"metadata": {"name": "a", "namespace": setting.namespace}}


@asynchronous
@pytest.mark.parametrize("upsert", [create_or_update, create_or_patch])
@pytest.mark.parametrize("is_there", [False, True], ids=["new", "there"])
async def test_a_function_that_renames_the_object_is_refused_before_any_write(
    setting: Setting, upsert: Any, is_there: bool
) -> None:
    if is_there:
        await setting.client.create(setting.widget())
    before = len(setting.wrote)

    def rename(widget: Widget) -> None:
        widget.metadata.name = "b"

    with pytest.raises(ValueError, match=rf"{setting.namespace}/a became {setting.namespace}/b"):
        await upsert(setting.client, setting.widget(), rename)

    def move(widget: Widget) -> None:
        widget.metadata.namespace = "elsewhere"

    with pytest.raises(ValueError, match=rf"{setting.namespace}/a became elsewhere/a"):
        await upsert(setting.client, setting.widget(), move)
    assert len(setting.wrote) == before


@asynchronous
async def test_an_update_is_refused_if_somebody_wrote_since_the_read_and_a_retry_mends_it(setting: Setting) -> None:
    await setting.client.create(setting.widget())
    interrupted = _Interrupted(setting, times=1)

    async def attempt() -> Widget:
        return (await create_or_update(setting.client, setting.widget(), Size(3), reader=interrupted)).object

    with pytest.raises(ConflictError):
        await attempt()
    interrupted.times = 2
    stored = await retry_on_conflict(attempt)
    assert (stored.spec.size, stored.spec.color) == (3, "blue")
    assert interrupted.times == 0


class _Interrupted:
    """A reader after whose first reads somebody else writes."""

    def __init__(self, setting: Setting, times: int) -> None:
        self._setting = setting
        self.times = times
        self.list = setting.client.list

    async def get(self, kind: Any, key: ObjectKey) -> Any:
        found = await self._setting.client.get(kind, key)
        if self.times:
            self.times -= 1
            color = "red" if found.spec.color == "blue" else "blue"
            await self._setting.client.patch(kind, key, {"spec": {"color": color}})
        return found


class _Behind:
    """A reader that knows nothing yet."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.list = client.list

    async def get(self, kind: Any, key: ObjectKey) -> Any:
        return await self._client.get(kind, ObjectKey(key.namespace, "not-there"))


@asynchronous
async def test_a_reader_that_does_not_know_the_object_yet_gives_already_exists(setting: Setting) -> None:
    await setting.client.create(setting.widget())
    with pytest.raises(AlreadyExistsError):
        await create_or_update(setting.client, setting.widget(), Size(3), reader=_Behind(setting.client))


@asynchronous
async def test_a_patch_holds_only_what_changed_so_it_passes_a_foreign_change_by(setting: Setting) -> None:
    await setting.client.create(setting.widget())
    reader = _Interrupted(setting, times=1)
    result, stored = await create_or_patch(setting.client, setting.widget(), Size(3), reader=reader)
    assert result is OperationResult.UPDATED
    assert (stored.spec.size, stored.spec.color) == (3, "blue")
    reader.times = 1
    with pytest.raises(ConflictError):
        await create_or_patch(setting.client, setting.widget(), Size(4), reader=reader, optimistic_lock=True)


@asynchronous
async def test_a_patch_writes_object_and_status_each_only_if_it_changed(setting: Setting) -> None:
    def both(widget: Widget) -> None:
        widget.spec.size = 4
        widget.status = WidgetStatus(ready=4)

    def status(widget: Widget) -> None:
        widget.status = WidgetStatus(ready=5)

    def nothing_left(widget: Widget) -> None:
        widget.status = None

    steps = [both, both, both, status, nothing_left]
    results = [await create_or_patch(setting.client, setting.widget(), step) for step in steps]
    assert [result for result, _ in results] == [
        OperationResult.CREATED,  # a new object has no status
        OperationResult.UPDATED_STATUS_ONLY,
        OperationResult.NONE,
        OperationResult.UPDATED_STATUS_ONLY,
        OperationResult.UPDATED_STATUS_ONLY,
    ]
    assert verbs(setting) == ["create", "patch status", "patch status", "patch status"]
    assert [found.status for _, found in results] == [
        None,
        WidgetStatus(ready=4),
        WidgetStatus(ready=4),
        WidgetStatus(ready=5),
        None,
    ]


@asynchronous
async def test_a_status_that_a_patch_leaves_to_the_next_pass_is_no_warning_and_one_that_is_lost_is(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    def both(widget: Widget) -> None:
        widget.spec.size = 4
        widget.status = WidgetStatus(ready=4)

    await create_or_patch(setting.client, setting.widget(), both)
    assert (setting.wrote[-1].pruned, caplog.records) == (("status",), [])
    await create_or_update(setting.client, setting.widget("b"), both)
    assert [record.message.partition(" (")[0] for record in caplog.records] == [
        f"create widgets {setting.namespace}/b: the server did not keep what was sent in status"
    ]


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param({}, id="no status"),
        pytest.param({"status": {}}, id="an empty status, as of a Deployment"),
        pytest.param({"status": {"phase": "Pending"}}, id="a status of the server's own, as of a Pod"),
    ],
)
def test_whatever_status_a_server_creates_instead_is_recorded_and_no_warning(
    stored: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    metadata = {"name": "a", "namespace": "d", "resourceVersion": "1"}
    made = answer(201, {"kind": "Widget", "metadata": metadata, "spec": {"size": 1, "statusWord": "x"}, **stored})
    transport = ScriptedTransport([answer(404, refusal(404, "NotFound", kind="widgets", name="a")), made])
    journal = Journal()

    def mutate(obj: JsonObject) -> None:
        obj.update(spec={"size": 1, "statusWord": "y"}, status={"phase": "Up", "replicas": 2})

    with caplog.at_level(logging.WARNING, "reconciler.client"):
        run_virtual(
            create_or_patch(
                Client(RestClient(transport), journal=journal),
                {"metadata": {"name": "a", "namespace": "d"}},
                mutate,
                resource=Widget.resource,
            )
        )
    (record,) = [record for place in journal.places() for record in journal.records(*place)]
    assert isinstance(record, Wrote)
    assert all(path.startswith("status") for path in record.pruned)
    assert len([*record.pruned, *record.changed]) >= 2
    # Only what is no status is told.
    assert [text.message.partition("sent in ")[2].partition(" (")[0] for text in caplog.records] == ["spec.statusWord"]


def test_a_locked_patch_of_an_object_without_a_version_is_refused_before_any_write() -> None:
    read = answer(200, {"kind": "Widget", "metadata": {"name": "a", "namespace": "d"}, "spec": {"size": 1}})
    transport = ScriptedTransport([read])

    def mutate(obj: JsonObject) -> None:
        obj["status"] = {"ready": 1}

    obj = {"metadata": {"name": "a", "namespace": "d"}}
    client = Client(RestClient(transport))
    with pytest.raises(ValueError, match="optimistic_lock needs an object with a resource version"):
        run_virtual(create_or_patch(client, obj, mutate, resource=Widget.resource, optimistic_lock=True))
    assert len(transport.requests) == 1


@asynchronous
async def test_after_the_object_its_status_is_patched_on_the_version_just_written(setting: Setting) -> None:
    first = await setting.client.create(setting.widget())

    def both(widget: Widget) -> None:
        widget.spec.size = 4
        widget.status = WidgetStatus(ready=4)
        add_finalizer(widget, "example.com/widget")

    result, stored = await create_or_patch(setting.client, setting.widget(), both, optimistic_lock=True)
    assert result is OperationResult.UPDATED_STATUS
    assert (stored.spec.size, stored.status, stored.metadata.finalizers) == (
        4,
        WidgetStatus(ready=4),
        ["example.com/widget"],
    )
    object_patch, status_patch = setting.wrote[-2:]
    assert object_patch.old_version == first.metadata.resource_version
    assert status_patch.old_version == object_patch.new_version
    # So the controller's own events are known as its own.
    origin = setting.ledger.origin(
        "widget", first.metadata.uid, first.metadata.resource_version, stored.metadata.resource_version
    )
    assert origin is Origin.OWN


def widget(name: str = "a") -> Widget:
    return Widget(metadata=ObjectMeta(name=name, namespace="default"), spec=WidgetSpec(size=1))


def scripted(*answers: Any) -> tuple[Client, ScriptedTransport]:
    transport = ScriptedTransport(answers)
    return Client(RestClient(transport)), transport


@pytest.mark.parametrize("upsert", [create_or_update, create_or_patch])
def test_a_read_that_is_refused_writes_nothing(upsert: Any) -> None:
    client, transport = scripted(answer(403, refusal(403, "Forbidden")))
    with pytest.raises(ForbiddenError):
        run_virtual(upsert(client, widget(), Size(3)))
    assert [request.method for request in transport.requests] == ["GET"]


def test_a_status_of_a_kind_that_has_no_such_subresource_is_an_error() -> None:
    stored = {**widget().to_wire()}
    client, _ = scripted(answer(200, stored), answer(404, refusal(404, "NotFound")))

    def mutate(found: Widget) -> None:
        found.status = WidgetStatus(ready=1)

    with pytest.raises(NotFoundError):
        run_virtual(create_or_patch(client, widget(), mutate))


def test_a_coroutine_function_is_refused_since_it_would_change_nothing() -> None:
    client, transport = scripted(answer(200, widget().to_wire()))

    async def mutate(found: Widget) -> None:
        found.spec.size = 3

    with pytest.raises(TypeError, match="must be a plain function"):
        run_virtual(create_or_update(client, widget(), mutate))
    assert len(transport.requests) == 1


def test_an_object_without_a_name_is_refused_before_any_request() -> None:
    client, transport = scripted()
    with pytest.raises(ValueError, match="has no name"):
        run_virtual(create_or_update(client, widget(""), Size(3)))
    assert transport.requests == []


def test_an_untyped_object_needs_its_resource() -> None:
    client, _ = scripted()
    upsert: Any = create_or_update
    with pytest.raises(TypeError, match="needs resource="):
        run_virtual(upsert(client, widget().to_wire(), grow_untyped))
