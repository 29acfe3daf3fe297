"""Options of writes: field owner, dry run, field validation, deletion; and what the server warns of."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from reconciler.api import ObjectKey, ObjectMeta, ResourceType
from reconciler.client import Client, OwnWrites, RestClient, ServerWarning
from reconciler.client.warnings import parse_warnings
from reconciler.envtest import RealServer
from reconciler.errors import (
    ApiError,
    BadRequestError,
    ConflictError,
    MalformedObjectError,
    MethodNotAllowedError,
    NotFoundError,
)
from reconciler.journal import Cause, Journal, Record, Wrote, current_cause
from reconciler.testing import run_virtual

from .scripted import ScriptedTransport, answer, refusal
from .test_servers import NAMESPACES, Setting, Widget, WidgetSpec, _install, _transport

KEY = ObjectKey("default", "a")
WIRE: dict[str, Any] = {
    "metadata": {"name": "a", "namespace": "default", "uid": "u", "resourceVersion": "2"},
    "spec": {"size": 1},
}


def _widget(version: str = "1") -> Widget:
    return Widget.model_validate({"metadata": {**WIRE["metadata"], "resourceVersion": version}, "spec": {"size": 1}})


Write = Callable[..., Awaitable[Any]]

WRITES: list[Any] = [
    pytest.param(lambda client, **options: client.create(_widget(), **options), id="create"),
    pytest.param(lambda client, **options: client.update(_widget(), **options), id="update"),
    pytest.param(lambda client, **options: client.patch(Widget, KEY, {}, **options), id="patch"),
    pytest.param(lambda client, **options: client.apply(_widget(), **options), id="apply"),
    pytest.param(lambda client, **options: client.status.update(_widget(), **options), id="status update"),
    pytest.param(lambda client, **options: client.status.patch(Widget, KEY, {}, **options), id="status patch"),
    pytest.param(
        lambda client, **options: client.subresource("scale").update(Widget, KEY, WIRE, **options), id="scale update"
    ),
    pytest.param(
        lambda client, **options: client.subresource("scale").patch(Widget, KEY, {}, **options), id="scale patch"
    ),
    pytest.param(
        lambda client, **options: client.subresource("eviction").create(Widget, KEY, {}, **options), id="eviction"
    ),
]


WRITES += [
    pytest.param(lambda client, **options: client.status.apply(_widget(), **options), id="status apply"),
    pytest.param(
        lambda client, **options: client.subresource("scale").apply(Widget, KEY, WIRE, **options), id="scale apply"
    ),
]
APPLIES = {"apply", "status apply", "scale apply"}


async def _await(call: Awaitable[Any]) -> Any:
    return await call


@pytest.mark.parametrize("write", WRITES)
def test_every_write_carries_its_options_and_else_the_clients(write: Write) -> None:
    transport = ScriptedTransport([answer(200, WIRE)] * 2)
    client = Client(RestClient(transport), field_owner="me", field_validation="Strict")
    run_virtual(_await(write(client)))
    assert dict(transport.requests[0].query) == {"fieldManager": "me", "fieldValidation": "Strict"}
    run_virtual(_await(write(client, field_owner="you", field_validation="Ignore", dry_run=True)))
    assert dict(transport.requests[1].query) == {
        "fieldManager": "you",
        "fieldValidation": "Ignore",
        "dryRun": "All",
    }


@pytest.mark.parametrize("write", WRITES)
def test_a_misspelt_option_is_refused_before_anything_is_sent(write: Write) -> None:
    transport = ScriptedTransport()
    client = Client(RestClient(transport), field_owner="me")
    for options, says in (
        ({"dryrun": True}, r"'dryrun': no such option, there are field_owner, dry_run, field_validation$"),
        (
            {"dry_run": True, "fieldManager": "me", "a": 1},
            r"^'fieldManager', 'a': no such option, there are field_owner",
        ),
        ({"dry_run": "All"}, "dry_run is True or False, not a str"),
        ({"dry_run": None}, "dry_run is True or False, not a NoneType"),
    ):
        with pytest.raises(TypeError, match=says):
            run_virtual(_await(write(client, **options)))
    with pytest.raises(ValueError, match="field_validation is one of Strict, Warn, Ignore, not 'strict'"):
        run_virtual(_await(write(client, field_validation="strict")))
    assert transport.requests == []


@pytest.mark.parametrize("write", [each for each in WRITES if each.id not in APPLIES])
def test_force_is_refused_where_nothing_is_applied(write: Write) -> None:
    transport = ScriptedTransport()
    with pytest.raises(TypeError, match=r"'force': no such option, .*; force is for apply alone"):
        run_virtual(_await(write(Client(RestClient(transport)), force=True)))
    assert transport.requests == []


def test_deletions_and_lists_refuse_what_they_do_not_take() -> None:
    transport = ScriptedTransport()
    client: Any = Client(RestClient(transport))
    for call in (
        lambda: client.delete(Widget, KEY, dryrun=True),
        lambda: client.delete_collection(Widget, namespace="default", dryrun=True),
        lambda: client.list(Widget, dryrun=True),
        lambda: client.iterate(Widget, dryrun=True),
        lambda: client.get(Widget, KEY, dryrun=True),
    ):
        with pytest.raises(TypeError, match="'dryrun'"):
            call()
    assert transport.requests == []


def test_options_of_the_client_are_checked_as_well() -> None:
    wrong: Any = "strict"
    with pytest.raises(ValueError, match="field_validation is one of"):
        Client(RestClient(ScriptedTransport()), field_validation=wrong)


@pytest.mark.asyncio
async def test_a_misspelt_dry_run_stores_nothing(setting: Setting) -> None:
    wrong: Any = {"dryrun": True}
    with pytest.raises(TypeError):
        await setting.client.create(setting.widget(), **wrong)
    with pytest.raises(NotFoundError):
        await setting.client.get(Widget, setting.key())


def test_a_write_without_options_asks_for_nothing() -> None:
    transport = ScriptedTransport([answer(200, WIRE)])
    run_virtual(Client(RestClient(transport)).update(_widget()))
    assert transport.requests[0].query == ()


@pytest.mark.parametrize("write", WRITES)
def test_a_dry_run_leaves_no_link_and_its_record_has_no_versions(write: Write) -> None:
    ledger, journal, seen = OwnWrites(), Journal(), list[Record]()
    journal.subscribe(seen.append)
    client = Client(RestClient(ScriptedTransport([answer(200, WIRE)])), ledger=ledger, journal=journal, field_owner="m")

    async def main() -> None:
        current_cause.set(Cause(7, "widget", "key"))
        await write(client, dry_run=True)

    run_virtual(main())
    assert len(ledger) == 0
    (record,) = seen
    assert isinstance(record, Wrote)
    assert record.verb.startswith("dry-run ")
    assert (record.old_version, record.new_version, record.code) == ("", "", 200)


def test_a_deletion_carries_what_it_was_asked_for_and_nothing_else() -> None:
    transport = ScriptedTransport([answer(200, {"kind": "Status"})] * 3)
    client = Client(RestClient(transport))
    run_virtual(client.delete(Widget, KEY, uid="u", propagation="Foreground", grace_period_seconds=0, dry_run=True))
    assert json.loads(transport.requests[0].body or b"") == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "u"},
        "propagationPolicy": "Foreground",
        "gracePeriodSeconds": 0,
        "dryRun": ["All"],
    }
    run_virtual(client.delete(Widget, KEY, grace_period_seconds=5))
    assert json.loads(transport.requests[1].body or b"") == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 5,
    }
    run_virtual(client.delete_collection(Widget, namespace="default", label_selector="a=b", propagation="Orphan"))
    assert (transport.requests[2].method, dict(transport.requests[2].query)) == ("DELETE", {"labelSelector": "a=b"})
    assert json.loads(transport.requests[2].body or b"")["propagationPolicy"] == "Orphan"


def test_deleting_a_collection_needs_one_namespace() -> None:
    with pytest.raises(ValueError, match="live in namespaces, and none is given"):
        run_virtual(Client(RestClient(ScriptedTransport())).delete_collection(Widget))


# --- on servers -------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_dry_run_answers_as_if_and_stores_nothing(setting: Setting) -> None:
    client = setting.client
    dry = await client.create(setting.widget(), dry_run=True)
    assert (dry.spec.size, dry.spec.color) == (1, "red")
    with pytest.raises(NotFoundError):
        await client.get(Widget, setting.key())
    created = await client.create(setting.widget())
    created.spec.size = 2
    assert (await client.update(created, dry_run=True)).spec.size == 2
    assert (await client.patch(Widget, setting.key(), {"spec": {"size": 3}}, dry_run=True)).spec.size == 3
    await client.delete(Widget, setting.key(), dry_run=True)
    await client.delete_collection(Widget, namespace=setting.namespace, dry_run=True)
    assert (await client.get(Widget, setting.key())).spec.size == 1
    assert len(setting.ledger) == 0
    assert [record.verb for record in setting.wrote if record.new_version] == ["create"]


@pytest.mark.asyncio
async def test_a_field_owner_is_who_manages_the_fields(setting: Setting, server: RealServer | None) -> None:
    created = await setting.client.create(setting.widget(), field_owner="me")
    stored = await setting.client.get(Widget.resource, setting.key())
    managers = [held["manager"] for held in stored["metadata"].get("managedFields", [])]
    # The embedded server keeps no managed fields, and takes the name all the same.
    assert managers == ([] if server is None else ["me"])
    assert created.spec.size == 1


@pytest.mark.asyncio
async def test_strict_validation_refuses_an_unknown_field_before_it_is_lost(setting: Setting) -> None:
    body = {"metadata": {"name": "a", "namespace": setting.namespace}, "spec": {"size": 1, "shape": "round"}}
    with pytest.raises(BadRequestError, match=r'unknown field "spec\.shape"'):
        await setting.client.create(body, resource=Widget.resource, field_validation="Strict")
    with pytest.raises(NotFoundError):
        await setting.client.get(Widget, setting.key())
    await setting.client.create(setting.widget())
    with pytest.raises(ApiError, match=r'unknown field "spec\.shape"'):
        await setting.client.patch(Widget, setting.key(), {"spec": {"shape": "round"}}, field_validation="Strict")


@pytest.mark.asyncio
async def test_a_warning_of_the_server_is_logged_once_and_given_to_the_callback_each_time(
    server: RealServer | None, caplog: pytest.LogCaptureFixture
) -> None:
    warned: list[ServerWarning] = []
    transport, _ = await _transport(server)
    rest = RestClient(transport, on_warning=warned.append)
    client, key = Client(rest), ObjectKey("default", "warned")
    try:
        await _install(client)
        await client.create(
            Widget(metadata=ObjectMeta(name=key.name, namespace=key.namespace), spec=WidgetSpec(size=1))
        )
        warned.clear()
        with caplog.at_level(logging.WARNING, "reconciler.client"):
            for validation in (None, "Warn", "Ignore"):
                await client.patch(Widget, key, {"spec": {"shape": "round"}}, field_validation=validation)
        await client.delete(Widget, key)
    finally:
        await rest.aclose()
    doing = f"patch widgets.client.example.com {key}"
    assert warned == [ServerWarning('unknown field "spec.shape"', doing)] * 2
    said = [record.message for record in caplog.records if "the server warns" in record.message]
    assert said == [f'{doing}: the server warns: unknown field "spec.shape"']


@pytest.mark.asyncio
async def test_a_deletion_in_the_foreground_waits_for_what_the_object_owns(setting: Setting) -> None:
    client = setting.client
    await client.create(setting.widget())
    await client.delete(Widget, setting.key(), propagation="Foreground", grace_period_seconds=0)
    leaving = await client.get(Widget, setting.key())
    assert leaving.metadata.finalizers == ["foregroundDeletion"]
    await client.patch(Widget, setting.key(), {"metadata": {"finalizers": None}})


@pytest.mark.asyncio
async def test_a_collection_is_deleted_as_far_as_it_is_selected(setting: Setting) -> None:
    client = setting.client
    for name, color in (("a", "red"), ("b", "blue"), ("c", "blue")):
        widget = setting.widget(name)
        widget.metadata.labels = {"color": color}
        await client.create(widget)
    await client.delete_collection(Widget, namespace=setting.namespace, label_selector="color=blue")
    assert [found.metadata.name for found in await client.list(Widget, namespace=setting.namespace)] == ["a"]
    await client.delete_collection(Widget.resource, namespace=setting.namespace)
    assert len(await client.list(Widget, namespace=setting.namespace)) == 0
    record = setting.wrote[-1]
    assert (record.verb, record.target) == ("deletecollection", f"widgets {setting.namespace}/*")
    assert (record.new_version, record.code) == ("", 200)
    with pytest.raises(MethodNotAllowedError):
        await client.delete_collection(NAMESPACES)


@pytest.mark.asyncio
async def test_a_subresource_is_read_and_written_by_its_name(setting: Setting) -> None:
    created = await setting.client.create(setting.widget())
    status = setting.client.subresource("status")
    patched = await status.patch(Widget, setting.key(), {"status": {"ready": 1}})
    assert patched["status"] == {"ready": 1}
    assert (await status.get(Widget, setting.key()))["status"] == {"ready": 1}
    patched["status"] = {"ready": 2}
    assert (await status.update(Widget.resource, setting.key(), patched))["status"] == {"ready": 2}
    stale = {**patched, "metadata": {**patched["metadata"], "resourceVersion": created.metadata.resource_version}}
    with pytest.raises(ConflictError):
        await status.update(Widget, setting.key(), stale)
    with pytest.raises(NotFoundError):
        await setting.client.subresource("nothing").get(Widget, setting.key())


@pytest.mark.asyncio
@pytest.mark.real_server
@pytest.mark.parametrize("server", ["real"], indirect=True)
async def test_a_token_is_created_by_a_subresource_of_its_service_account(setting: Setting) -> None:
    accounts = ResourceType("", "v1", "ServiceAccount", "serviceaccounts")
    await setting.client.create({"metadata": {"name": "a", "namespace": setting.namespace}}, resource=accounts)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    answered = await setting.client.subresource("token").create(accounts, setting.key(), request)
    assert (answered["kind"], answered["spec"]["expirationSeconds"]) == ("TokenRequest", 600)
    assert answered["status"]["token"]
    record = setting.wrote[-1]
    assert (record.verb, record.target, record.code) == ("create", f"serviceaccounts/token {setting.key()}", 201)
    assert answered["status"]["token"] not in repr(setting.records)


def test_a_subresource_whose_answer_is_no_object_is_refused_by_name() -> None:
    client = Client(RestClient(ScriptedTransport([answer(200, b"2026 log line")])))
    with pytest.raises(
        MalformedObjectError, match=r"^get log of widgets\.client\.example\.com [\w/]+: the answer is not JSON"
    ):
        run_virtual(client.subresource("log").get(Widget, KEY))


# --- the header -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "texts"),
    [
        pytest.param('299 - "one"', ("one",), id="one"),
        pytest.param('299 - "one", 299 - "two, three"', ("one", "two, three"), id="a comma inside a text"),
        pytest.param(r'299 - "unknown field \"spec.a\\b\""', ('unknown field "spec.a\\b"',), id="quotes inside"),
        pytest.param('299 - "one" "Tue, 01 Jan 2019 00:00:00 GMT",299 proxy "two"', ("one", "two"), id="a date"),
        pytest.param('110 - "stale", 299 - ""', (), id="other codes and empty texts"),
        pytest.param("nonsense", (), id="nonsense"),
        pytest.param('299 - "one", nonsense', ("one",), id="nonsense behind"),
        pytest.param('299 - "never ends', (), id="no end"),
    ],
)
def test_a_warning_header_is_read_as_go_reads_it(header: str, texts: tuple[str, ...]) -> None:
    assert parse_warnings(header) == texts


def test_warnings_of_reads_refusals_and_watches_are_heard_too() -> None:
    warned: list[str] = []
    header = {"warning": '299 - "old version"'}
    transport = ScriptedTransport(
        [
            answer(200, WIRE, **header),
            answer(403, refusal(403, "Forbidden"), **header),
            answer(200, b"", **header),
        ]
    )
    client = Client(RestClient(transport, on_warning=lambda found: warned.append(found.doing)))

    async def main() -> None:
        await client.get(Widget, KEY)
        with pytest.raises(ApiError):
            await client.delete(Widget, KEY)
        async with client.watch(Widget) as events:
            assert [event async for event in events] == []

    run_virtual(main())
    kind = "widgets.client.example.com"
    assert warned == [f"get {kind} default/a", f"delete {kind} default/a", f"watch {kind}"]


def test_a_server_that_never_warns_the_same_twice_fills_no_memory(caplog: pytest.LogCaptureFixture) -> None:
    numbers = [*range(1_001), 0]
    transport = ScriptedTransport([answer(200, WIRE, warning=f'299 - "text {number}"') for number in numbers])
    client = Client(RestClient(transport))

    async def main() -> None:
        for _ in numbers:
            await client.get(Widget, KEY)

    with caplog.at_level(logging.WARNING, "reconciler.client"):
        run_virtual(main())
    # The first text was forgotten when the 1001st came, so it is said again.
    assert len(caplog.records) == len(numbers)
