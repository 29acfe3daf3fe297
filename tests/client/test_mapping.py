"""Kinds by their names: on the embedded server, on a real one, and on scripted ones that fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ObjectKey, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.client import (
    AiohttpTransport,
    ApiResource,
    Client,
    HttpRequest,
    HttpResponse,
    HttpStream,
    JsonObject,
    RestClient,
    RestMapper,
    Transport,
    load_config,
)
from reconciler.clock import LoopClock, LoopWallClock, SystemWallClock
from reconciler.envtest import RealServer
from reconciler.errors import (
    AlreadyExistsError,
    ConnectionFailedError,
    ForbiddenError,
    MalformedObjectError,
    NoMatchError,
    NotFoundError,
    ServerTimeoutError,
    TooManyRequestsError,
)
from reconciler.instant import seconds
from reconciler.testing import InProcessTransport, run_virtual

from .scripted import answer, refusal

GROUP = "mapping.example.com"
NAMESPACES = ResourceType("", "v1", "Namespace", "namespaces", is_namespaced=False)
GADGETS = ResourceType(GROUP, "v1", "Gadget", "gadgets")
OLD_GADGETS = replace(GADGETS, version="v1beta1")
RELICS = ResourceType(GROUP, "v1beta1", "Relic", "relics", is_namespaced=False)
API_SERVICES = ResourceType("apiregistration.k8s.io", "v1", "APIService", "apiservices", is_namespaced=False)


def _crd(resource: ResourceType, *versions: str, **names: Any) -> JsonObject:
    return {
        "metadata": {"name": str(resource)},
        "spec": {
            "group": resource.group,
            "scope": "Namespaced" if resource.is_namespaced else "Cluster",
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                **names,
            },
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": version == versions[0],
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                }
                for version in versions
            ],
        },
    }


async def _install(client: Client) -> None:
    for crd in (
        _crd(GADGETS, "v1", "v1beta1", shortNames=["gd"], categories=["all"]),
        _crd(RELICS, "v1beta1", shortNames=["rl"]),
    ):
        try:
            await client.create(crd, resource=CUSTOM_RESOURCE_DEFINITION)
        except AlreadyExistsError:
            continue  # a real server serves the whole session


class Older:
    """A server from before aggregated discovery: it never sees that it is asked for."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def send(self, request: HttpRequest) -> HttpResponse:
        return await self._transport.send(replace(request, headers={**request.headers, "Accept": "application/json"}))

    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpStream]:
        return self._transport.stream(request)

    async def aclose(self) -> None:
        await self._transport.aclose()


@pytest_asyncio.fixture(params=["embedded", "real"])
async def transport(request: pytest.FixtureRequest) -> AsyncGenerator[Transport, None]:
    if request.param == "embedded":
        found: Transport = InProcessTransport(ApiServer(wall=SystemWallClock()))
    else:
        real: RealServer = request.getfixturevalue("real_server")
        found = AiohttpTransport(await load_config(real.kubeconfig))
    await _install(Client(RestClient(found)))
    await _served(found, GADGETS, OLD_GADGETS, RELICS)
    yield found
    await found.aclose()


async def _served(transport: Transport, *resources: ResourceType) -> None:
    """Wait until the server tells of the kinds: it does so a moment after it knows them."""
    mapper = RestMapper(transport)
    for _ in range(200):
        mapper.invalidate()
        both = [*await mapper.resources(), *await RestMapper(Older(transport)).resources()]
        if all([found.type for found in both].count(resource) == 2 for resource in resources):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the kinds were not served within 10 s")


@pytest.fixture(params=["aggregated", "older"])
def mapper(request: pytest.FixtureRequest, transport: Transport) -> RestMapper:
    return RestMapper(transport if request.param == "aggregated" else Older(transport))


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "where", "expected"),
    [
        ("Gadget", {}, GADGETS),
        ("gadget", {}, GADGETS),
        ("GADGETS", {}, GADGETS),
        ("gadgets", {"group": GROUP}, GADGETS),
        ("gd", {}, GADGETS),
        ("gd", {"group": GROUP, "version": "v1beta1"}, OLD_GADGETS),
        ("Gadget", {"version": "v1beta1"}, OLD_GADGETS),
        (f"gadgets.{GROUP}", {}, GADGETS),
        (f"gd.{GROUP}", {}, GADGETS),
        (f"Gadget.v1beta1.{GROUP}", {}, OLD_GADGETS),
        (f"gadgets.{GROUP}", {"version": "v1beta1"}, OLD_GADGETS),
        ("Relic", {"group": GROUP}, RELICS),
        ("ns", {}, NAMESPACES),
        ("Namespace", {"group": "", "version": "v1"}, NAMESPACES),
        ("namespaces.v1.", {}, NAMESPACES),
        ("crd", {}, CUSTOM_RESOURCE_DEFINITION),
        ("customresourcedefinition", {}, CUSTOM_RESOURCE_DEFINITION),
    ],
)
async def test_a_kind_is_found_by(
    name: str, where: Mapping[str, str], expected: ResourceType, mapper: RestMapper
) -> None:
    assert await mapper.resource_for(name, **where) == expected


@pytest.mark.asyncio
async def test_a_kind_is_found_for_an_object_and_what_is_found_is_what_requests_need(
    transport: Transport, mapper: RestMapper
) -> None:
    resource = await mapper.resource_of({"apiVersion": f"{GROUP}/v1beta1", "kind": "Gadget"})
    assert resource == OLD_GADGETS
    namespaces = await mapper.resource_of({"apiVersion": "v1", "kind": "Namespace"})
    found = await Client(RestClient(transport)).list(namespaces)
    assert "default" in [namespace["metadata"]["name"] for namespace in found]
    for obj in ({}, {"kind": "Gadget"}, {"apiVersion": "v1"}, {"apiVersion": 1, "kind": "Gadget"}):
        with pytest.raises(ValueError, match="an object has apiVersion and kind"):
            await mapper.resource_of(obj)


@pytest.mark.asyncio
async def test_a_description_holds_names_verbs_and_subresources(mapper: RestMapper) -> None:
    found = await mapper.describe("gadgets")
    assert found == ApiResource(
        type=GADGETS,
        singular="gadget",
        short_names=("gd",),
        categories=("all",),
        verbs=found.verbs,
        subresources=("status",),
    )
    assert {"get", "list", "watch", "create", "update", "patch", "delete"} <= set(found.verbs)


@pytest.mark.asyncio
async def test_both_forms_of_discovery_tell_the_same(transport: Transport) -> None:
    aggregated, older = RestMapper(transport), RestMapper(Older(transport))
    told = [
        {replace(found, verbs=tuple(sorted(found.verbs)), subresources=tuple(sorted(found.subresources))): None
         for found in await mapper.resources()}
        for mapper in (aggregated, older)
    ]  # fmt: skip
    # Groups that stand at one priority come in another order.
    assert told[0] == told[1]
    assert (aggregated.failures, older.failures) == ({}, {})


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "where", "says"),
    [
        pytest.param(
            "gadgts", {}, r"^find kind or resource gadgts in any group: 404 the server serves no such kind; "
            rf"near names: Gadget \(gadgets, {GROUP}/v1\), Gadget \(gadgets, {GROUP}/v1beta1\)", id="is misspelled",
        ),
        pytest.param(
            "Gadget", {"group": "other.example.com", "version": "v1"},
            r"^find kind or resource Gadget in other\.example\.com, version v1: 404 the server serves no such kind; "
            rf"it is served as Gadget \(gadgets, {GROUP}/v1\), Gadget ", id="is in another group",
        ),
        pytest.param(
            "Relic", {"group": GROUP, "version": "v1"},
            rf"in {GROUP}, version v1: .*; it is served as Relic \(relics, {GROUP}/v1beta1\)$",
            id="is in another version",
        ),
        pytest.param("gd", {"group": ""}, r"gd in the core group: .*; it is served as Gadget", id="is no core kind"),
        pytest.param(f"gadgts.{GROUP}", {}, rf"resource gadgts in {GROUP}: 404", id="is misspelled beside a group"),
        pytest.param("qqqqqq", {}, r"in any group: 404 the server serves no such kind$", id="is like no other"),
    ],
)  # fmt: skip
async def test_not_found_says_what_was_looked_for_where_and_what_is_near_when_a_name(
    name: str, where: Mapping[str, str], says: str, mapper: RestMapper
) -> None:
    with pytest.raises(NotFoundError, match=says) as caught:
        await mapper.resource_for(name, **where)
    assert (caught.value.status.code, dict(caught.value.status.details)) == (404, {})


@pytest.mark.asyncio
async def test_a_kind_that_was_just_installed_is_found_whoever_missed_it_before(transport: Transport) -> None:
    late = ResourceType("late.example.com", "v1", "Late", "lates")
    client, mapper = Client(RestClient(transport)), RestMapper(transport)
    with pytest.raises(NoMatchError):
        await mapper.resource_for("lates")
    await client.create(_crd(late, "v1"), resource=CUSTOM_RESOURCE_DEFINITION)
    # A real server tells of it a moment after it took it; no answer is an old one of the mapper's. It stays there: the
    # tests after this one would meet a group that is half gone.
    async with asyncio.timeout(20):
        while True:
            with suppress(NoMatchError):
                assert await mapper.resource_for("lates") == late
                break


# --- a group whose server does not answer -----------------------------------------------------------------------------


@pytest_asyncio.fixture
async def broken(real_server: RealServer) -> AsyncGenerator[Transport, None]:
    """A real server with an APIService that nobody serves."""
    transport = AiohttpTransport(await load_config(real_server.kubeconfig))
    client = Client(RestClient(transport))
    service = {
        "metadata": {"name": "v1beta1.broken.example.com"},
        "spec": {
            "group": "broken.example.com",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"namespace": "default", "name": "nobody"},
        },
    }
    await client.create(service, resource=API_SERVICES)
    yield transport
    await client.delete(API_SERVICES, ObjectKey("", "v1beta1.broken.example.com"))
    await transport.aclose()


@pytest.mark.asyncio
@pytest.mark.parametrize("form", ["aggregated", "older"])
async def test_on_a_real_server_an_api_service_that_nobody_serves_hides_nothing_else(
    broken: Transport, form: str
) -> None:
    mapper = RestMapper(broken if form == "aggregated" else Older(broken))
    for _ in range(200):
        mapper.invalidate()
        await mapper.resources()
        if mapper.failures:
            break
        await asyncio.sleep(0.05)
    assert list(mapper.failures) == ["broken.example.com/v1beta1"]
    assert await mapper.resource_for("ns") == NAMESPACES
    with pytest.raises(ServerTimeoutError, match=r"503 broken\.example\.com/v1beta1 could not be read \("):
        await mapper.resource_for("things", group="broken.example.com")
    with pytest.raises(NotFoundError, match=r"no such kind; broken\.example\.com/v1beta1 could not be read \("):
        await mapper.resource_for("qqqqqq")


# --- when it is read --------------------------------------------------------------------------------------------------


@dataclass
class Answers:
    """One answer for each request."""

    left: list[HttpResponse]


class Counting:
    """Answers by path, and counts; what is not told is 404."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = dict(answers)
        self.asked: list[str] = []
        self.accepts: list[str] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.asked.append(request.path)
        self.accepts.append(request.headers["Accept"])
        await asyncio.sleep(0.1)
        found: object = self.answers.get(request.path, answer(404, refusal(404, "NotFound")))
        if isinstance(found, Answers):
            found = found.left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, HttpResponse) else answer(200, found)

    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpStream]:
        raise AssertionError("discovery opens no stream")

    async def aclose(self) -> None:
        raise AssertionError("the transport is not the mapper's")


def _kind(kind: str, plural: str, **more: Any) -> JsonObject:
    return {"resource": plural, "responseKind": {"kind": kind}, "scope": "Namespaced", "verbs": ["get"], **more}


def _aggregated(**groups: Mapping[str, Any]) -> JsonObject:
    """Groups by name (`_` for a dot) with their versions; None as a version's kinds makes it stale."""
    items = [
        {
            "metadata": {"name": name.replace("_", ".")},
            "versions": [
                {"version": version, "freshness": "Current", "resources": kinds}
                if kinds is not None
                else {"version": version, "freshness": "Stale"}
                for version, kinds in versions.items()
            ],
        }
        for name, versions in groups.items()
    ]
    return {"kind": "APIGroupDiscoveryList", "items": items}


CORE = _aggregated(**{"": {"v1": [_kind("Pod", "pods", shortNames=["po"])]}})
ONE = {"/api": CORE, "/apis": _aggregated(a_io={"v1": [_kind("Thing", "things")]})}


def _run(story: Callable[[], Any]) -> None:
    run_virtual(story())


def test_what_is_known_costs_no_request_and_the_first_question_two() -> None:
    async def story() -> None:
        transport = Counting(ONE)
        mapper = RestMapper(transport)
        assert (transport.asked, mapper.failures) == ([], {})
        await asyncio.gather(*(mapper.resource_for(name) for name in ("Thing", "pods", "po", "things") * 25))
        assert sorted(transport.asked) == ["/api", "/apis"]
        await asyncio.sleep(3600)
        await mapper.resource_for("Thing")
        await mapper.resources()
        assert len(transport.asked) == 2
        assert transport.accepts[0].endswith(",application/json")

    _run(story)


def test_a_kind_that_came_later_is_found_and_misses_make_no_storm() -> None:
    async def story() -> None:
        transport = Counting(ONE)
        mapper = RestMapper(transport)
        await mapper.resource_for("Thing")
        transport.answers["/apis"] = _aggregated(a_io={"v1": [_kind("Thing", "things"), _kind("Late", "lates")]})
        # Given a reading a moment ago, a miss makes another one at once, and once for all who ask;
        found = await asyncio.gather(*(mapper.resource_for("Late") for _ in range(50)))
        assert ({resource.plural for resource in found}, len(transport.asked)) == ({"lates"}, 4)
        # whoever asks while a reading is under way is not told of what it may have missed;
        later = _aggregated(a_io={"v1": [_kind("Later", "laters")]})
        transport.answers["/apis"] = Answers([answer(200, ONE["/apis"]), answer(200, later)])
        mapper.invalidate()
        early = asyncio.create_task(mapper.resource_for("Later"))
        await asyncio.sleep(0.05)
        assert (await mapper.resource_for("Later")).plural == "laters"
        with pytest.raises(NotFoundError):
            await early
        assert len(transport.asked) == 8
        transport.answers["/apis"] = later
        # and who repeats a miss waits, so that there are no more readings than the interval allows.
        start, asked = LoopClock().now(), len(transport.asked)
        for _ in range(60):
            with pytest.raises(NotFoundError):
                await mapper.resource_for("never")
        assert LoopClock().now() - start >= seconds(59)
        assert len(transport.asked) == asked + 2 * 60

    _run(story)


def test_an_empty_name_is_refused_before_anything_is_asked() -> None:
    async def story() -> None:
        transport = Counting(ONE)
        for where in ({}, {"group": ""}, {"group": "a.io", "version": "v1"}):
            with pytest.raises(ValueError, match="this one is empty"):
                await RestMapper(transport).resource_for("", **where)
        assert transport.asked == []

    _run(story)


def test_on_the_embedded_server_a_definition_that_was_just_made_is_found_whoever_missed_it_before() -> None:
    async def story() -> None:
        transport = InProcessTransport(ApiServer(wall=LoopWallClock()))
        client, mapper = Client(RestClient(transport)), RestMapper(transport)
        with pytest.raises(NotFoundError):
            await mapper.resource_for("Gadget")
        await _install(client)
        # By a name that nobody missed it is found at once, by the missed one a moment later.
        assert await mapper.resource_for("gd") == GADGETS
        assert LoopClock().now() < seconds(1)
        assert await mapper.resource_for("Gadget") == GADGETS
        assert LoopClock().now() <= seconds(1)

    _run(story)


def test_what_was_asked_for_before_invalidate_is_asked_for_again_after_it() -> None:
    async def story() -> None:
        transport = Counting(ONE)
        mapper = RestMapper(transport)
        reading = asyncio.create_task(mapper.resource_for("Thing"))
        await asyncio.sleep(0.05)
        mapper.invalidate()
        await reading
        await mapper.resource_for("Thing")
        await mapper.resource_for("Thing")
        assert len(transport.asked) == 4

    _run(story)


def test_all_who_wait_for_one_reading_get_its_failure_and_the_next_question_tries_again() -> None:
    async def story() -> None:
        transport = Counting({**ONE, "/apis": ConnectionFailedError("GET a:1: no answer within 30 s")})
        mapper = RestMapper(transport)
        ends = await asyncio.gather(*(mapper.resource_for("Thing") for _ in range(20)), return_exceptions=True)
        assert {str(end) for end in ends} == {"GET a:1: no answer within 30 s"}
        assert len(transport.asked) == 2
        transport.answers.update(ONE)
        assert (await mapper.resource_for("Thing")).plural == "things"

    _run(story)


def test_a_server_that_fails_later_leaves_what_is_known() -> None:
    async def story() -> None:
        transport = Counting(ONE)
        mapper = RestMapper(transport)
        await mapper.resource_for("Thing")
        transport.answers["/apis"] = answer(403, refusal(403, "Forbidden", "not you"))
        await asyncio.sleep(10)
        with pytest.raises(ForbiddenError, match=r"^discover /apis: 403 not you$"):
            await mapper.resource_for("Late")
        assert (await mapper.resource_for("Thing")).plural == "things"

    _run(story)


def test_a_question_that_is_cancelled_leaves_the_next_one_to_read() -> None:
    async def story() -> None:
        transport = Counting(ONE)
        mapper = RestMapper(transport)
        first, second = (asyncio.create_task(mapper.resource_for("Thing")) for _ in range(2))
        await asyncio.sleep(0.05)
        first.cancel()
        assert (await second).plural == "things"
        assert (first.cancelled(), len(transport.asked)) == (True, 4)

    _run(story)


def test_a_429_that_names_a_time_is_waited_out_and_one_that_asks_for_too_much_is_raised() -> None:
    async def story() -> None:
        busy = answer(429, refusal(429, "TooManyRequests"), retry_after="2")
        mapper = RestMapper(Counting({"/api": CORE, "/apis": Answers([busy, busy, answer(200, ONE["/apis"])])}))
        assert (await mapper.resource_for("Thing")).plural == "things"
        assert LoopClock().now() == seconds(4.3)
        for many in (
            [answer(429, refusal(429, "TooManyRequests"), retry_after="31")],
            [answer(429, refusal(429, "TooManyRequests"))],
            [busy] * 11,
        ):
            with pytest.raises(TooManyRequestsError, match=r"^discover /apis: 429 no$"):
                await RestMapper(Counting({"/api": CORE, "/apis": Answers(many)})).resource_for("Thing")

    _run(story)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html>welcome</html>", "discover /apis: the answer is not a discovery document: "),
        (b"{}", "discover /apis: the answer is not a discovery document: .*missing required field"),
        (b'{"kind": "Pod"}', "discover /apis: the answer is no list of groups but Pod$"),
        (b'{"kind": "APIGroupList", "groups": [{"name": 1}]}', "not a discovery document: .*groups"),
        (b"\xff", "discover /apis: the answer is not a discovery document: "),
    ],
)
def test_an_answer_that_is_no_discovery_is_named(body: bytes, says: str) -> None:
    async def story() -> None:
        with pytest.raises(MalformedObjectError, match=says):
            await RestMapper(Counting({"/api": CORE, "/apis": answer(200, body)})).resource_for("Thing")

    _run(story)


# --- groups that fail, scripted ---------------------------------------------------------------------------------------


def _list(*resources: JsonObject) -> JsonObject:
    return {"kind": "APIResourceList", "resources": list(resources)}


OLDER: Mapping[str, Any] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "groups": [
            {
                "name": "a.io",
                "versions": [{"version": "v2beta1"}, {"version": "v1"}],
                "preferredVersion": {"version": "v1"},
            },
            {"name": "b.io", "versions": [{"version": "v1"}]},
        ],
    },
    "/api/v1": _list({"name": "pods", "kind": "Pod", "namespaced": True}, {"name": "pods/log", "kind": "Pod"}),
    "/apis/a.io/v1": _list({"name": "things", "kind": "Thing", "namespaced": True}),
    "/apis/a.io/v2beta1": _list({"name": "things", "kind": "Thing"}, {"name": "news", "kind": "New"}),
    "/apis/b.io/v1": _list({"name": "things", "kind": "Thing"}, {"name": "others", "kind": "Other"}),
}


def test_the_preferred_version_comes_first_and_the_others_serve_what_it_has_not() -> None:
    async def story() -> None:
        mapper = RestMapper(Counting(OLDER))
        assert await mapper.resource_for("Thing") == ResourceType("a.io", "v1", "Thing", "things")
        assert (await mapper.resource_for("New")).version == "v2beta1"
        assert (await mapper.resource_for("Thing", group="b.io")).is_namespaced is False
        assert (await mapper.describe("pod")).subresources == ("log",)

    _run(story)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        pytest.param(answer(503, b"upstream is away"), "503 upstream is away", id="is refused"),
        pytest.param(ConnectionFailedError("GET h:1: reset"), "GET h:1: reset", id="breaks"),
        pytest.param(answer(200, b"<html>"), "discover /apis/b.io/v1: the answer is not", id="is no discovery"),
        pytest.param(answer(404, b"gone"), "404 gone", id="is gone meanwhile"),
    ],
)
def test_others_are_found_where_the_document_of_one_group(failure: Any, words: str) -> None:
    async def story() -> None:
        transport = Counting({**OLDER, "/apis/b.io/v1": failure})
        mapper = RestMapper(transport)
        assert (await mapper.resource_for("Thing")).group == "a.io"
        assert list(mapper.failures) == ["b.io/v1"]
        assert mapper.failures["b.io/v1"].startswith(words)
        # In that group it may be there: it is not said to be missing.
        for question in (mapper.resource_for("Other", group="b.io"), mapper.resource_for("others.b.io")):
            with pytest.raises(ServerTimeoutError, match=r"Other|others") as caught:
                await question
            assert f"b.io/v1 could not be read ({words}" in str(caught.value)
        with pytest.raises(NotFoundError, match=r"no such kind; .*b\.io/v1 could not be read"):
            await mapper.resource_for("Other")

    _run(story)


def test_a_group_that_fails_later_keeps_the_kinds_that_were_known_of_it() -> None:
    async def story() -> None:
        first = _aggregated(a_io={"v1": [_kind("Thing", "things")]}, b_io={"v1": [_kind("Other", "others")]})
        transport = Counting({"/api": CORE, "/apis": first})
        mapper = RestMapper(transport)
        await mapper.resource_for("Other")
        later = _aggregated(b_io={"v1": None}, c_io={"v1": [_kind("Late", "lates")]})
        transport.answers["/apis"] = later
        for _ in range(2):
            mapper.invalidate()
            assert (await mapper.resource_for("Other")).group == "b.io"
        assert mapper.failures == {"b.io/v1": "the server behind it does not answer"}
        # A group that is served no more is gone, and a new one is there.
        assert (await mapper.resource_for("Late")).group == "c.io"
        with pytest.raises(NotFoundError):
            await mapper.resource_for("Thing")

    _run(story)


def test_a_server_without_the_core_group_serves_the_others() -> None:
    async def story() -> None:
        mapper = RestMapper(Counting({"/apis": ONE["/apis"]}))
        assert (await mapper.resource_for("Thing")).plural == "things"
        with pytest.raises(ServerTimeoutError, match=r"Pod in the core group: 503 v1 could not be read \(404 no\)"):
            await mapper.resource_for("Pod", group="")

    _run(story)


def test_a_short_name_counts_only_where_no_other_name_fits_and_a_resource_without_a_kind_is_none() -> None:
    async def story() -> None:
        kinds: list[JsonObject] = [
            _kind("Thing", "things", shortNames=["other"]),
            {"resource": "bare", "subresources": []},
        ]
        groups = _aggregated(a_io={"v1": kinds}, b_io={"v1": [_kind("Other", "others", singularResource="other")]})
        mapper = RestMapper(Counting({"/api": CORE, "/apis": groups}))
        assert (await mapper.resource_for("other")).group == "b.io"
        assert (await mapper.resource_for("other", group="a.io")).plural == "things"
        assert [found.type.plural for found in await mapper.resources()] == ["pods", "things", "others"]

    _run(story)


def test_a_long_list_of_places_is_cut_short() -> None:
    async def story() -> None:
        groups = {f"g{number}_io": {"v1": [_kind("Thing", "things")]} for number in range(8)}
        mapper = RestMapper(Counting({"/api": CORE, "/apis": _aggregated(**groups)}))
        with pytest.raises(NotFoundError, match=r"Thing \(things, g4\.io/v1\) and 3 more$"):
            await mapper.resource_for("Thing", group="h.io")

    _run(story)


def test_ten_thousand_kinds_are_found_without_a_search() -> None:
    async def story() -> None:
        kinds = [_kind(f"Kind{number}", f"kind{number}s") for number in range(10_000)]
        mapper = RestMapper(Counting({"/api": CORE, "/apis": json.loads(json.dumps(_aggregated(a_io={"v1": kinds})))}))
        for number in range(10_000):
            assert (await mapper.resource_for(f"Kind{number}")).plural == f"kind{number}s"

    _run(story)
