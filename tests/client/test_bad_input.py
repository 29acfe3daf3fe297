"""What is too big, no JSON or not there: each error says what was asked for, of which object, and why not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from uuid import UUID

import pytest
import pytest_asyncio
import trustme
from pydantic import Field, field_validator

from reconciler.api import ApiModel, KubeObject, ObjectKey, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.client import (
    AiohttpTransport,
    Client,
    ClientConfig,
    JsonObject,
    RestClient,
    RestMapper,
    Transport,
    load_config,
)
from reconciler.clock import SystemWallClock
from reconciler.envtest import RealServer
from reconciler.errors import (
    ApiError,
    BadRequestError,
    ConnectionFailedError,
    MalformedObjectError,
    NoMatchError,
    NotFoundError,
)
from reconciler.testing import InProcessTransport, run_virtual

from .scripted import ScriptedTransport, answer, refusal
from .test_servers import _install

BOXES = ResourceType("bad.example.com", "v1", "Box", "boxes", is_namespaced=False)
CRD: JsonObject = {
    "metadata": {"name": "boxes.bad.example.com"},
    "spec": {
        "group": "bad.example.com",
        "scope": "Cluster",
        "names": {"kind": "Box", "listKind": "BoxList", "plural": "boxes", "singular": "box"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


class BoxSpec(ApiModel):
    size: int


class Box(KubeObject):
    resource = BOXES
    spec: BoxSpec


@pytest_asyncio.fixture(params=["embedded", "real"])
async def client(request: pytest.FixtureRequest) -> AsyncGenerator[Client, None]:
    if request.param == "embedded":
        transport: Transport = InProcessTransport(ApiServer(wall=SystemWallClock()))
    else:
        real: RealServer = request.getfixturevalue("real_server")
        transport = AiohttpTransport(await load_config(real.kubeconfig))
    found = Client(RestClient(transport))
    await _install(found, CRD, BOXES)
    yield found
    await transport.aclose()


def _fields(mib: int) -> JsonObject:
    return {"size": 1, **{f"f{number}": "x" * 1024 for number in range(1024 * mib)}}


@pytest.mark.asyncio
@pytest.mark.parametrize("client", ["real"], indirect=True)  # the embedded server has no such limits
@pytest.mark.parametrize(
    ("mib", "code", "reason"),
    [
        pytest.param(2, 500, "trying to send message larger than max", id="etcd"),
        pytest.param(4, 413, "Request entity too large: limit is 3145728", id="the API server"),
    ],
)
async def test_a_write_says_verb_resource_name_and_reason_where_an_object_is_too_big_for(
    mib: int, code: int, reason: str, client: Client
) -> None:
    name, big = f"big-{mib}", _fields(mib)
    with pytest.raises(ApiError, match=rf"^create boxes\.bad\.example\.com {name}: {code} .*{reason}") as caught:
        await client.create({"metadata": {"name": name}, "spec": big}, resource=BOXES)
    assert caught.value.status.code == code
    obj = await client.create({"metadata": {"name": name}, "spec": _fields(0)}, resource=BOXES)
    with pytest.raises(ApiError, match=rf"^update boxes\.bad\.example\.com {name}: {code} .*{reason}"):
        await client.update({**obj, "spec": big}, resource=BOXES)
    with pytest.raises(ApiError, match=rf"^patch boxes\.bad\.example\.com {name}: {code} .*{reason}"):
        await client.patch(BOXES, ObjectKey("", name), {"spec": big})
    # The object is as it was, and the connection goes on.
    assert (await client.get(BOXES, ObjectKey("", name)))["spec"] == {"size": 1}
    await client.delete(BOXES, ObjectKey("", name))


@pytest.mark.asyncio
async def test_an_object_of_one_mib_goes_to_the_server_and_back(client: Client) -> None:
    spec = _fields(1)
    created = await client.create({"metadata": {"name": "fits"}, "spec": spec}, resource=BOXES)
    assert created["spec"] == spec
    assert (await client.get(BOXES, ObjectKey("", "fits")))["spec"] == spec
    await client.delete(BOXES, ObjectKey("", "fits"))


@pytest.mark.asyncio
async def test_a_kind_that_the_server_does_not_know_is_named_with_the_object(client: Client) -> None:
    ghosts = ResourceType("bad.example.com", "v1", "Ghost", "ghosts", is_namespaced=False)
    with pytest.raises(NoMatchError, match=r"^get ghosts\.bad\.example\.com a: 404 page not found; is the kind ins"):
        await client.get(ghosts, ObjectKey("", "a"))
    with pytest.raises(NoMatchError, match=r"^create ghosts\.bad\.example\.com a: 404 page not found; is the kin"):
        await client.create({"metadata": {"name": "a"}}, resource=ghosts)
    # Other code takes it for what it was: not found.
    with pytest.raises(NotFoundError, match=r"^list ghosts\.bad\.example\.com: 404"):
        await client.list(ghosts)
    # An object that is not there is no such error.
    with pytest.raises(NotFoundError, match=r"^get boxes\.bad\.example\.com a: 404") as caught:
        await client.get(BOXES, ObjectKey("", "a"))
    assert not isinstance(caught.value, NoMatchError)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>hunter2</html>", id="a page"),
        pytest.param(b'{"metadata": {"name": "a"}, "spec": {"secret": "hunter2', id="half an object"),
        pytest.param(b"", id="nothing"),
        pytest.param(b'["hunter2"]', id="a list"),
        pytest.param(b'\xff"hunter2"', id="no text"),
    ],
)
@pytest.mark.parametrize("kind", [BOXES, Box], ids=["untyped", "typed"])
def test_an_answer_is_refused_that_is_no_object_but(body: bytes, kind: type[Box] | ResourceType) -> None:
    async def main() -> None:
        client = Client(RestClient(ScriptedTransport([answer(200, body)] * 3)))
        for asking in (client.get(kind, ObjectKey("", "a")), client.list(kind)):
            with pytest.raises(MalformedObjectError, match=r"boxes\.bad\.example\.com") as caught:
                await asking
            assert "hunter2" not in str(caught.value)

    run_virtual(main())


def test_half_a_line_of_a_watch_is_named_after_the_whole_ones_before_it() -> None:
    whole = b'{"type": "ADDED", "object": {"metadata": {"name": "a"}, "spec": {"size": 1}}}'

    async def main() -> None:
        client = Client(RestClient(ScriptedTransport([answer(200, whole + b"\n" + whole[:40])])))
        async with client.watch(Box) as events:
            seen = (await anext(events)).object
            assert (seen.metadata.name, seen.spec) == ("a", BoxSpec(size=1))
            with pytest.raises(MalformedObjectError, match=r"^watch boxes\.bad\.example\.com: a line is not an event"):
                await anext(events)

    run_virtual(main())


# --- each verb says what it was about ---------------------------------------------------------------------------------

KEY = ObjectKey("", "a")
OBJ: JsonObject = {"metadata": {"name": "a", "resourceVersion": "1"}, "spec": {"size": 1}}
BOX = Box.from_json(b'{"metadata": {"name": "a", "resourceVersion": "1"}, "spec": {"size": 1}}')


async def _first_of_watch(client: Client) -> None:
    async with client.watch(BOXES) as events:
        await anext(events)


Verb = Callable[[Client], Awaitable[object]]
VERBS: dict[str, Verb] = {
    "get boxes.bad.example.com a": lambda client: client.get(Box, KEY),
    "list boxes.bad.example.com": lambda client: client.list(Box),
    "list boxes.bad.example.com, by pages": lambda client: anext(client.pages(Box)),
    "list boxes.bad.example.com, one by one": lambda client: anext(client.iterate(BOXES)),
    "watch boxes.bad.example.com": _first_of_watch,
    "create boxes.bad.example.com a": lambda client: client.create(BOX),
    "create boxes.bad.example.com a, untyped": lambda client: client.create(OBJ, resource=BOXES),
    "create boxes.bad.example.com b-*": lambda client: client.create(
        {"metadata": {"generateName": "b-"}}, resource=BOXES
    ),
    "update boxes.bad.example.com a": lambda client: client.update(BOX),
    "patch boxes.bad.example.com a": lambda client: client.patch(Box, KEY, {"spec": {"size": 2}}),
    "apply boxes.bad.example.com a": lambda client: client.apply(BOX, field_owner="me"),
    "delete boxes.bad.example.com a": lambda client: client.delete(Box, KEY),
    "delete all boxes.bad.example.com": lambda client: client.delete_collection(Box),
    "update status of boxes.bad.example.com a": lambda client: client.status.update(BOX),
    "patch status of boxes.bad.example.com a": lambda client: client.status.patch(BOXES, KEY, {"status": {}}),
    "apply status of boxes.bad.example.com a": lambda client: client.status.apply(BOX, field_owner="me"),
    "get scale of boxes.bad.example.com a": lambda client: client.subresource("scale").get(BOXES, KEY),
    "create scale of boxes.bad.example.com a": lambda client: client.subresource("scale").create(BOXES, KEY, OBJ),
    "update scale of boxes.bad.example.com a": lambda client: client.subresource("scale").update(BOXES, KEY, OBJ),
    "patch scale of boxes.bad.example.com a": lambda client: client.subresource("scale").patch(BOXES, KEY, OBJ),
}


@pytest.mark.parametrize("what", VERBS)
@pytest.mark.parametrize("body", [b"<html>hunter2</html>", b'{"spec": "hunter2', b"", b'\xff"hunter2"', b'["hunter2"]'])
def test_a_body_that_is_no_json_object_is_named_with_verb_and_object_and_is_not_quoted_by(
    what: str, body: bytes
) -> None:
    client, doing = Client(RestClient(ScriptedTransport([answer(200, body)]))), what.partition(",")[0]

    async def main() -> None:
        if what.startswith("watch") and not body:
            with pytest.raises(StopAsyncIteration):  # a watch without a line is one that ended
                await VERBS[what](client)
            return
        with pytest.raises(MalformedObjectError) as caught:
            await VERBS[what](client)
        assert str(caught.value).startswith(f"{doing}: ")
        assert caught.value.doing == doing
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None or caught.value.__suppress_context__

    run_virtual(main())


@pytest.mark.parametrize("what", VERBS)
def test_a_refusal_is_named_with_verb_object_and_the_servers_reason_by(what: str) -> None:
    client = Client(RestClient(ScriptedTransport([answer(500, refusal(500, "InternalError", "etcd is away"))])))
    doing = what.partition(",")[0]

    async def main() -> None:
        with pytest.raises(ApiError) as caught:
            await VERBS[what](client)
        assert str(caught.value) == f"{doing}: 500 etcd is away"
        assert caught.value.doing == doing

    run_virtual(main())


@pytest.mark.asyncio
@pytest.mark.parametrize("what", VERBS)
async def test_no_answer_is_named_with_verb_object_and_server_by(what: str) -> None:
    doing = what.partition(",")[0]
    async with AiohttpTransport(ClientConfig.for_host("http://127.0.0.1:1")) as transport:
        with pytest.raises(ConnectionFailedError) as caught:
            await VERBS[what](Client(RestClient(transport)))
    assert str(caught.value).startswith(f"{doing}: ")
    assert str(caught.value).endswith(" 127.0.0.1:1: connection refused")
    assert caught.value.doing == doing


@pytest.mark.asyncio
async def test_discovery_names_its_path_where_it_is_refused_not_answered_or_no_json() -> None:
    for found, kind, says in (
        (answer(200, b"<html>hunter2"), MalformedObjectError, "discover /api: the answer is not a discovery document"),
        (answer(403, refusal(403, "Forbidden", "not you")), ApiError, "discover /apis: 403 not you"),
    ):
        with pytest.raises(kind) as caught:
            await RestMapper(ScriptedTransport([found] * 2)).resource_for("boxes")
        assert str(caught.value).startswith(says)
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None
    async with AiohttpTransport(ClientConfig.for_host("http://127.0.0.1:1")) as transport:
        with pytest.raises(ConnectionFailedError, match=r"^discover /apis: GET 127\.0\.0\.1:1: connection refused$"):
            await RestMapper(transport).resource_for("boxes")


# --- models -----------------------------------------------------------------------------------------------------------


class Named(ApiModel):
    kind: Literal["named"]


class Sized(ApiModel):
    kind: Literal["sized"]


class Strict(KubeObject):
    resource = BOXES
    spec: Named | Sized = Field(discriminator="kind")
    even: int = 0
    id: UUID | None = None

    @field_validator("even")
    @classmethod
    def _is_even(cls, value: int) -> int:
        if value % 2:
            raise ValueError(f"{value} is odd")
        return value


def test_a_model_names_the_fields_that_do_not_fit_and_no_value_not_even_in_its_authors_words() -> None:
    wire = {"metadata": {"name": "a"}, "spec": {"kind": "hunter2"}, "even": 424243, "id": "hunter2"}

    async def main() -> None:
        with pytest.raises(MalformedObjectError) as caught:
            await Client(RestClient(ScriptedTransport([answer(200, wire)]))).get(Strict, KEY)
        assert str(caught.value) == (
            "get boxes.bad.example.com a: a does not fit the model Strict: spec: refused by the model "
            "(union_tag_invalid); even: refused by the model (value_error); id: refused by the model (uuid_parsing)"
        )

    run_virtual(main())


@pytest.mark.asyncio
async def test_a_model_that_does_not_fit_what_the_server_holds_names_object_and_field(client: Client) -> None:
    await client.create({"metadata": {"name": "odd"}, "spec": {"size": "hunter2"}}, resource=BOXES)
    said = r"odd does not fit the model Box: spec\.size: Input should be a valid integer"
    with pytest.raises(MalformedObjectError, match=rf"^get boxes\.bad\.example\.com odd: {said}") as caught:
        await client.get(Box, ObjectKey("", "odd"))
    assert "hunter2" not in str(caught.value)
    with pytest.raises(MalformedObjectError, match=rf"^list boxes\.bad\.example\.com: {said}"):
        await client.list(Box)
    # A dictionary takes everything, so the object can be looked at and mended.
    odd = await client.get(BOXES, ObjectKey("", "odd"))
    assert odd["spec"] == {"size": "hunter2"}
    await client.delete(BOXES, ObjectKey("", "odd"))


# --- selectors --------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("selector", "reason"),
    [
        pytest.param({"label_selector": "a in (b"}, "unable to parse requirement: ", id="labels, half a list"),
        pytest.param({"label_selector": "a b"}, "unable to parse requirement: ", id="labels, two words"),
        pytest.param({"field_selector": "metadata.name"}, "invalid selector: 'metadata.name'", id="no operator"),
        pytest.param({"field_selector": "spec.none=1"}, "field label not supported: spec.none", id="no such field"),
    ],
)
async def test_a_selector_of_bad_syntax_is_refused_with_the_servers_reason(
    selector: dict[str, str], reason: str, client: Client
) -> None:
    async def watch() -> None:
        async with client.watch(BOXES, **selector, timeout_seconds=1):
            pass  # not reached

    with pytest.raises(BadRequestError, match=f"^list boxes.bad.example.com: 400 {reason}"):
        await client.list(BOXES, **selector)
    with pytest.raises(BadRequestError, match=f"^watch boxes.bad.example.com: 400 {reason}"):
        await watch()
    with pytest.raises(BadRequestError, match=f"^delete all boxes.bad.example.com: 400 {reason}"):
        await client.delete_collection(BOXES, **selector)


# --- time-outs and certificates ---------------------------------------------------------------------------------------


@asynccontextmanager
async def _server(said: bytes, tls: ssl.SSLContext | None = None) -> AsyncGenerator[int, None]:
    """A server that says these bytes to each request, and then nothing."""
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await done.wait()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]
        done.set()


@pytest.mark.asyncio
@pytest.mark.parametrize("what", VERBS)
@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(
            b"HTTP/1.1 500 Oh\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{", id="a beginning"
        ),
    ],
)
async def test_every_request_ends_at_the_clients_time_out_where_a_server_says(said: bytes, what: str) -> None:
    async with (
        _server(said) as port,
        AiohttpTransport(ClientConfig.for_host(f"http://127.0.0.1:{port}"), timeout_seconds=600) as transport,
    ):
        client = Client(RestClient(transport, timeout_seconds=0.05))
        with pytest.raises(ConnectionFailedError, match=r"within 0\.05 s$") as caught:
            await VERBS[what](client)
    assert str(caught.value).startswith(f"{what.partition(',')[0]}: ")


@pytest.mark.asyncio
async def test_discovery_ends_at_its_time_out() -> None:
    async with (
        _server(b"") as port,
        AiohttpTransport(ClientConfig.for_host(f"http://127.0.0.1:{port}"), timeout_seconds=600) as transport,
    ):
        with pytest.raises(ConnectionFailedError, match=r"^discover /apis: GET 127.*: no answer within 0\.05 s$"):
            await RestMapper(transport, timeout_seconds=0.05).resource_for("boxes")


@pytest.mark.asyncio
async def test_an_expired_certificate_of_the_server_is_named_with_verb_and_object(tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    old = {"not_before": datetime(2020, 1, 1, tzinfo=UTC), "not_after": datetime(2021, 1, 1, tzinfo=UTC)}
    authority.issue_cert("127.0.0.1", **old).configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with _server(b"", context) as port:
        config = ClientConfig.for_host(f"https://127.0.0.1:{port}", ca_file=tmp_path / "ca.pem")
        async with AiohttpTransport(config) as transport:
            said = "the server's certificate is not trusted: certificate has expired"
            with pytest.raises(ConnectionFailedError, match=rf"^get boxes\.bad\.example\.com a: GET 127.*: {said}$"):
                await Client(RestClient(transport)).get(BOXES, KEY)
