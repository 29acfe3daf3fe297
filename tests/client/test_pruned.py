"""Fields that a server answers 200 to and does not keep (nolar/kopf#574)."""

from __future__ import annotations

import json
import logging
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.api import ObjectKey, ResourceType
from reconciler.client import Client, JsonPatch, RestClient, StrategicMergePatch
from reconciler.client.pruned import Lost, lost_fields
from reconciler.journal import Journal, Origin, Record, Wrote
from reconciler.journal.form import decode_line
from reconciler.journal.sentence import in_words
from reconciler.testing import run_virtual

from .scripted import ScriptedTransport, answer
from .test_servers import NAMESPACES, Setting, Widget, WidgetStatus

KIND = ResourceType("example.com", "v1", "Widget", "widgets")
SECRET = ResourceType("", "v1", "Secret", "secrets")
META: dict[str, Any] = {"name": "a", "resourceVersion": "2"}


def _lost(sent: dict[str, Any], stored: dict[str, Any], *, kind: ResourceType = KIND, subresource: str = "") -> Lost:
    body = json.dumps({"metadata": META, **stored}).encode()
    return lost_fields(kind, json.dumps(sent).encode(), body, subresource=subresource)


@pytest.mark.parametrize(
    ("sent", "stored", "lost"),
    [
        pytest.param({"spec": {"a": 1, "b": 2}}, {"spec": {"a": 1}}, ("spec.b",), id="a field is gone"),
        pytest.param({"spec": {"a": {"b": {"c": 1}}}}, {"spec": {}}, ("spec.a",), id="the highest path that is gone"),
        pytest.param({"spec": {"l": ["x", "y"]}}, {"spec": {"l": ["x"]}}, ("spec.l",), id="an element is gone"),
        pytest.param(
            {"spec": {"l": [{"name": "x", "a": 1, "b": 1}, {"name": "y", "b": 1}]}},
            {"spec": {"l": [{"name": "y"}, {"name": "x", "a": 1}]}},
            ("spec.l[].b",),
            id="the same field of elements in another order, told once",
        ),
        pytest.param(
            {"spec": {"l": [{"a": 1}, {"a": 2}]}}, {"spec": {"l": [{"a": 1}]}}, ("spec.l",), id="a nameless element"
        ),
        pytest.param(
            {"metadata": {"labels": {"example.com/x": "1"}}}, {}, ("metadata.labels",), id="the labels are gone"
        ),
        pytest.param(
            {"metadata": {"labels": {"example.com/x": "1"}}},
            {"metadata": {**META, "labels": {"a": "b"}}},
            ("metadata.labels[example.com/x]",),
            id="a key that is no plain word",
        ),
        pytest.param({"status": {"ready": 1}}, {}, ("status",), id="status, which the object's own path ignores"),
    ],
)
def test_a_field_that_was_not_kept_is_named(
    sent: dict[str, Any], stored: dict[str, Any], lost: tuple[str, ...]
) -> None:
    assert _lost(sent, stored) == Lost(pruned=lost)


@pytest.mark.parametrize(
    ("sent", "stored", "changed"),
    [
        pytest.param({"spec": {"a": 1}}, {"spec": {"a": 2}}, ("spec.a",), id="another value"),
        pytest.param({"spec": {"a": 0}}, {"spec": {"a": 1}}, ("spec.a",), id="nothing became a default"),
        pytest.param({"spec": {"cpu": "100m"}}, {"spec": {"cpu": "1"}}, ("spec.cpu",), id="another quantity"),
        pytest.param({"spec": {"a": True}}, {"spec": {"a": False}}, ("spec.a",), id="true became false"),
        pytest.param({"spec": {"a": {"b": 1}}}, {"spec": {"a": 3}}, ("spec.a",), id="an object became a number"),
        pytest.param({"spec": {"a": [1]}}, {"spec": {"a": {}}}, ("spec.a",), id="a list became an object"),
        pytest.param({"spec": {"l": ["x"]}}, {"spec": {"l": ["y"]}}, ("spec.l",), id="another element"),
        pytest.param(
            {"spec": {"l": [{"name": "x", "a": 1}]}}, {"spec": {"l": [{"name": "x", "a": 2}]}}, ("spec.l[].a",),
            id="another value in an element",
        ),
    ],
)  # fmt: skip
def test_a_field_that_was_changed_is_named_apart(
    sent: dict[str, Any], stored: dict[str, Any], changed: tuple[str, ...]
) -> None:
    assert _lost(sent, stored) == Lost(changed=changed)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        pytest.param({"spec": {"a": 1}}, {"spec": {"a": 1, "b": 2}}, id="a default was added"),
        pytest.param({"spec": {"a": None}}, {"spec": {"a": "default"}}, id="a removed field is a default again"),
        pytest.param({"spec": {"a": "", "b": [], "c": {}, "d": 0, "e": False}}, {}, id="empty values are left out"),
        pytest.param({"spec": {"a": {"b": {"c": None}}}}, {}, id="nothing but nothing"),
        pytest.param({"spec": {"a": 1}}, {"spec": {"a": 1.0}}, id="one number in two forms"),
        pytest.param({"spec": {"cpu": "1000m", "m": "1Gi"}}, {"spec": {"cpu": "1", "m": "1024Mi"}}, id="quantities"),
        pytest.param({"spec": {"cpu": 1, "x": "1e3"}}, {"spec": {"cpu": "1", "x": "1k"}}, id="more quantities"),
        pytest.param(
            {"spec": {"at": "2026-01-01T01:00:00.123+01:00"}},
            {"spec": {"at": "2026-01-01T00:00:00Z"}},
            id="a time, in whole seconds and another zone",
        ),
        pytest.param({"spec": {"l": ["b", "a"]}}, {"spec": {"l": ["a", "b", "c"]}}, id="a list that grew"),
        pytest.param(
            {"spec": {"l": [{"name": "x"}]}}, {"spec": {"l": [{"name": "y"}, {"name": "x"}]}}, id="a side car"
        ),
        pytest.param(
            {"apiVersion": "v1", "kind": "X", "metadata": {"uid": "u", "resourceVersion": "1", "generation": 4}},
            {},
            id="what the server alone manages",
        ),
        pytest.param({"spec": {"l": [{"$patch": "delete", "name": "x"}]}}, {"spec": {"l": []}}, id="a directive"),
        pytest.param(
            {"spec": {"l": [{"$patch": "replace"}, {"name": "x"}]}},
            {"spec": {"l": [{"name": "x", "default": 1}]}},
            id="a directive beside the elements",
        ),
    ],
)
def test_what_the_server_may_do_is_no_loss(sent: dict[str, Any], stored: dict[str, Any]) -> None:
    assert _lost(sent, stored) == Lost()


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        pytest.param([{"containerPort": 81, "name": "m"}], [{"containerPort": 80}, {"containerPort": 81, "name": "m"}],
                     id="a port that a patch names"),
        pytest.param([{"containerPort": 81}], [{"containerPort": 80, "protocol": "TCP"},
                     {"containerPort": 81, "protocol": "TCP"}], id="a second owner's port"),
        pytest.param([{"port": 53, "protocol": "UDP", "a": 1}], [{"port": 53}, {"port": 53, "protocol": "UDP", "a": 1}],
                     id="one number under two protocols"),
        pytest.param([{"name": "v", "mountPath": "/b"}], [{"name": "v", "mountPath": "/a"},
                     {"name": "v", "mountPath": "/b"}], id="one volume in two places"),
        pytest.param([{"devicePath": "/b"}], [{"devicePath": "/a"}, {"devicePath": "/b"}], id="devices"),
        pytest.param([{"ip": "10.0.0.2", "hostnames": ["b"]}], [{"ip": "10.0.0.1", "hostnames": ["a"]},
                     {"ip": "10.0.0.2", "hostnames": ["b", "c"]}], id="host aliases"),
        pytest.param([{"topologyKey": "b", "maxSkew": 1}], [{"topologyKey": "a", "whenUnsatisfiable": "x"},
                     {"topologyKey": "b", "maxSkew": 1, "whenUnsatisfiable": "x"}], id="a key that was sent in part"),
        pytest.param([{"a": {"b": 2}}], [{"a": {"b": 1}}, {"a": {"b": 2}, "c": 1}], id="no key, at another place"),
        pytest.param([{"a": 1}, {"a": 2}], [{"a": 2, "b": 1}, {"a": 1}], id="no key, in another order"),
        pytest.param([[1], [2]], [[2], [1]], id="lists"),
        pytest.param([{"name": "x", "l": [{"a": 1}]}], [{"name": "x", "l": [{"a": 2}, {"a": 1}]}], id="nested"),
    ],
)  # fmt: skip
def test_an_element_is_found_where_the_server_put_it(sent: list[Any], stored: list[Any]) -> None:
    assert _lost({"spec": {"l": sent}}, {"spec": {"l": stored}}) == Lost()


@pytest.mark.parametrize(
    ("sent", "stored", "lost"),
    [
        pytest.param([{"containerPort": 81, "a": 1}], [{"containerPort": 80, "a": 1}, {"containerPort": 81}],
                     Lost(pruned=("spec.l[].a",)), id="a field of a port"),
        pytest.param([{"containerPort": 82}], [{"containerPort": 80}, {"containerPort": 81}],
                     Lost(pruned=("spec.l",)), id="a port"),
        pytest.param([{"port": 53, "protocol": "UDP"}], [{"port": 53}], Lost(pruned=("spec.l",)), id="a protocol"),
        pytest.param([{"a": 1}, {"a": 1}], [{"a": 1}], Lost(pruned=("spec.l",)), id="one of two that are the same"),
        pytest.param([{"b": 1}, {"b": 1}, {"x": 1}], [{"x": 1}, {"c": 1}, {"b": 1}],
                     Lost(pruned=("spec.l[].b",)), id="one of two that are the same, in another order"),
        pytest.param([*({"name": str(n), "b": 1} for n in range(1_000)), {"name": "z", "c": 1}],
                     [*({"name": str(n)} for n in range(1_000)), {"name": "z"}],
                     Lost(pruned=("spec.l[].b", "spec.l[].c")), id="fields of very many elements that have names"),
        pytest.param([{"a": 1, "b": 1}, {"a": 2, "b": 2}], [{"a": 2, "b": 2}, {"a": 1}],
                     Lost(changed=("spec.l[].a", "spec.l[].b")), id="a field where nothing says which element"),
        pytest.param([{"a": 1, "b": 1}], [{"a": 1}, {"a": 3}], Lost(pruned=("spec.l[].b",)), id="a field, no key"),
    ],
)  # fmt: skip
def test_an_element_that_is_nowhere_is_a_loss(sent: list[Any], stored: list[Any], lost: Lost) -> None:
    assert _lost({"spec": {"l": sent}}, {"spec": {"l": stored}}) == lost


def test_a_list_of_very_many_elements_is_searched_as_long_as_is_bearable_and_then_believed() -> None:
    # Each against each other would be 400,000,000 comparisons.
    for first, second in (({"a": 1}, {"a": 2}), ("1Gi", "2Gi"), ([1], [2])):
        sent = [first, *({"b": number} for number in range(20_000)), "x", *[first] * 20_000]
        assert _lost({"spec": {"l": sent}}, {"spec": {"l": [second] * 40_000}}) == Lost()
    sent = [{"a": 1, "b": number} for number in range(20_000)]
    assert _lost({"spec": {"l": sent}}, {"spec": {"l": [{"a": 2}] * 20_000}}) == Lost()


def _nested(levels: int, value: str) -> str:
    return '{"a":' * levels + value + "}" * levels


@pytest.mark.parametrize("levels", [200, 500, 900, 5_000, 100_000])
@pytest.mark.parametrize("wrap", ['{"spec":%s}', '{"spec":{"l":[%s]}}', '{"metadata":{"annotations":%s}}'])
def test_a_change_deep_inside_is_not_told_and_never_fails_a_write(levels: int, wrap: str) -> None:
    sent, stored = (wrap % _nested(levels, value) for value in ("1", "2"))
    body = '{"metadata":{"name":"a"},' + stored[1:]
    assert lost_fields(KIND, sent.encode(), body.encode()).changed == ()
    shallow = f'{{"spec":{_nested(90, "1")}}}', f'{{"metadata":{{"name":"a"}},"spec":{_nested(90, "2")}}}'
    assert lost_fields(KIND, *(text.encode() for text in shallow)).changed == ("spec" + ".a" * 90,)


def test_a_patch_of_status_is_measured_by_all_that_it_asks_for() -> None:
    sent = {"metadata": {"labels": {"a": "b"}}, "spec": {"a": 1, "b": 1}, "status": {"ready": 1, "gone": 1}}
    stored = {"spec": {"a": 2}, "status": {"ready": 1}}
    assert _lost(sent, stored, subresource="status") == Lost(
        pruned=("metadata.labels", "spec.b", "status.gone"), changed=("spec.a",)
    )


def test_a_whole_object_sent_for_its_status_is_measured_by_that_and_by_what_was_changed_beside_it() -> None:
    # What the model adds to what was read (spec.b) is no change of the caller's.
    status = {"ready": 1, "gone": 1, "a.b": 1}
    sent = {"kind": "Widget", "metadata": META, "spec": {"a": 1, "b": 1}, "statusWord": "x", "status": status}
    stored = {"spec": {"a": 2}, "statusWord": "y", "status": {"ready": 1}}
    assert _lost(sent, stored, subresource="status") == Lost(
        pruned=("status.gone", "status[a.b]"), changed=("spec.a", "statusWord")
    )
    # Without a version the object may be an old one, whose other fields were changed by others.
    sent["metadata"] = {"name": "a"}
    assert _lost(sent, stored, subresource="status") == Lost(pruned=("status.gone", "status[a.b]"))


def test_a_secrets_string_data_goes_into_data_and_is_not_lost() -> None:
    sent = {"stringData": {"a": "b"}}
    assert _lost(sent, {"data": {"a": "Yg=="}}, kind=SECRET) == Lost()
    assert _lost(sent, {"data": {"a": "Yg=="}}).pruned == ("stringData",)


def test_many_paths_are_cut_short_and_counted() -> None:
    lost = _lost({"spec": {f"f{number:02}": 1 for number in range(25)}}, {"spec": {}}).pruned
    assert lost == (*(f"spec.f{number:02}" for number in range(10)), "15 more")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"kind": "Status"}', b'{"kind": "Status", "metadata": {"a": 1}}'])
def test_an_answer_that_is_no_object_says_nothing_about_fields(body: bytes) -> None:
    assert lost_fields(KIND, b'{"spec": {"a": 1}}', body) == Lost()


def test_a_loss_is_logged_once_for_each_kind_and_field_and_recorded_each_time_without_values(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wire = {"metadata": {"name": "a", "namespace": "default", "resourceVersion": "2"}, "spec": {}}
    journal, seen = Journal(), list[Record]()
    journal.subscribe(seen.append)
    client = Client(RestClient(ScriptedTransport([answer(200, wire)] * 4)), journal=journal)
    other = ResourceType("example.com", "v1", "Gadget", "gadgets")
    key = ObjectKey("default", "a")

    async def main() -> None:
        await client.patch(KIND, key, {"spec": {"token": "hunter2"}})
        await client.patch(KIND, key, {"spec": {"token": "hunter2", "more": 1}})
        await client.patch(KIND, key, JsonPatch().add("/spec/token", "hunter2"))
        await client.patch(other, key, {"spec": {"token": "hunter2"}})

    with caplog.at_level(logging.WARNING, "reconciler.client"):
        run_virtual(main())
    start = "the server did not keep what was sent in"
    assert [record.message.partition(" (")[0] for record in caplog.records] == [
        f"patch widgets default/a: {start} spec.token",
        f"patch widgets default/a: {start} spec.more",
        f"patch gadgets default/a: {start} spec.token",
    ]
    pruned = [record.pruned for record in seen if isinstance(record, Wrote)]
    assert pruned == [("spec.token",), ("spec.token", "spec.more"), ("spec.token",), ("spec.token",)]
    assert "hunter2" not in caplog.text + repr(seen)


def test_the_journal_tells_what_was_lost_and_keeps_it_in_its_file() -> None:
    record = Wrote(
        id=1, causes=(), at=0, scope="w", key="k", verb="patch", target="widgets default/a", old_version="",
        new_version="2", code=200, pruned=("spec.shape", "spec.size"), changed=("spec.color",), group="example.com",
    )  # fmt: skip
    said = (
        "patch widgets default/a: 200, version - -> 2; dropped by the server: spec.shape, spec.size; "
        "changed by the server: spec.color"
    )
    assert in_words(record, str) == said
    assert decode_line(msgspec.json.encode(record)) == record


@pytest.mark.asyncio
async def test_a_patch_that_is_answered_200_while_its_field_was_pruned_is_reported(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    client = setting.client
    widget = setting.widget()
    widget.status = WidgetStatus(ready=1)
    with caplog.at_level(logging.WARNING, "reconciler.client"):
        await client.create(widget)
        await client.patch(Widget, setting.key(), {"spec": {"shape": "round", "size": 2}})
        await client.status.patch(Widget, setting.key(), {"spec": {"size": 9}, "status": {"ready": 1, "gone": "x"}})
        await client.patch(Widget, setting.key(), JsonPatch().add("/spec/shape", "round"))
        changed = await client.get(Widget, setting.key())
        changed.spec.size = 7
        await client.status.update(changed)
    assert [(record.code, record.pruned, record.changed) for record in setting.wrote] == [
        (201, ("status",), ()),
        (200, ("spec.shape",), ()),
        (200, ("status.gone",), ("spec.size",)),
        (200, ("spec.shape",), ()),
        (200, (), ("spec.size",)),
    ]
    said = [record.message for record in caplog.records if "did not keep" in record.message]
    assert [text.partition("sent in ")[2].partition(" (")[0] for text in said] == [
        "status",
        "spec.shape",
        "status.gone",
    ]


@pytest.mark.asyncio
async def test_a_value_that_the_server_changes_is_reported_without_the_values(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    client, name = setting.client, f"{setting.namespace}-x"
    label = "kubernetes.io/metadata.name"
    with caplog.at_level(logging.WARNING, "reconciler.client"):
        # The server keeps this label at the namespace's own name, whatever a write says.
        made = await client.create({"metadata": {"name": name, "labels": {label: "hunter2"}}}, resource=NAMESPACES)
        await client.update(
            {**made, "metadata": {**made["metadata"], "labels": {label: "hunter2"}}}, resource=NAMESPACES
        )
        await client.patch(NAMESPACES, ObjectKey("", name), {"metadata": {"labels": {label: "hunter2"}}})
    assert made["metadata"]["labels"][label] == name
    assert [(record.pruned, record.changed) for record in setting.wrote] == [((), (f"metadata.labels[{label}]",))] * 3
    said = [record.message for record in caplog.records if "the server changed what was sent in" in record.message]
    assert [text.partition(" (")[0] for text in said] == [
        f"create namespaces {name}: the server changed what was sent in metadata.labels[{label}]"
    ]
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("digits", ["9" * 100_000, "2026-01-01T" + "0" * 100_000, "." * 100_000])
def test_long_values_and_names_are_compared_as_texts(digits: str) -> None:
    # A pattern that looks at them twice over would take minutes.
    sent = {"spec": {"a": digits, "-" * 100_000: 1, "l": [digits]}}
    stored = {"spec": {"a": digits + "x", "-" * 100_000: 1, "l": [digits + "x"]}}
    assert _lost(sent, stored) == Lost(changed=("spec.a", "spec.l"))
    assert _lost({"a" + "-" * 100_000: 1}, {}) == Lost(pruned=("a" + "-" * 100_000,))


@pytest.mark.asyncio
async def test_an_object_that_is_kept_as_sent_is_not_reported(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    client = setting.client
    widget = setting.widget()
    widget.metadata.labels = {"example.com/a": "b"}
    widget.metadata.finalizers = ["example.com/hold"]
    created = await client.create(widget)
    created.spec.size = 2
    updated = await client.update(created)
    updated.status = WidgetStatus(ready=0, phase="Up")
    await client.status.update(updated)
    await client.delete(Widget, setting.key())
    await client.patch(Widget, setting.key(), {"metadata": {"finalizers": None}})
    assert [record.pruned for record in setting.wrote] == [()] * 5
    assert caplog.records == []


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6) | st.sampled_from(["1e999", "1Gi", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["name", "type", "$patch", "a", "b.c"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON_VALUES, JSON_VALUES)
def test_an_object_that_comes_back_as_it_was_sent_loses_nothing_and_any_other_is_no_crash(
    sent: Any, other: Any
) -> None:
    assert _lost({"spec": sent}, {"spec": sent}) == Lost()
    lost = _lost({"spec": sent}, {"spec": other})
    paths = (*lost.pruned, *lost.changed)
    assert all(path.startswith("spec") or path.endswith(" more") for path in paths)


@pytest.mark.asyncio
@pytest.mark.real_server
@pytest.mark.parametrize("server", ["real"], indirect=True)
async def test_a_built_in_kind_whose_values_are_brought_into_form_is_not_reported(setting: Setting) -> None:
    client = setting.client
    container = {
        "name": "web",
        "image": "web:1",
        "env": [{"name": "EMPTY", "value": ""}, {"name": "A", "value": "b"}],
        "ports": [{"containerPort": 80}],
        "resources": {"requests": {"cpu": "1000m", "memory": "1073741824"}, "limits": {"cpu": 1.5}},
        "readinessProbe": {"httpGet": {"path": "/", "port": 80}, "initialDelaySeconds": 0},
    }
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container], "nodeSelector": {}}}
    deployment = {
        "metadata": {"name": "a", "namespace": setting.namespace, "annotations": {}},
        "spec": {"replicas": 0, "paused": False, "selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    kind = ResourceType("apps", "v1", "Deployment", "deployments")
    created = await client.create(deployment, resource=kind)
    await client.update(created, resource=kind)
    await client.patch(kind, setting.key(), {"spec": {"template": {"spec": {"containers": [container]}}}})
    strategic = StrategicMergePatch({"spec": {"template": {"spec": {"containers": [{"name": "web", "tty": True}]}}}})
    await client.patch(kind, setting.key(), strategic)
    scale = client.subresource("scale")
    held = await scale.get(kind, setting.key())
    assert (held["kind"], held["spec"]) == ("Scale", {})
    assert (await scale.update(kind, setting.key(), {**held, "spec": {"replicas": 2}}))["spec"] == {"replicas": 2}
    assert (await scale.patch(kind, setting.key(), {"spec": {"replicas": 3}}))["spec"] == {"replicas": 3}
    secret = {"metadata": {"name": "a", "namespace": setting.namespace}, "stringData": {"a": "b"}}
    await client.create(secret, resource=SECRET)
    assert [record.pruned for record in setting.wrote] == [()] * 7
    uid, versions = held["metadata"]["uid"], [held["metadata"]["resourceVersion"], setting.wrote[4].new_version]
    assert setting.ledger.origin("widget", uid, versions[0], versions[1]) is Origin.OWN


@pytest.mark.asyncio
@pytest.mark.real_server
@pytest.mark.parametrize("server", ["real"], indirect=True)
async def test_what_is_merged_into_a_list_by_its_keys_is_not_reported(setting: Setting) -> None:
    client, kind = setting.client, ResourceType("apps", "v1", "Deployment", "deployments")
    metadata = {"name": "a", "namespace": setting.namespace}

    def of(**container: Any) -> dict[str, Any]:
        return {"spec": {"template": {"spec": {"containers": [{"name": "web", **container}]}}}}

    template = {"metadata": {"labels": {"a": "b"}}, "spec": of(image="web:1", ports=[{"containerPort": 80}])}
    template["spec"] = template["spec"]["spec"]["template"]["spec"]
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    await client.apply({"metadata": metadata, "spec": spec}, resource=kind, field_owner="one")
    second = {"metadata": metadata, **of(ports=[{"containerPort": 81}])}
    await client.apply(second, resource=kind, field_owner="two")
    named = StrategicMergePatch(of(ports=[{"containerPort": 81, "name": "m"}]))
    stored = await client.patch(kind, setting.key(), named)
    ports = stored["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert {port["containerPort"]: port.get("name") for port in ports} == {80: None, 81: "m"}
    assert [(record.pruned, record.changed) for record in setting.wrote] == [((), ())] * 3
