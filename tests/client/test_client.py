from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.api import ApiModel, Condition, KubeObject, ModelError, ObjectKey, ObjectMeta, ResourceType
from reconciler.client import Client, HttpRequest, HttpResponse, OwnWrites, RestClient, WatchEvent
from reconciler.errors import (
    AlreadyExistsError,
    ConflictError,
    ConnectionFailedError,
    ExpiredError,
    MalformedObjectError,
)
from reconciler.journal import Cause, Journal, Origin, Record, Wrote, current_cause
from reconciler.testing import run_virtual

from .scripted import Answer, ScriptedTransport, answer, refusal


class WidgetSpec(ApiModel):
    size: int = 0
    token: str | None = None


class Widget(KubeObject):
    resource = ResourceType("example.com", "v1", "Widget", "widgets")
    spec: WidgetSpec = WidgetSpec()
    status: dict[str, Any] | None = None


KEY = ObjectKey("default", "a")
CONFLICT = answer(409, refusal(409, "Conflict"))


def _wire(version: str = "1", **fields: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "a", "namespace": "default", "uid": "u", "resourceVersion": version},
        "spec": {"size": 1},
        **fields,
    }


def _widget(version: str = "1") -> Widget:
    return Widget.from_json(json.dumps(_wire(version)))


def _page(*names: str, version: str = "9", token: str = "") -> HttpResponse:
    items = [{"metadata": {"name": name, "namespace": "default"}, "spec": {"size": 1}} for name in names]
    return answer(200, {"metadata": {"resourceVersion": version, "continue": token}, "items": items})


class _Setting:
    def __init__(self, *answers: Answer) -> None:
        self.transport = ScriptedTransport(answers)
        self.journal = Journal()
        self.ledger = OwnWrites()
        self.client = Client(RestClient(self.transport), journal=self.journal, ledger=self.ledger)
        self.seen: list[Record] = []
        self.journal.subscribe(self.seen.append)

    @property
    def wrote(self) -> list[Wrote]:
        return [record for record in self.seen if isinstance(record, Wrote)]

    def sent(self) -> HttpRequest:
        return self.transport.requests[-1]

    def body(self) -> Any:
        return json.loads(self.sent().body or b"null")


def _in_pass(call: Awaitable[Any], *, is_over: bool = False, scope: str = "widget") -> Coroutine[Any, Any, Any]:
    async def main() -> Any:
        cause = Cause(41, scope, "default/a")
        cause.is_over = is_over
        current_cause.set(cause)
        return await call

    return main()


async def _await(call: Awaitable[Any]) -> Any:
    return await call


def test_a_model_gives_instances_and_a_resource_type_gives_dictionaries() -> None:
    setting = _Setting(answer(200, _wire()), answer(200, _wire()))
    typed = run_virtual(setting.client.get(Widget, KEY))
    assert typed.spec.size == 1
    assert run_virtual(setting.client.get(Widget.resource, KEY)) == _wire()


def test_a_list_follows_its_pages_and_fills_in_what_list_items_lack() -> None:
    setting = _Setting(_page("a", "b", token="t"), _page("c"))
    listed = run_virtual(setting.client.list(Widget, namespace="default", limit=2))
    assert [widget.metadata.name for widget in listed] == ["a", "b", "c"]
    assert (len(listed), listed.resource_version) == (3, "9")
    assert listed.items[0].kind == "Widget"
    assert [dict(request.query).get("continue") for request in setting.transport.requests] == [None, "t"]
    untyped = run_virtual(_Setting(_page("a")).client.list(Widget.resource))
    assert untyped.items[0]["apiVersion"] == "example.com/v1"


def test_a_list_whose_pages_outlived_the_history_is_asked_for_once_more_in_one_piece() -> None:
    gone = answer(410, refusal(410, "Expired"))
    setting = _Setting(_page("a", token="t"), gone, _page("a", "b", version="12"))
    listed = run_virtual(setting.client.list(Widget, limit=1))
    assert ([widget.metadata.name for widget in listed], listed.resource_version) == (["a", "b"], "12")
    assert "limit" not in dict(setting.sent().query)
    with pytest.raises(ExpiredError):
        run_virtual(_Setting(gone, gone).client.list(Widget))


def test_a_list_without_items_is_empty() -> None:
    setting = _Setting(answer(200, {"metadata": {"resourceVersion": "3"}, "items": None}))
    assert run_virtual(setting.client.list(Widget)).items == ()


@pytest.mark.parametrize(
    ("call", "method", "path"),
    [
        (lambda client: client.create(_widget()), "POST", "/widgets"),
        (lambda client: client.create(_wire(), resource=Widget.resource), "POST", "/widgets"),
        (lambda client: client.update(_widget()), "PUT", "/widgets/a"),
        (lambda client: client.update(_wire(), resource=Widget.resource), "PUT", "/widgets/a"),
        (lambda client: client.status.update(_widget()), "PUT", "/widgets/a/status"),
        (lambda client: client.patch(Widget, KEY, {"spec": {}}), "PATCH", "/widgets/a"),
        (lambda client: client.status.patch(Widget.resource, KEY, {"status": {}}), "PATCH", "/widgets/a/status"),
        (lambda client: client.delete(Widget, KEY), "DELETE", "/widgets/a"),
    ],
)
def test_each_write_goes_to_its_place(call: Callable[[Client], Awaitable[Any]], method: str, path: str) -> None:
    setting = _Setting(answer(200, _wire("2")))
    run_virtual(_await(call(setting.client)))
    assert (setting.sent().method, setting.sent().path.removeprefix("/apis/example.com/v1/namespaces/default")) == (
        method,
        path,
    )


def test_a_write_returns_a_new_object_and_leaves_the_given_one_alone() -> None:
    setting = _Setting(answer(200, _wire("2", spec={"size": 7})))
    given = _widget()
    stored = run_virtual(setting.client.update(given))
    assert (stored.spec.size, stored.metadata.resource_version) == (7, "2")
    assert given == _widget()


def test_a_patch_carries_nulls_models_and_times() -> None:
    setting = _Setting(answer(200, _wire("2")))
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    condition = Condition(type="Ready", status="True", reason="Sent", last_transition_time=moment)
    run_virtual(
        setting.client.status.patch(Widget, KEY, {"status": {"a": None, "at": moment, "conditions": [condition]}})
    )
    status = setting.body()["status"]
    assert (status["a"], status["at"]) == (None, "2026-01-01T00:00:00Z")
    assert status["conditions"][0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"


def test_a_delete_sends_the_preconditions_it_was_given() -> None:
    setting = _Setting(answer(200, {"kind": "Status"}), answer(200, {"kind": "Status"}))
    run_virtual(setting.client.delete(Widget, KEY))
    assert setting.sent().body is None
    run_virtual(setting.client.delete(Widget, KEY, uid="u", resource_version="5"))
    assert setting.body()["preconditions"] == {"uid": "u", "resourceVersion": "5"}


def test_an_untyped_object_without_a_kind_is_sent_with_the_kind_of_its_resource() -> None:
    setting = _Setting(answer(201, _wire()))
    given = {"metadata": {"name": "a", "namespace": "default"}}
    run_virtual(setting.client.create(given, resource=Widget.resource))
    assert setting.body() == {"apiVersion": "example.com/v1", "kind": "Widget", **given}
    assert set(given) == {"metadata"}


def test_an_untyped_object_needs_its_resource() -> None:
    setting = _Setting()
    untyped: Any = _wire()
    with pytest.raises(TypeError, match="resource="):
        run_virtual(setting.client.create(untyped))
    assert setting.wrote == []


def test_an_object_that_does_not_fit_its_model_is_named_with_its_field_and_without_its_values() -> None:
    setting = _Setting(answer(200, _wire(spec={"size": "hunter2", "token": 5})))
    with pytest.raises(MalformedObjectError) as caught:
        run_virtual(setting.client.get(Widget, KEY))
    text = str(caught.value)
    said = "get widgets.example.com default/a: default/a does not fit the model Widget: spec.size: "
    assert text.startswith(said)
    assert "spec.token: " in text
    assert "hunter2" not in text
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"\xff"])
def test_an_answer_that_is_no_object_is_refused(body: bytes) -> None:
    for kind in (Widget, Widget.resource):
        call: Any = _Setting(answer(200, body)).client.get(kind, KEY)
        with pytest.raises(MalformedObjectError, match=r"^get widgets\.example\.com default/a: the answer ") as caught:
            run_virtual(call)
        assert caught.value.doing == "get widgets.example.com default/a"


def test_a_list_that_is_no_list_is_refused() -> None:
    with pytest.raises(MalformedObjectError, match=r"^list widgets\.example\.com: the answer is not a list: "):
        run_virtual(_Setting(answer(200, {"items": 3})).client.list(Widget))


def test_a_watch_gives_typed_events_and_ends_with_the_stream() -> None:
    lines = "\n".join(
        json.dumps({"type": kind, "object": _wire(version)}) for kind, version in (("ADDED", "1"), ("DELETED", "2"))
    )
    setting = _Setting(answer(200, lines.encode()))
    events: list[WatchEvent[Widget]] = []

    async def main() -> None:
        async with setting.client.watch(Widget, namespace="default", resource_version="0") as seen:
            events.extend([event async for event in seen])

    run_virtual(main())
    assert [(event.type, event.object.metadata.resource_version) for event in events] == [
        ("ADDED", "1"),
        ("DELETED", "2"),
    ]
    assert setting.transport.open_streams == 0


@pytest.mark.parametrize(
    ("line", "error"),
    [
        pytest.param(
            json.dumps({"type": "ERROR", "object": refusal(410, "Expired", "too old")}).encode(),
            ExpiredError,
            id="an error event",
        ),
        pytest.param(b'{"type": "ADDED"', MalformedObjectError, id="half a line"),
    ],
)
def test_a_watch_raises_on(line: bytes, error: type[Exception]) -> None:
    async def main() -> None:
        async with _Setting(answer(200, line)).client.watch(Widget) as seen:
            async for _ in seen:
                pass

    with pytest.raises(error, match=r"^watch widgets"):
        run_virtual(main())


def test_a_write_is_recorded_under_the_pass_that_caused_it() -> None:
    setting = _Setting(answer(200, _wire("2")))
    run_virtual(_in_pass(setting.client.status.update(_widget("1"))))
    assert setting.wrote == [
        Wrote(
            id=1,
            causes=(41,),
            at=0,
            scope="widget",
            key="default/a",
            verb="update",
            target="widgets/status default/a",
            old_version="1",
            new_version="2",
            code=200,
            is_late=False,
            group="example.com",
        )
    ]
    assert setting.journal.records("widget", "default/a") == tuple(setting.seen)


def test_a_write_outside_of_passes_is_recorded_under_its_kind() -> None:
    setting = _Setting(answer(201, _wire("2")))
    run_virtual(setting.client.create(_widget("")))
    # Objects without end, such as Events, take one place in the journal, and their records still name them.
    (record,) = setting.wrote
    assert (record.scope, record.key, record.causes, record.code) == ("", Widget.resource, (), 201)
    assert record.target == f"widgets {KEY}"


def test_a_write_after_its_pass_ended_is_late() -> None:
    setting = _Setting(answer(200, _wire("2")))
    run_virtual(_in_pass(setting.client.patch(Widget, KEY, {}), is_over=True))
    assert setting.wrote[0].is_late


@pytest.mark.parametrize(
    ("given", "code", "error"),
    [
        pytest.param(CONFLICT, 409, ConflictError, id="refused"),
        pytest.param(answer(409, refusal(409, "AlreadyExists")), 409, AlreadyExistsError, id="refused otherwise"),
        pytest.param(ConnectionFailedError("PUT h:1: no answer"), 0, ConnectionFailedError, id="no answer"),
        pytest.param(RuntimeError("a bug in a transport"), 0, RuntimeError, id="a crash"),
        pytest.param(
            answer(200, {"metadata": {"resourceVersion": "2"}, "spec": 3}), 200, MalformedObjectError, id="unreadable"
        ),
    ],
)
def test_a_write_that_fails_is_recorded_with_what_is_known(given: Answer, code: int, error: type[Exception]) -> None:
    setting = _Setting(given)
    with pytest.raises(error):
        run_virtual(_in_pass(setting.client.update(_widget("1"))))
    new = "2" if code == 200 else ""
    assert [(record.code, record.old_version, record.new_version) for record in setting.wrote] == [(code, "1", new)]
    assert len(setting.ledger) == 0


def test_a_cancelled_write_is_recorded_as_one_without_an_answer() -> None:
    setting = _Setting(answer(429, refusal(429, "TooManyRequests"), retry_after="5"))

    async def main() -> None:
        task = asyncio.create_task(setting.client.update(_widget("1")))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(_in_pass(main()))
    assert [record.code for record in setting.wrote] == [0]
    assert setting.ledger.origin("widget", "u", "1", "2") is Origin.FOREIGN


def test_a_write_that_waited_out_a_429_is_one_write() -> None:
    setting = _Setting(answer(429, refusal(429, "TooManyRequests"), retry_after="5"), answer(200, _wire("2")))
    run_virtual(setting.client.update(_widget("1")))
    assert [record.code for record in setting.wrote] == [200]


def test_an_object_that_cannot_be_sent_is_no_write() -> None:
    setting = _Setting()
    with pytest.raises(TypeError, match="object has no JSON form"):
        run_virtual(_in_pass(setting.client.patch(Widget, KEY, {"spec": object()})))
    assert setting.wrote == []


@pytest.mark.parametrize(
    "metadata", [{"name": "a"}, {"namespace": "default"}, {"name": "a/b", "namespace": "default"}], ids=str
)
def test_a_write_that_no_path_of_the_kind_fits_is_no_write(metadata: dict[str, str]) -> None:
    setting = _Setting()
    with pytest.raises(ValueError, match=r"none is given|has a name|no name"):
        run_virtual(_in_pass(setting.client.update({"metadata": metadata}, resource=Widget.resource)))
    assert (setting.wrote, setting.transport.requests) == ([], [])


def test_no_content_reaches_the_journal() -> None:
    setting = _Setting(answer(200, _wire("2", spec={"token": "hunter2"})), ConnectionFailedError("PUT h:1: reset"))
    widget = _widget()
    widget.spec.token = "hunter2"
    run_virtual(_in_pass(setting.client.update(widget)))
    with pytest.raises(ConnectionFailedError):
        run_virtual(_in_pass(setting.client.patch(Widget, KEY, {"spec": {"token": "hunter2"}})))
    assert len(setting.seen) == 2
    assert "hunter2" not in repr(setting.seen)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda client: client.update(_widget("1")), id="update"),
        pytest.param(lambda client: client.status.update(_widget("1")), id="status update"),
        pytest.param(lambda client: client.update(_wire("1"), resource=Widget.resource), id="untyped update"),
        pytest.param(
            lambda client: client.patch(Widget, KEY, {"metadata": {"resourceVersion": "1"}}),
            id="patch with a resource version",
        ),
        pytest.param(
            lambda client: client.status.patch(Widget, KEY, {"metadata": {"resourceVersion": "1"}, "status": {}}),
            id="status patch with a resource version",
        ),
    ],
)
def test_a_write_with_a_precondition_makes_its_event_own(call: Callable[[Client], Awaitable[Any]]) -> None:
    setting = _Setting(answer(200, _wire("2")))
    run_virtual(_in_pass(_await(call(setting.client))))
    assert setting.ledger.origin("widget", "u", "1", "2") is Origin.OWN
    assert setting.ledger.origin("other", "u", "1", "2") is Origin.FOREIGN


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda client: client.patch(Widget, KEY, {"spec": {"size": 2}}), id="patch without a version"),
        pytest.param(lambda client: client.create(_widget("1")), id="create"),
        pytest.param(lambda client: client.delete(Widget, KEY, resource_version="1"), id="delete"),
    ],
)
def test_a_write_without_a_precondition_and_a_deletion_leave_no_link(
    call: Callable[[Client], Awaitable[Any]],
) -> None:
    setting = _Setting(answer(200, _wire("2")))
    run_virtual(_in_pass(_await(call(setting.client))))
    assert len(setting.ledger) == 0


def test_a_write_outside_of_passes_leaves_no_link() -> None:
    setting = _Setting(answer(200, _wire("2")))
    run_virtual(setting.client.update(_widget("1")))
    assert len(setting.ledger) == 0


def test_an_event_that_comes_before_the_answer_is_undetermined() -> None:
    origins: list[Origin] = []

    def event_first(_: HttpRequest) -> HttpResponse:
        origins.append(setting.ledger.origin("widget", "u", "1", "2"))
        return answer(200, _wire("2"))

    setting = _Setting(event_first)
    run_virtual(_in_pass(setting.client.update(_widget("1"))))
    assert origins == [Origin.UNDETERMINED]
    assert setting.ledger.origin("widget", "u", "1", "2") is Origin.OWN


def test_a_created_object_with_a_generated_name_is_recorded_under_the_name_it_got() -> None:
    setting = _Setting(answer(201, _wire("2")), ConnectionFailedError("POST h:1: reset"))
    widget = Widget(metadata=ObjectMeta(generate_name="w-", namespace="default"))
    run_virtual(setting.client.create(widget))
    with pytest.raises(ConnectionFailedError):
        run_virtual(setting.client.create(widget))
    assert [record.target for record in setting.wrote] == ["widgets default/a", "widgets default/w-*"]


def test_a_new_object_that_cannot_be_sent_is_named_by_what_its_name_begins_with() -> None:
    widget = Widget(metadata=ObjectMeta(generate_name="w-", namespace="default"))
    widget.metadata.labels = {"a": 1}  # type: ignore[dict-item]
    with pytest.raises(ModelError, match=r"^create widgets.example.com default/w-\*: metadata.labels.a holds"):
        run_virtual(_Setting().client.create(widget))


def test_without_journal_and_ledger_writes_go_through() -> None:
    transport = ScriptedTransport([answer(200, _wire("2"))])
    stored = run_virtual(_in_pass(Client(RestClient(transport)).update(_widget("1"))))
    assert stored.metadata.resource_version == "2"
