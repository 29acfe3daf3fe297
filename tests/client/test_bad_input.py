"""What is too big, no JSON or not there: each error says what was asked for, of which object, and why not."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest
import pytest_asyncio

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ApiModel, KubeObject, ObjectKey, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.client import AiohttpTransport, Client, JsonObject, RestClient, Transport, load_config
from reconciler.clock import SystemWallClock
from reconciler.envtest import RealServer
from reconciler.errors import AlreadyExistsError, ApiError, MalformedObjectError, NotFoundError
from reconciler.testing import InProcessTransport, run_virtual

from .scripted import ScriptedTransport, answer

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
    with suppress(AlreadyExistsError):  # a real server serves the whole session
        await found.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
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
    with pytest.raises(ApiError, match=rf"^create boxes\.bad\.example\.com.*: {code} .*{reason}") as caught:
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
    with pytest.raises(NotFoundError, match=r"^get ghosts\.bad\.example\.com a: 404 404 page not found$"):
        await client.get(ghosts, ObjectKey("", "a"))


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
