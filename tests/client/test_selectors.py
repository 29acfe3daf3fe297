from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.api import FieldSelector, LabelSelector, field_selector_text, label_selector_text, pinned_namespace
from reconciler.cache.selector import parse_label_selector

from .test_servers import Setting, Widget

FULL = (
    LabelSelector({"app": "web", "example.com/team": "blue"})
    .not_equal("tier", "db")
    .in_("zone", ["b", "a", "b"])
    .not_in("size", ["xl"])
    .exists("owner")
    .absent("canary")
)


def test_a_label_selector_is_text_that_the_api_server_takes() -> None:
    assert str(FULL) == "app=web,example.com/team=blue,tier!=db,zone in (a,b),size notin (xl),owner,!canary"
    assert str(LabelSelector()) == ""
    assert repr(LabelSelector({"a": "b"})) == "<LabelSelector a=b>"
    assert repr(FieldSelector()) == "<FieldSelector everything>"


def test_a_selector_is_a_value_and_its_methods_leave_it_alone() -> None:
    start = LabelSelector({"a": "b"})
    assert start.exists("c") == LabelSelector().equal("a", "b").exists("c")
    assert str(start) == "a=b"
    assert len({start, LabelSelector({"a": "b"}), LabelSelector()}) == 2
    assert LabelSelector({"a": "b"}) != FieldSelector({"a": "b"})


@pytest.mark.parametrize(
    ("labels", "fits"),
    [
        ({"app": "web", "example.com/team": "blue", "zone": "a", "owner": ""}, True),
        ({"app": "web", "example.com/team": "blue", "zone": "c", "owner": ""}, False),
        ({"app": "web", "example.com/team": "blue", "zone": "a"}, False),
        ({"app": "web", "example.com/team": "blue", "zone": "a", "owner": "", "canary": "1"}, False),
        ({"app": "web", "example.com/team": "blue", "zone": "a", "owner": "", "size": "xl"}, False),
        ({"app": "web", "example.com/team": "blue", "zone": "a", "owner": "", "tier": "db"}, False),
    ],
)
def test_the_cache_reads_a_label_selector_as_it_was_meant(labels: dict[str, str], fits: bool) -> None:
    assert parse_label_selector(str(FULL))(labels) is fits


@pytest.mark.parametrize("labels", [{}, {"nothing": ""}, {"a": "b"}])
def test_a_selector_of_nothing_fits_no_labels(labels: dict[str, str]) -> None:
    assert not parse_label_selector(str(LabelSelector.nothing()))(labels)


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: LabelSelector({"app": "a,b=c"}), "'a,b=c'"),
        (lambda: LabelSelector({"app": "a "}), "'a '"),
        (lambda: LabelSelector({"app": "-a"}), "'-a'"),
        (lambda: LabelSelector({"app": "a\n"}), r"'a\\n'"),
        (lambda: LabelSelector({"app": "x" * 64}), "x" * 64),
        (lambda: LabelSelector({"": "a"}), "label key ''"),
        (lambda: LabelSelector({"a b": "a"}), "label key 'a b'"),
        (lambda: LabelSelector({"/a": "a"}), "label key '/a'"),
        (lambda: LabelSelector({"UP.example/a": "a"}), "label key 'UP.example/a'"),
        (lambda: LabelSelector({"example.com/": "a"}), "label key 'example.com/'"),
        (lambda: LabelSelector({"a/b/c": "a"}), "label key 'a/b/c'"),
        (lambda: LabelSelector({("a" * 254) + "/b": "a"}), "label key 'aaa"),
        (lambda: LabelSelector().in_("app", []), "label app: no value"),
        (lambda: LabelSelector().in_("app", "web"), "one text, 'web'"),
        (lambda: LabelSelector().not_in("app", ["a)"]), r"'a\)'"),
        (lambda: LabelSelector().equal("app", _untyped(True)), "True is no text"),
        (lambda: FieldSelector({"metadata.name": _untyped(3)}), "3 is no text"),
        (lambda: FieldSelector({"metadata.name=b,x": "a"}), "'metadata.name=b,x'"),
        (lambda: FieldSelector().not_equal("", "a"), "field ''"),
        (lambda: LabelSelector(_untyped("a=b")), "LabelSelector is given 'a=b'; a mapping such as"),
        (lambda: LabelSelector(_untyped(["a"])), r"LabelSelector is given \['a'\]; a mapping such as"),
        (lambda: FieldSelector(_untyped("a=b")), "FieldSelector is given 'a=b'; a mapping such as"),
        (lambda: LabelSelector({_untyped(None): "x"}), "label key None is no text"),
        (lambda: FieldSelector({_untyped(None): "x"}), "field None is no text"),
    ],
)
def test_what_is_no_label_or_field_is_refused_by_name(build: Callable[[], object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        build()


def _untyped(value: Any) -> Any:
    return value


@pytest.mark.parametrize("value", ["", "a", "A.b_c-9", "x" * 63])
def test_every_value_that_kubernetes_allows_is_allowed(value: str) -> None:
    assert str(LabelSelector({"a": value})) == f"a={value}"


def test_a_field_selector_escapes_what_has_a_meaning_in_its_text() -> None:
    selector = FieldSelector({"spec.subject": r"a=b,c\d"}).not_equal("metadata.name", "x")
    assert str(selector) == r"spec.subject=a\=b\,c\\d,metadata.name!=x"


@pytest.mark.parametrize(
    ("given", "labels", "fields"),
    [
        (None, "", ""),
        ("", "", ""),
        ("a=b", "a=b", "a=b"),
        ({"a": "b"}, "a=b", "a=b"),
        ({}, "", ""),
        (LabelSelector({"a": "b"}), "a=b", None),
        (FieldSelector({"a": "b"}), None, "a=b"),
        (b"a=b", None, None),
        (["a=b"], None, None),
        (7, None, None),
    ],
)
def test_one_rule_says_what_is_taken_for_a_selector(given: object, labels: str | None, fields: str | None) -> None:
    for text, wanted, name in (
        (label_selector_text, labels, "label_selector takes a LabelSelector"),
        (field_selector_text, fields, "field_selector takes a FieldSelector"),
    ):
        if wanted is None:
            with pytest.raises(TypeError, match=f"^{name}, its text or a mapping .*, not a {type(given).__name__}$"):
                text(given)
        else:
            assert text(given) == wanted


def test_labels_of_a_mapping_are_checked_like_those_of_a_selector() -> None:
    with pytest.raises(ValueError, match="True is no text"):
        label_selector_text({"a": True})


@pytest.mark.parametrize(
    ("text", "namespace"),
    [
        (str(FieldSelector({"metadata.namespace": "a-1"})), "a-1"),
        (" metadata.namespace == a ,metadata.name=b", "a"),
        ("metadata.namespace=a,metadata.namespace=a", "a"),
        ("metadata.namespace=a,metadata.namespace=b", ""),
        ("metadata.namespace!=a", ""),
        ("metadata.namespace=", ""),
        ("metadata.namespace=../x", ""),
        ("metadata.name=a", ""),
        ("", ""),
        (str(FieldSelector({"spec.x": "b,metadata.namespace=a"})), ""),
        (r"spec.x=b\,metadata.namespace=a", ""),
    ],
)
def test_the_only_namespace_that_a_field_selector_allows_is_known(text: str, namespace: str) -> None:
    assert pinned_namespace(text) == namespace


@pytest.mark.asyncio
async def test_the_server_selects_as_the_selectors_say(setting: Setting) -> None:
    for name, labels in {"a": {"zone": "a"}, "b": {"zone": "b", "owner": "me"}, "c": {}}.items():
        widget = setting.widget(name)
        widget.metadata.labels = dict(labels)
        await setting.client.create(widget)

    async def found(labels: LabelSelector | None = None, fields: FieldSelector | None = None) -> list[str]:
        listed = await setting.client.list(
            Widget, namespace=setting.namespace, label_selector=labels, field_selector=fields
        )
        return [widget.metadata.name for widget in listed]

    assert await found(LabelSelector({"zone": "a"})) == ["a"]
    assert await found(LabelSelector().not_equal("zone", "a")) == ["b", "c"]
    assert await found(LabelSelector().in_("zone", ["a", "b"])) == ["a", "b"]
    assert await found(LabelSelector().not_in("zone", ["a", "b"])) == ["c"]
    assert await found(LabelSelector().exists("owner")) == ["b"]
    assert await found(LabelSelector().absent("zone")) == ["c"]
    assert await found(LabelSelector()) == ["a", "b", "c"]
    assert await found(LabelSelector.nothing()) == []
    assert await found(None, FieldSelector().not_equal("metadata.name", "b")) == ["a", "c"]
    assert await found(None, FieldSelector({"metadata.name": "a,metadata.name!=a"})) == []
    async with setting.client.watch(
        Widget, namespace=setting.namespace, label_selector=LabelSelector({"zone": "b"}), idle_seconds=20
    ) as events:
        assert (await anext(events)).object.metadata.name == "b"
