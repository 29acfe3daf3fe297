"""Server-side apply; the embedded server has none, so what the server does is asked of the real one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.api import ObjectMeta, ResourceType
from reconciler.client import Client, OwnWrites, RestClient
from reconciler.errors import ApiError, ConflictError
from reconciler.journal import Cause, Origin, current_cause
from reconciler.testing import run_virtual

from .scripted import ScriptedTransport, answer
from .test_docs import _code
from .test_servers import Setting, Widget, WidgetSpec

WIRE: dict[str, Any] = {
    "metadata": {"name": "a", "namespace": "default", "uid": "u", "resourceVersion": "2"},
    "spec": {"size": 1},
}
WIDGET = Widget(metadata=ObjectMeta(name="a", namespace="default"), spec=WidgetSpec(size=1))

on_the_real_server = pytest.mark.parametrize("server", ["real"], indirect=True)


def test_apply_sends_the_object_with_its_owner_under_its_own_content_type() -> None:
    transport = ScriptedTransport([answer(200, WIRE)] * 3)
    client = Client(RestClient(transport), field_owner="me")
    run_virtual(client.apply(WIDGET, force=True))
    run_virtual(client.apply(WIRE, resource=Widget.resource, field_owner="you", dry_run=True))
    run_virtual(client.status.apply(WIDGET))
    first, second, third = transport.requests
    assert (first.method, first.path) == ("PATCH", "/apis/client.example.com/v1/namespaces/default/widgets/a")
    assert first.headers["Content-Type"] == "application/apply-patch+yaml"
    assert dict(first.query) == {"fieldManager": "me", "force": "true"}
    assert json.loads(first.body or b"")["spec"] == {"size": 1}
    assert dict(second.query) == {"fieldManager": "you", "dryRun": "All"}
    assert third.path.endswith("/widgets/a/status")


def test_apply_without_an_owner_is_refused_before_anything_is_sent() -> None:
    transport = ScriptedTransport()
    with pytest.raises(ValueError, match="needs field_owner="):
        run_virtual(Client(RestClient(transport)).apply(WIDGET))
    assert transport.requests == []


def test_an_apply_with_a_version_makes_its_event_own_and_one_without_does_not() -> None:
    ledger = OwnWrites()
    client = Client(RestClient(ScriptedTransport([answer(200, WIRE)] * 2)), ledger=ledger, field_owner="me")

    async def main() -> None:
        current_cause.set(Cause(7, "widget", "key"))
        await client.apply(WIDGET)
        assert len(ledger) == 0
        metadata = ObjectMeta(name="a", namespace="default", uid="u", resource_version="1")
        await client.apply(WIDGET.model_copy(update={"metadata": metadata}))

    run_virtual(main())
    assert ledger.origin("widget", "u", "1", "2") is Origin.OWN


@pytest.mark.asyncio
@pytest.mark.real_server
@on_the_real_server
async def test_apply_creates_the_object_and_then_owns_what_it_names(setting: Setting) -> None:
    client, kind = setting.client, Widget.resource
    metadata: dict[str, Any] = {"name": "a", "namespace": setting.namespace}
    wanted: dict[str, Any] = {"metadata": {**metadata, "labels": {"a": "1", "b": "2"}}, "spec": {"size": 1}}
    created = await client.apply(wanted, resource=kind, field_owner="one")
    assert created["metadata"]["labels"] == {"a": "1", "b": "2"}
    assert [held["manager"] for held in created["metadata"]["managedFields"]] == ["one"]
    del wanted["metadata"]["labels"]["b"]
    applied = await client.apply(wanted, resource=kind, field_owner="one")
    assert applied["metadata"]["labels"] == {"a": "1"}
    assert [(record.verb, record.code) for record in setting.wrote] == [("apply", 201), ("apply", 200)]


@pytest.mark.asyncio
@pytest.mark.real_server
@on_the_real_server
async def test_a_field_of_another_owner_is_a_conflict_that_force_ends(setting: Setting) -> None:
    client = setting.client
    widget = setting.widget(size=1)
    await client.apply(widget, field_owner="one")
    widget.spec.size = 2
    with pytest.raises(ConflictError) as caught:
        await client.apply(widget, field_owner="two")
    (cause,) = caught.value.status.causes
    assert (cause.field, cause.reason) == (".spec.size", "FieldManagerConflict")
    assert "one" in cause.message
    assert (await client.apply(widget, field_owner="two", force=True)).spec.size == 2


@pytest.mark.asyncio
@pytest.mark.real_server
@on_the_real_server
async def test_apply_of_status_writes_status_alone_and_a_stale_version_is_a_conflict(setting: Setting) -> None:
    client, kind = setting.client, Widget.resource
    created = await client.create(setting.widget())
    metadata: dict[str, Any] = {"name": "a", "namespace": setting.namespace}
    applied = await client.status.apply({"metadata": metadata, "status": {"ready": 1}}, resource=kind, field_owner="x")
    assert (applied["status"], applied["spec"]["size"]) == ({"ready": 1}, 1)
    stale = {**metadata, "resourceVersion": created.metadata.resource_version}
    with pytest.raises(ConflictError):
        await client.status.apply({"metadata": stale, "status": {"ready": 2}}, resource=kind, field_owner="x")


@pytest.mark.asyncio
async def test_a_server_without_server_side_apply_says_so_and_the_real_one_has_it(
    setting: Setting, server: object
) -> None:
    if server is not None:
        assert (await setting.client.apply(setting.widget(), field_owner="one")).spec.size == 1
        return
    with pytest.raises(ApiError) as caught:
        await setting.client.apply(setting.widget(), field_owner="one")
    assert caught.value.status.code == 415


@pytest.mark.asyncio
@pytest.mark.real_server
@on_the_real_server
async def test_the_apply_of_the_docs_page_gives_up_what_it_leaves_out(
    setting: Setting, capsys: pytest.CaptureFixture[str]
) -> None:
    await _code()["applied"](setting.client)
    assert capsys.readouterr().out == "False\n"


@on_the_real_server
@pytest.mark.asyncio
async def test_a_subresource_of_another_kind_can_be_applied(setting: Setting) -> None:
    deployments = ResourceType("apps", "v1", "Deployment", "deployments")
    labels = {"app": "web"}
    await setting.client.create(
        {
            "metadata": {"name": "web", "namespace": setting.namespace},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "web", "image": "web"}]},
                },
            },
        },
        resource=deployments,
    )
    wanted = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}, "spec": {"replicas": 3}}
    scale = setting.client.subresource("scale")
    with pytest.raises(ConflictError):
        await scale.apply(deployments, setting.key("web"), wanted, field_owner="scaler")
    applied = await scale.apply(deployments, setting.key("web"), wanted, field_owner="scaler", force=True)
    assert (applied["kind"], applied["spec"]["replicas"]) == ("Scale", 3)
    assert (setting.wrote[-1].verb, setting.wrote[-1].target) == ("apply", f"deployments/scale {setting.key('web')}")
