"""The embedded server over HTTPS: who is let in, what is streamed when, and what is left behind."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import os
import ssl
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from reconciler.apiserver import ApiServer
from reconciler.apiserver.http import Address, serve
from reconciler.apiserver.kubeconfig import write_kubeconfig
from reconciler.clock import SystemWallClock

NAMESPACES = "/api/v1/namespaces"
EVENTS = "/api/v1/namespaces/default/events"


@asynccontextmanager
async def client(address: Address, *, token: str | None = None) -> AsyncGenerator[aiohttp.ClientSession]:
    context = ssl.create_default_context(cadata=address.ca_pem.decode())
    headers = {"Authorization": f"Bearer {address.token if token is None else token}"}
    async with aiohttp.ClientSession(
        base_url=address.url, headers=headers, connector=aiohttp.TCPConnector(ssl=context)
    ) as session:
        yield session


def make_server() -> ApiServer:
    return ApiServer(wall=SystemWallClock())


def event(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Event", "metadata": {"name": name}}


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # what it waits for is the server's own business
            await asyncio.sleep(0.005)


@pytest.mark.asyncio
async def test_whoever_has_the_token_is_let_in() -> None:
    async with serve(make_server()) as address, client(address) as session, session.get(NAMESPACES) as answer:
        assert answer.status == 200
        assert answer.content_type == "application/json"
        assert (await answer.json())["kind"] == "NamespaceList"


@pytest.mark.asyncio
@pytest.mark.parametrize("token", ["", "wrong"])
async def test_whoever_has_not_gets_401_and_a_status(token: str) -> None:
    async with (
        serve(make_server()) as address,
        client(address, token=token) as session,
        session.get(NAMESPACES) as answer,
    ):
        body = await answer.json()
    assert (answer.status, body["kind"], body["reason"], body["message"]) == (401, "Status", *["Unauthorized"] * 2)


@pytest.mark.asyncio
async def test_the_health_paths_need_no_token() -> None:
    async with serve(make_server()) as address, client(address, token="") as session:
        for path in ("/healthz", "/readyz", "/livez"):
            async with session.get(path) as answer:
                assert (answer.status, await answer.text()) == (200, "ok")
        for path in ("/healthz/", "/healthzz", "/version", "/openapi/v2", "/"):
            async with session.get(path) as answer:
                assert answer.status == 401


@pytest.mark.asyncio
async def test_neither_token_nor_request_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serve(make_server(), token="s3cret-token") as address:
        assert "s3cret-token" not in repr(address)
        async with client(address) as session, session.get(NAMESPACES):
            pass
        async with client(address, token="an0ther-secret") as session, session.get(NAMESPACES):
            pass
    assert "s3cret" not in caplog.text
    assert "an0ther" not in caplog.text


@pytest.mark.asyncio
async def test_an_event_is_sent_at_once_and_the_headers_before_it() -> None:
    server = make_server()
    async with serve(server) as address, client(address) as session:
        async with asyncio.timeout(5), session.get(EVENTS, params={"watch": "1"}) as stream:
            assert stream.status == 200  # nothing has happened yet
            async with session.post(EVENTS, json=event("e")) as created:
                assert created.status == 201
            line = json.loads(await stream.content.readline())
        assert (line["type"], line["object"]["metadata"]["name"]) == ("ADDED", "e")


@pytest.mark.asyncio
async def test_a_client_that_goes_away_lets_go_of_its_watch(caplog: pytest.LogCaptureFixture) -> None:
    server = make_server()
    async with serve(server) as address:
        async with client(address) as session, session.get(EVENTS, params={"watch": "1"}):
            await until(lambda: server.open_watches == 1)
        await until(lambda: server.open_watches == 0)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.asyncio
async def test_the_end_of_the_server_ends_its_watches_and_is_quick() -> None:
    server = make_server()
    loop = asyncio.get_running_loop()
    async with serve(server) as address:
        session_context = client(address)
        session = await session_context.__aenter__()
        stream = await session.get(EVENTS, params={"watch": "1"})
        await until(lambda: server.open_watches == 1)
        began = loop.time()
    assert loop.time() - began < 1.5
    assert await stream.content.read() == b""  # a whole answer, not a broken one
    assert server.open_watches == 0
    await session_context.__aexit__(None, None, None)


@pytest.mark.asyncio
async def test_a_server_keeps_what_it_holds_when_it_is_served_again() -> None:
    server = make_server()
    async with serve(server) as address, client(address) as session, session.post(EVENTS, json=event("e")) as created:
        assert created.status == 201
    async with serve(server, port=address.port) as again, client(again) as session:
        async with session.get(f"{EVENTS}/e") as answer:
            assert answer.status == 200
        async with session.get(EVENTS, params={"watch": "1", "timeoutSeconds": "1"}) as stream:
            assert json.loads(await stream.content.readline())["type"] == "ADDED"


@pytest.mark.asyncio
async def test_a_port_that_is_taken_is_an_error() -> None:
    async with serve(make_server()) as address:
        with pytest.raises(OSError, match="address already in use"):
            async with serve(make_server(), port=address.port):
                pass


@pytest.mark.asyncio
async def test_a_body_that_is_too_large_gets_413() -> None:
    large = io.BytesIO(b"x" * (3 * 1024 * 1024 + 1))
    async with (
        serve(make_server()) as address,
        client(address) as session,
        session.post(EVENTS, data=large) as answer,
    ):
        body = await answer.json()
    assert (answer.status, body["reason"]) == (413, "RequestEntityTooLarge")


@pytest.mark.asyncio
async def test_a_fault_inside_the_server_is_a_500_that_says_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("the reason")

    server = make_server()
    monkeypatch.setattr(server, "handle", fail)
    async with serve(server) as address, client(address) as session, session.get(NAMESPACES) as answer:
        text = await answer.text()
    assert (answer.status, json.loads(text)["reason"]) == (500, "InternalError")
    assert "the reason" not in text
    assert "the reason" in caplog.text


# --- kubeconfig -------------------------------------------------------------------------------------------------------

ADDRESS = Address("127.0.0.1", 1234, b"the CA", "the token")


def test_a_kubeconfig_is_for_its_owner_alone_and_says_all(tmp_path: Path) -> None:
    written = write_kubeconfig(tmp_path / "config", ADDRESS, namespace="ns")
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    config = yaml.safe_load(written.read_text())
    [cluster], [user], [context] = config["clusters"], config["users"], config["contexts"]
    assert cluster["cluster"]["server"] == "https://127.0.0.1:1234"
    assert base64.b64decode(cluster["cluster"]["certificate-authority-data"]) == b"the CA"
    assert user["user"] == {"token": "the token"}
    assert context["context"]["namespace"] == "ns"
    assert config["current-context"] == context["name"]
    assert list(tmp_path.iterdir()) == [written]


def test_a_kubeconfig_of_ours_is_replaced_and_its_mode_mended(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "config", Address("127.0.0.1", 1, b"", "old"))
    path.chmod(0o644)
    write_kubeconfig(path, ADDRESS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "the token" in path.read_text()


def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("apiVersion: v1\nkind: Config\n")
    with pytest.raises(FileExistsError, match="was not written by reconciler"):
        write_kubeconfig(path, ADDRESS)
    assert path.read_text() == "apiVersion: v1\nkind: Config\n"


def test_a_kubeconfig_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file or directory"):
        write_kubeconfig(tmp_path / "nowhere" / "config", ADDRESS)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):  # noqa: PT011  # the words are the system's
        write_kubeconfig(tmp_path / "folder", ADDRESS)
    assert os.listdir(tmp_path) == ["folder"]
