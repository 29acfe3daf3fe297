from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.api import FieldSelector, KubeObject, LabelSelector, ResourceType
from reconciler.client import Client, HttpResponse, JsonObject, ObjectList, RestClient
from reconciler.errors import ExpiredError, ForbiddenError
from reconciler.testing import run_virtual

from .scripted import Answer, ScriptedTransport, answer, refusal
from .test_servers import NAMESPACES, Setting
from .test_servers import Widget as ServerWidget


class Widget(KubeObject):
    resource = ResourceType("example.com", "v1", "Widget", "widgets")


GONE = answer(410, refusal(410, "Expired", "The provided continue parameter is too old"))


def _page(*names: str, version: str = "9", token: str = "") -> HttpResponse:
    items = [{"metadata": {"name": name, "namespace": "default"}} for name in names]
    return answer(200, {"metadata": {"resourceVersion": version, "continue": token}, "items": items})


def _read(*answers: Answer, **options: Any) -> tuple[list[tuple[list[str], str]], ScriptedTransport]:
    transport = ScriptedTransport(answers)
    seen: list[tuple[list[str], str]] = []

    async def main() -> None:
        pages = Client(RestClient(transport)).pages(Widget, limit=2, **options)
        seen.extend([([widget.metadata.name for widget in page], page.resource_version) async for page in pages])

    run_virtual(main())
    return seen, transport


def test_pages_come_as_they_are_asked_for_and_show_one_moment() -> None:
    transport = ScriptedTransport([_page("a", "b", token="t"), _page("c")])

    async def main() -> None:
        pages = Client(RestClient(transport)).pages(Widget, limit=2, label_selector=LabelSelector({"x": "y"}))
        first = await anext(pages)
        assert ([widget.metadata.name for widget in first], first.items[0].kind) == (["a", "b"], "Widget")
        assert len(transport.requests) == 1
        assert [widget.metadata.name for widget in await anext(pages)] == ["c"]
        with pytest.raises(StopAsyncIteration):
            await anext(pages)

    run_virtual(main())
    queries = [dict(request.query) for request in transport.requests]
    assert queries == [
        {"labelSelector": "x=y", "limit": "2"},
        {"labelSelector": "x=y", "limit": "2", "continue": "t"},
    ]


def test_a_list_and_a_watch_whose_selector_allows_one_namespace_ask_that_one_alone() -> None:
    transport = ScriptedTransport([_page("a"), _page("a"), answer(200, b"")])
    client = Client(RestClient(transport))

    async def main() -> None:
        await client.list(Widget, field_selector={"metadata.namespace": "default"})
        assert [each async for each in client.iterate(Widget, field_selector={"metadata.namespace": "default"})]
        async with client.watch(Widget, field_selector={"metadata.namespace": "default"}) as events:
            assert [event async for event in events] == []

    run_virtual(main())
    # Rights in one namespace are enough, for the watch too.
    assert {request.path for request in transport.requests} == {"/apis/example.com/v1/namespaces/default/widgets"}


def test_iterate_gives_the_objects_one_by_one_typed_or_not() -> None:
    async def main() -> list[str]:
        client = Client(RestClient(ScriptedTransport([_page("a", "b", token="t"), _page("c")] * 2)))
        typed = [widget.metadata.name async for widget in client.iterate(Widget)]
        untyped: list[JsonObject] = [obj async for obj in client.iterate(Widget.resource)]
        return typed + [obj["metadata"]["name"] for obj in untyped if obj["kind"] == "Widget"]

    assert run_virtual(main()) == ["a", "b", "c"] * 2


def test_an_empty_list_is_one_empty_page_that_names_its_moment() -> None:
    seen, _ = _read(_page(version="7"))
    assert seen == [([], "7")]


def test_a_list_whose_moment_is_forgotten_ends_with_a_sentence_and_does_not_begin_again() -> None:
    transport = ScriptedTransport([_page("a", "b", token="t"), GONE])
    seen: list[ObjectList[Widget]] = []

    async def main() -> None:
        async for page in Client(RestClient(transport)).pages(Widget, limit=2):
            seen.append(page)  # noqa: PERF401  # what came before the error is looked at

    with pytest.raises(ExpiredError, match=r"^list widgets\.example\.com: 410 the server forgot .* after 2 objects"):
        run_virtual(main())
    assert (len(seen), len(transport.requests)) == (1, 2)


def test_a_fresh_list_takes_over_where_that_is_allowed_and_shows_its_own_moment() -> None:
    seen, transport = _read(
        _page("a", "b", token="t", version="9"), GONE,
        _page("a", "a2", token="u", version="20"), _page("b", "c", token="v", version="20"), _page("d", version="20"),
        restart_when_expired=True,
    )  # fmt: skip
    # What was inserted before the last object yielded is not shown, and nothing comes twice.
    assert seen == [(["a", "b"], "9"), (["c"], "20"), (["d"], "20")]
    assert [dict(request.query).get("continue") for request in transport.requests] == [None, "t", None, "u", "v"]


def test_a_server_that_forgets_again_before_anything_new_came_is_not_asked_for_ever() -> None:
    first, again = _page("a", "b", token="t"), _page("a", "b", token="u")
    with pytest.raises(ExpiredError, match="after 2 objects"):
        _read(first, GONE, again, GONE, restart_when_expired=True)
    seen, _ = _read(first, GONE, again, _page("c", token="v"), GONE, _page("b", "d"), restart_when_expired=True)
    assert [names for names, _ in seen] == [["a", "b"], ["c"], ["d"]]


def test_an_expiry_that_is_not_between_pages_is_passed_on_as_it_is() -> None:
    with pytest.raises(ExpiredError, match="410 The provided continue"):
        _read(GONE, restart_when_expired=True)


@pytest.mark.asyncio
async def test_pages_of_a_server_show_one_moment_whatever_is_written_meanwhile(setting: Setting) -> None:
    client = setting.client
    for name in "abcde":
        await client.create(setting.widget(name))
    pages = client.pages(ServerWidget, namespace=setting.namespace, limit=2)
    first = await anext(pages)
    await client.delete(ServerWidget, setting.key("e"))
    await client.create(setting.widget("cc"))
    rest = [page async for page in pages]
    assert [[widget.metadata.name for widget in page] for page in (first, *rest)] == [["a", "b"], ["c", "d"], ["e"]]
    assert {page.resource_version for page in (first, *rest)} == {first.resource_version}
    now = [widget.metadata.name async for widget in client.iterate(ServerWidget, namespace=setting.namespace, limit=3)]
    assert now == ["a", "b", "c", "cc", "d"]


@pytest.mark.asyncio
async def test_pages_of_one_namespace_by_a_field_selector_hold_each_object_once(setting: Setting) -> None:
    # A kube-apiserver that is asked so at the path of all namespaces gives continue tokens that lead back.
    client, other = setting.client, f"{setting.namespace}-after"
    await client.create({"metadata": {"name": other}}, resource=NAMESPACES)
    for name in "abcde":
        await client.create(setting.widget(name))
    stranger = setting.widget("x")
    stranger.metadata.namespace = other
    await client.create(stranger)
    selector = FieldSelector({"metadata.namespace": setting.namespace})
    kind: Any = ServerWidget
    listed = [each.metadata.name for each in await client.list(kind, field_selector=selector, limit=2)]
    paged = [
        [each.metadata.name for each in page] async for page in client.pages(kind, field_selector=selector, limit=2)
    ]
    single = [each.metadata.name async for each in client.iterate(kind, field_selector=str(selector), limit=2)]
    assert (listed, paged, single) == (list("abcde"), [["a", "b"], ["c", "d"], ["e"]], list("abcde"))
    elsewhere = selector.equal("metadata.namespace", other)
    assert list(await client.list(kind, field_selector=elsewhere, limit=2)) == []
    assert list(await client.list(kind, namespace=other, field_selector=selector, limit=2)) == []


def test_a_list_of_one_namespace_by_a_field_selector_is_asked_for_at_its_path_and_says_so() -> None:
    transport = ScriptedTransport([_page("a"), answer(403, refusal(403, "Forbidden")), _page("n")])
    nodes = ResourceType("example.com", "v1", "Node", "nodes", is_namespaced=False)
    selector = FieldSelector({"metadata.namespace": "blue"})

    async def main() -> None:
        client = Client(RestClient(transport))
        await client.list(Widget, field_selector=selector)
        with pytest.raises(ForbiddenError, match=r"^list widgets\.example\.com in blue: 403"):
            await client.list(Widget, field_selector=selector)
        await client.list(nodes, field_selector=selector)

    run_virtual(main())
    assert [request.path for request in transport.requests] == [
        *["/apis/example.com/v1/namespaces/blue/widgets"] * 2,
        "/apis/example.com/v1/nodes",
    ]
    assert {dict(request.query)["fieldSelector"] for request in transport.requests} == {"metadata.namespace=blue"}


@pytest.mark.asyncio
@pytest.mark.parametrize("server", ["embedded"], indirect=True)
async def test_a_server_that_forgot_is_told_of_and_a_fresh_list_goes_on(setting: Setting) -> None:
    # A kube-apiserver forgets after five minutes; the embedded one when it is told to.
    client = setting.client
    for name in "abcde":
        await client.create(setting.widget(name))

    async def read(forget: Callable[[], None], *, restart: bool) -> list[str]:
        pages = client.pages(ServerWidget, namespace=setting.namespace, limit=2, restart_when_expired=restart)
        names = [widget.metadata.name for widget in await anext(pages)]
        await client.patch(ServerWidget, setting.key("a"), {"spec": {"size": 9}})
        forget()
        async for page in pages:
            names += [widget.metadata.name for widget in page]
        return names

    with pytest.raises(ExpiredError, match="the server forgot the moment"):
        await read(setting.forget, restart=False)
    assert await read(setting.forget, restart=True) == list("abcde")
