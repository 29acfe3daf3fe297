from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.api import ObjectKey
from reconciler.client import JsonPatch, StrategicMergePatch
from reconciler.client.patches import form_of
from reconciler.errors import ApiError, BadRequestError, InvalidError
from reconciler.journal import Origin

from .test_docs import _code
from .test_servers import NAMESPACES, Setting, Widget


def _operations(patch: JsonPatch) -> list[dict[str, Any]]:
    return [dict(operation) for operation in patch.operations]


def test_a_json_patch_is_built_step_by_step_and_each_step_is_a_new_patch() -> None:
    first = JsonPatch().test("/spec/size", 1)
    whole = first.add("/a", 1).replace("/b", 2).remove("/c").move("/d", "/e").copy("/f", ("g", 0))
    assert _operations(first) == [{"op": "test", "path": "/spec/size", "value": 1}]
    assert _operations(whole)[1:] == [
        {"op": "add", "path": "/a", "value": 1},
        {"op": "replace", "path": "/b", "value": 2},
        {"op": "remove", "path": "/c"},
        {"op": "move", "path": "/e", "from": "/d"},
        {"op": "copy", "path": "/g/0", "from": "/f"},
    ]


def test_parts_of_a_path_are_escaped_and_text_is_a_pointer_already() -> None:
    patch = JsonPatch().remove(("metadata", "labels", "example.com/a~b"))
    assert _operations(patch)[0]["path"] == "/metadata/labels/example.com~1a~0b"
    assert _operations(JsonPatch().remove("/a~1b"))[0]["path"] == "/a~1b"
    with pytest.raises(ValueError, match=r"starts with /, this one is 'spec\.size'"):
        JsonPatch().remove("spec.size")


@pytest.mark.parametrize(
    ("patch", "merged"),
    [
        pytest.param(JsonPatch().add("/a/b", 1).replace("/a/c", 2), {"a": {"b": 1, "c": 2}}, id="fields"),
        pytest.param(JsonPatch().add("/a/0/b", 1).add("/c/-", 1), {}, id="not what stands in lists"),
        pytest.param(JsonPatch().add("/a/b", 1).remove("/a/b"), {}, id="not what is gone again"),
        pytest.param(JsonPatch().add("/a", 1).add("/b", 2).move("/a", "/c"), {"b": 2}, id="not what was moved"),
        pytest.param(JsonPatch().test("/a", 1), {}, id="not what is tested"),
        pytest.param(JsonPatch().replace("", {"a": 1}), {}, id="not a whole object"),
    ],
)
def test_what_a_json_patch_wants_to_be_there_is_told_where_the_patch_alone_says_it(
    patch: JsonPatch, merged: dict[str, Any]
) -> None:
    assert form_of(patch).merged == merged


def test_a_value_that_a_json_patch_sets_is_not_changed_by_a_later_step() -> None:
    value = {"b": 1}
    assert form_of(JsonPatch().add("/a", value).add("/a/c", 2)).merged == {"a": {"b": 1, "c": 2}}
    assert value == {"b": 1}


@pytest.mark.asyncio
async def test_a_json_patch_happens_whole_or_not_at_all(setting: Setting) -> None:
    client = setting.client
    await client.create(setting.widget())
    labels = ("metadata", "labels")
    patched = await client.patch(
        Widget,
        setting.key(),
        JsonPatch().test("/spec/size", 1).replace("/spec/size", 2).add(labels, {}).add((*labels, "example.com/a"), "b"),
    )
    assert (patched.spec.size, patched.metadata.labels) == (2, {"example.com/a": "b"})
    with pytest.raises(InvalidError):
        await client.patch(Widget, setting.key(), JsonPatch().replace("/spec/size", 3).test("/spec/size", 99))
    assert await client.get(Widget, setting.key()) == patched
    untyped = await client.patch(Widget.resource, setting.key(), JsonPatch().remove((*labels, "example.com/a")))
    assert not untyped["metadata"].get("labels")


@pytest.mark.asyncio
async def test_a_field_that_is_not_there_is_replaced_and_reads_as_null_but_nothing_in_it_does(setting: Setting) -> None:
    client, key = setting.client, setting.key()
    await client.create(setting.widget())
    labels = ("metadata", "labels")
    patched = await client.patch(Widget, key, JsonPatch().test(labels, None).replace(labels, {"a": "b"}))
    assert patched.metadata.labels == {"a": "b"}
    patched = await client.patch(Widget, key, JsonPatch().replace((*labels, "c"), "d"))
    assert patched.metadata.labels == {"a": "b", "c": "d"}
    for refused in (
        JsonPatch().replace(("metadata", "annotations", "a"), "b"),
        JsonPatch().test(("metadata", "annotations", "a"), None),
        JsonPatch().remove((*labels, "e")),
        JsonPatch().move((*labels, "e"), (*labels, "f")),
    ):
        with pytest.raises(InvalidError):
            await client.patch(Widget, key, refused)


@pytest.mark.asyncio
async def test_an_operation_that_lacks_something_is_the_servers_to_refuse(setting: Setting) -> None:
    await setting.client.create(setting.widget())
    for operation in ({"op": "frob", "path": "/spec/size"}, {"op": "add", "path": "/nothing/there"}, {"op": "remove"}):
        with pytest.raises((InvalidError, BadRequestError)):
            await setting.client.patch(Widget, setting.key(), JsonPatch((operation,)))


@pytest.mark.asyncio
async def test_a_json_patch_of_status_writes_status(setting: Setting) -> None:
    await setting.client.create(setting.widget())
    patch = JsonPatch().add("/status", {"ready": 1})
    stored = await setting.client.status.patch(Widget.resource, setting.key(), patch)
    assert stored["status"] == {"ready": 1}


@pytest.mark.asyncio
async def test_a_json_patch_that_tests_the_version_is_refused_where_somebody_wrote_and_else_makes_its_event_own(
    setting: Setting,
) -> None:
    client = setting.client
    created = await client.create(setting.widget())
    version = created.metadata.resource_version
    patch = JsonPatch().test("/metadata/resourceVersion", version).replace("/spec/size", 2)
    patched = await client.patch(Widget, setting.key(), patch)
    new_version = patched.metadata.resource_version
    assert setting.ledger.origin("widget", created.metadata.uid, version, new_version) is Origin.OWN
    with pytest.raises(InvalidError):
        await client.patch(Widget, setting.key(), patch)
    assert [(record.old_version, record.new_version) for record in setting.wrote[1:]] == [
        (version, new_version),
        (version, ""),
    ]


@pytest.mark.asyncio
async def test_a_strategic_merge_patch_merges_a_list_that_a_merge_patch_replaces(setting: Setting) -> None:
    client, key = setting.client, ObjectKey("", f"{setting.namespace}-strategic")
    body = {"metadata": {"name": key.name, "finalizers": ["example.com/a"]}}
    await client.create(body, resource=NAMESPACES)
    try:
        more = {"metadata": {"finalizers": ["example.com/b"]}}
        merged = await client.patch(NAMESPACES, key, StrategicMergePatch(more))
        assert sorted(merged["metadata"]["finalizers"]) == ["example.com/a", "example.com/b"]
        replaced = await client.patch(NAMESPACES, key, more)
        assert replaced["metadata"]["finalizers"] == ["example.com/b"]
    finally:
        await client.patch(NAMESPACES, key, {"metadata": {"finalizers": None}})
        await client.delete(NAMESPACES, key)


@pytest.mark.asyncio
async def test_a_custom_kind_takes_no_strategic_merge_patch(setting: Setting) -> None:
    await setting.client.create(setting.widget())
    with pytest.raises(ApiError) as caught:
        await setting.client.patch(Widget, setting.key(), StrategicMergePatch({"spec": {"size": 2}}))
    assert caught.value.status.code == 415


def test_a_strategic_merge_patch_is_sent_as_it_is_under_its_own_content_type() -> None:
    form = form_of(StrategicMergePatch({"spec": {"a": 1}}))
    assert (form.content_type, json.dumps(form.body)) == (
        "application/strategic-merge-patch+json",
        '{"spec": {"a": 1}}',
    )


@pytest.mark.asyncio
async def test_the_verbs_of_the_docs_page_do_what_the_page_says(
    setting: Setting, capsys: pytest.CaptureFixture[str]
) -> None:
    await _code()["verbs"](setting.client)
    assert capsys.readouterr().out == "red green\nverbs\n"
