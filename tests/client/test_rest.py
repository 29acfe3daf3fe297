from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import pytest

from reconciler.api import ObjectKey, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.client import (
    AiohttpTransport,
    Client,
    ClientConfig,
    HttpRequest,
    HttpResponse,
    RestClient,
    RestMapper,
    ServerWarning,
)
from reconciler.clock import LoopWallClock
from reconciler.errors import (
    ApiError,
    ConnectionFailedError,
    ExpiredError,
    InvalidError,
    NoMatchError,
    NotFoundError,
    ServerTimeoutError,
    TooManyRequestsError,
)
from reconciler.testing import InProcessTransport, run_virtual

from .scripted import ScriptedTransport, answer, refusal

WIDGETS = ResourceType("example.com", "v1", "Widget", "widgets")
NODES = ResourceType("", "v1", "Node", "nodes", is_namespaced=False)
KEY = ObjectKey("default", "a")

Call = Callable[[RestClient], Awaitable[Any]]


def _asked(call: Call) -> HttpRequest:
    transport = ScriptedTransport([answer(200, {})])
    run_virtual(_await(call(RestClient(transport))))
    return transport.requests[0]


async def _await(thing: Awaitable[Any]) -> Any:
    return await thing


async def _first_line(rest: RestClient, **options: Any) -> bytes:
    async with rest.watch(WIDGETS, **options) as lines:
        async for line in lines:
            return line
    raise AssertionError("no line")


@pytest.mark.parametrize(
    ("call", "method", "path"),
    [
        (lambda rest: rest.get(WIDGETS, KEY), "GET", "/apis/example.com/v1/namespaces/default/widgets/a"),
        (lambda rest: rest.get(NODES, ObjectKey("", "n")), "GET", "/api/v1/nodes/n"),
        (lambda rest: rest.list_page(WIDGETS), "GET", "/apis/example.com/v1/widgets"),
        (
            lambda rest: rest.create(WIDGETS, "default", b"{}"),
            "POST",
            "/apis/example.com/v1/namespaces/default/widgets",
        ),
        (lambda rest: rest.update(WIDGETS, KEY, b"{}"), "PUT", "/apis/example.com/v1/namespaces/default/widgets/a"),
        (
            lambda rest: rest.patch(WIDGETS, KEY, b"{}", subresource="status"),
            "PATCH",
            "/apis/example.com/v1/namespaces/default/widgets/a/status",
        ),
        (lambda rest: rest.delete(WIDGETS, KEY), "DELETE", "/apis/example.com/v1/namespaces/default/widgets/a"),
    ],
)
def test_each_verb_has_its_method_and_path(call: Call, method: str, path: str) -> None:
    request = _asked(call)
    assert (request.method, request.path, request.timeout_seconds) == (method, path, 30.0)


def test_a_body_says_what_it_is() -> None:
    assert _asked(lambda rest: rest.create(WIDGETS, "default", b"{}")).headers["Content-Type"] == "application/json"
    patch = _asked(lambda rest: rest.patch(WIDGETS, KEY, b"{}"))
    assert patch.headers["Content-Type"] == "application/merge-patch+json"
    assert "Content-Type" not in _asked(lambda rest: rest.get(WIDGETS, KEY)).headers


def test_list_options_become_query_parameters_and_empty_ones_are_left_out() -> None:
    request = _asked(
        lambda rest: rest.list_page(
            WIDGETS,
            namespace="default",
            label_selector="a=b",
            field_selector="",
            limit=5,
            continue_token="t",
            resource_version="0",
            timeout_seconds=90,
        )
    )
    assert dict(request.query) == {"labelSelector": "a=b", "limit": "5", "continue": "t", "resourceVersion": "0"}
    assert request.timeout_seconds == 90


def test_a_watch_asks_for_what_it_was_told_and_its_silence_is_the_transports_to_end() -> None:
    transport = ScriptedTransport([answer(200, b'{"type":"ADDED"}\n{"type":"MODIFIED"}\n')])
    rest = RestClient(transport)
    options = {"resource_version": "7", "timeout_seconds": 300, "allow_bookmarks": True, "idle_seconds": 90.0}
    assert run_virtual(_first_line(rest, **options)) == b'{"type":"ADDED"}'
    assert dict(transport.requests[0].query) == {
        "watch": "true",
        "resourceVersion": "7",
        "timeoutSeconds": "300",
        "allowWatchBookmarks": "true",
    }
    assert transport.requests[0].timeout_seconds == 90.0
    assert transport.open_streams == 0


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda rest: rest.get(WIDGETS, ObjectKey("", "a")), id="no namespace"),
        pytest.param(lambda rest: rest.get(NODES, ObjectKey("default", "a")), id="a namespace too many"),
        pytest.param(lambda rest: rest.get(WIDGETS, ObjectKey("default", "")), id="no name"),
        pytest.param(lambda rest: rest.create(WIDGETS, "", b"{}"), id="created nowhere"),
        pytest.param(lambda rest: rest.list_page(NODES, namespace="default"), id="listed in a namespace"),
    ],
)
def test_a_key_that_does_not_fit_its_kind_is_refused_before_anything_is_sent(call: Call) -> None:
    transport = ScriptedTransport()
    with pytest.raises(ValueError, match="name"):
        run_virtual(_await(call(RestClient(transport))))
    assert transport.requests == []


def test_a_refusal_becomes_an_error_that_names_the_request() -> None:
    transport = ScriptedTransport([answer(404, refusal(404, "NotFound", 'widgets "a" not found', name="a"))])
    with pytest.raises(
        NotFoundError, match=r'^get widgets\.example\.com default/a: 404 widgets "a" not found$'
    ) as caught:
        run_virtual(RestClient(transport).get(WIDGETS, KEY))
    assert caught.value.status.details == {"name": "a"}


def test_a_refused_status_write_names_the_subresource() -> None:
    transport = ScriptedTransport([answer(422, refusal(422, "Invalid"))])
    with pytest.raises(InvalidError, match=r"^update status of widgets\.example\.com default/a: 422 no$"):
        run_virtual(RestClient(transport).update(WIDGETS, KEY, b"{}", subresource="status"))


BUSY = answer(429, refusal(429, "TooManyRequests"), retry_after="2")


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda rest: rest.get(WIDGETS, KEY), id="get"),
        pytest.param(lambda rest: rest.list_page(WIDGETS), id="list"),
        pytest.param(lambda rest: rest.create(WIDGETS, "default", b"{}"), id="create"),
        pytest.param(_first_line, id="watch"),
    ],
)
def test_a_429_that_names_a_time_is_waited_out(call: Call) -> None:
    transport = ScriptedTransport([BUSY, BUSY, answer(200, {"a": 1})])
    run_virtual(_await(call(RestClient(transport))))
    assert transport.asked_at == [0.0, 2.0, 4.0]
    assert transport.requests[0] == transport.requests[2]
    assert transport.open_streams == 0


@pytest.mark.parametrize("call", [lambda rest: rest.get(WIDGETS, KEY), _first_line])
def test_waiting_is_bounded_and_then_the_429_is_raised(call: Call) -> None:
    transport = ScriptedTransport([BUSY] * 4)
    with pytest.raises(TooManyRequestsError) as caught:
        run_virtual(_await(call(RestClient(transport, waits_max=3))))
    assert transport.asked_at == [0.0, 2.0, 4.0, 6.0]
    assert caught.value.status.retry_after_seconds == 2.0


@pytest.mark.parametrize("code", [500, 503, 504])
@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda rest: rest.get(WIDGETS, KEY), id="get"),
        pytest.param(lambda rest: rest.create(WIDGETS, "default", b"{}"), id="create"),
        pytest.param(lambda rest: rest.patch(WIDGETS, KEY, b"{}"), id="patch"),
        pytest.param(_first_line, id="watch"),
    ],
)
def test_a_5xx_that_names_a_time_is_waited_out_and_said(
    call: Call, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    refused = answer(code, refusal(code, "InternalError", "hunter2"), retry_after="2")
    transport = ScriptedTransport([refused, refused, answer(200, {"a": 1})])
    run_virtual(_await(call(RestClient(transport))))
    assert transport.asked_at == [0.0, 2.0, 4.0]
    assert transport.requests[0] == transport.requests[2]
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        f"the server answers {code} and asks to wait 2 s; wait {number} of 10 at most" for number in (1, 2)
    ]
    assert "hunter2" not in caplog.text


def test_a_short_wait_is_not_said(caplog: pytest.LogCaptureFixture) -> None:
    busy = answer(429, refusal(429, "TooManyRequests"), retry_after="1")
    run_virtual(RestClient(ScriptedTransport([busy, answer(200, {})])).get(WIDGETS, KEY))
    assert caplog.records == []


@pytest.mark.parametrize(
    ("refused", "kind", "seconds"),
    [
        pytest.param(
            answer(429, refusal(429, "TooManyRequests")), TooManyRequestsError, None, id="a 429 that names no time"
        ),
        pytest.param(
            answer(429, refusal(429, "TooManyRequests"), retry_after="31"),
            TooManyRequestsError,
            31.0,
            id="a 429 that asks for too long",
        ),
        pytest.param(
            answer(503, refusal(503, "ServiceUnavailable")), ServerTimeoutError, None, id="a 503 that names no time"
        ),
        pytest.param(
            answer(504, refusal(504, "Timeout", retryAfterSeconds=1)),
            ServerTimeoutError,
            1.0,
            id="a 504 that names a time in its body alone",
        ),
        pytest.param(answer(404, refusal(404, "NotFound", name="a"), retry_after="1"), NotFoundError, 1.0, id="a 404"),
    ],
)
def test_nothing_else_is_waited_out(refused: Any, kind: type[ApiError], seconds: float | None) -> None:
    transport = ScriptedTransport([refused])
    with pytest.raises(kind) as caught:
        run_virtual(RestClient(transport).get(WIDGETS, KEY))
    assert type(caught.value) is kind
    assert caught.value.status.retry_after_seconds == seconds
    assert len(transport.requests) == 1


def test_a_write_whose_answer_was_lost_is_not_sent_again() -> None:
    transport = ScriptedTransport([ConnectionFailedError("POST h:1: connection reset by peer")])
    with pytest.raises(ConnectionFailedError):
        run_virtual(RestClient(transport).create(WIDGETS, "default", b"{}"))
    assert len(transport.requests) == 1


def test_a_watch_from_a_version_that_is_too_old_says_so_on_entering() -> None:
    transport = ScriptedTransport([answer(410, refusal(410, "Expired", "too old resource version: 1 (7)"))])
    with pytest.raises(ExpiredError, match=r"^watch widgets\.example\.com in default: 410 too old"):
        run_virtual(_first_line(RestClient(transport), namespace="default", resource_version="1"))
    assert transport.open_streams == 0


def test_a_cancelled_wait_sends_nothing_more() -> None:
    transport = ScriptedTransport([BUSY])

    async def main() -> None:
        task = asyncio.create_task(RestClient(transport).get(WIDGETS, KEY))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(main())
    assert len(transport.requests) == 1


def test_closing_closes_the_transport() -> None:
    transport = ScriptedTransport()
    run_virtual(RestClient(transport).aclose())
    assert transport.is_closed


@pytest.mark.parametrize("name", [".", "..", "../x", "a/b", "/", "a%2fb"])
def test_a_name_that_could_reach_into_another_path_is_refused_before_it_is_sent(name: str) -> None:
    transport = ScriptedTransport()
    rest = RestClient(transport)
    calls: list[Any] = [
        rest.get(WIDGETS, ObjectKey("default", name)),
        rest.get(WIDGETS, ObjectKey(name, "a")),
        rest.get(WIDGETS, KEY, subresource=name),
        rest.list_page(WIDGETS, namespace=name),
        rest.create(WIDGETS, name, b"{}"),
        rest.update(WIDGETS, ObjectKey("default", name), b"{}"),
        rest.patch(WIDGETS, ObjectKey("default", name), b"{}"),
        rest.delete(WIDGETS, ObjectKey("default", name)),
        rest.delete_collection(WIDGETS, name),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"is no name for widgets\.example\.com: it is '\.' or '\.\.', or has '/'"):
            run_virtual(call)
    assert transport.requests == []


@pytest.mark.parametrize("name", ["a.b", "...", "system:node:a", "a b", "x?y#z"])
def test_other_names_go_to_the_server_encoded(name: str) -> None:
    path = _asked(lambda rest: rest.get(WIDGETS, ObjectKey("default", name))).path
    assert path == f"/apis/example.com/v1/namespaces/default/widgets/{quote(name, safe='')}"


@pytest.mark.parametrize("wrong", [0, -1, -0.5, float("nan")])
def test_a_time_out_that_is_over_before_it_begins_is_refused(wrong: float) -> None:
    for make in (
        lambda: RestClient(ScriptedTransport(), timeout_seconds=wrong),
        lambda: RestMapper(ScriptedTransport(), timeout_seconds=wrong),
        lambda: AiohttpTransport(ClientConfig.for_host("http://a"), timeout_seconds=wrong),
    ):
        with pytest.raises(ValueError, match="timeout_seconds"):
            make()


def test_a_warning_callback_that_fails_does_not_make_a_stored_write_fail(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: ServerWarning) -> None:
        raise RuntimeError("hunter2")

    transport = ScriptedTransport([answer(201, {}, warning='299 - "one", 299 - "two"')])
    answered = run_virtual(RestClient(transport, on_warning=fail).create(WIDGETS, "default", b"{}"))
    assert answered.status == 201
    said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert said == ["create widgets.example.com in default: on_warning failed (RuntimeError)"] * 2
    assert "hunter2" not in caplog.text


def test_a_404_of_a_path_is_said_once_and_names_the_subresource_too() -> None:
    transport = ScriptedTransport([HttpResponse(404, {}, b"404 page not found\n")])
    with pytest.raises(NoMatchError) as caught:
        run_virtual(RestClient(transport).get(WIDGETS, KEY, subresource="scale"))
    assert str(caught.value) == (
        "get scale of widgets.example.com default/a: 404 page not found; is the kind installed there, served in this "
        "version, and has it that subresource?"
    )


def test_a_get_may_ask_for_a_version() -> None:
    assert _asked(lambda rest: rest.get(WIDGETS, KEY, resource_version="0")).query == (("resourceVersion", "0"),)


def test_a_subresource_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="a subresource has a name"):
        Client(RestClient(ScriptedTransport())).subresource("")


def test_the_transport_in_process_is_used_like_the_others() -> None:
    async def main() -> bytes:
        async with InProcessTransport(ApiServer(wall=LoopWallClock())) as transport:
            return await RestClient(transport).list_page(
                ResourceType("", "v1", "Namespace", "namespaces", is_namespaced=False)
            )

    assert b'"NamespaceList"' in run_virtual(main())


@pytest.mark.parametrize(
    ("refused", "is_unsent"),
    [
        pytest.param([503], False, id="a 503"),
        pytest.param([429], True, id="a 429"),
        pytest.param([503, 429], False, id="a 503 and a 429"),
        pytest.param([429, 500, 429], False, id="a 500 between two 429"),
    ],
)
def test_what_could_not_be_sent_again_is_unsent_only_after(refused: list[int], is_unsent: bool) -> None:
    lost = ConnectionFailedError("POST h:1: connection refused", "create it", is_unsent=True)
    tries = [answer(code, refusal(code, "No"), retry_after="1") for code in refused]
    transport = ScriptedTransport([*tries, lost])
    with pytest.raises(ConnectionFailedError, match=r"^create it: POST h:1: connection refused") as caught:
        run_virtual(RestClient(transport).create(WIDGETS, "default", b"{}"))
    assert caught.value.is_unsent is is_unsent
    assert caught.value.doing == "create it"
    assert ("an earlier try was answered 50" in str(caught.value)) is not is_unsent
    assert len(transport.requests) == len(refused) + 1
