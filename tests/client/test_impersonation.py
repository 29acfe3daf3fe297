"""Acting as somebody else: from a kubeconfig and from code, as headers, and as a real server takes them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from reconciler.api import ResourceType
from reconciler.client import (
    AiohttpTransport,
    Client,
    ClientConfig,
    HttpRequest,
    Impersonation,
    RestClient,
    load_config,
)
from reconciler.clock import LoopClock
from reconciler.envtest import RealServer
from reconciler.errors import ConfigurationError
from reconciler.instant import seconds
from reconciler.testing import run_virtual

from .scripted import after_refusal

REVIEWS = ResourceType("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", is_namespaced=False)
JANE = Impersonation("jane", groups=("dev", "ops"), uid="7", extra={"example.com/Why 100%": ("a", "b")})
JANE_IN_KUBECONFIG = {
    "as": "jane",
    "as-groups": ["dev", "ops"],
    "as-uid": "7",
    "as-user-extra": {"example.com/Why 100%": ["a", "b"]},
}
HEADERS = [
    ("Impersonate-User", "jane"),
    ("Impersonate-Uid", "7"),
    ("Impersonate-Group", "dev"),
    ("Impersonate-Group", "ops"),
    ("Impersonate-Extra-example.com%2Fwhy%20100%25", "a"),
    ("Impersonate-Extra-example.com%2Fwhy%20100%25", "b"),
]


def _kubeconfig(folder: Path, host: str, **user: Any) -> Path:
    file = folder / "config"
    content = {
        "clusters": [{"name": "c", "cluster": {"server": host}}],
        "users": [{"name": "u", "user": {"token": "hunter2", **user}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file.write_text(yaml.safe_dump(content))
    return file


@asynccontextmanager
async def _hearing(heard: list[list[tuple[str, str]]]) -> AsyncGenerator[str, None]:
    async def handler(request: web.Request) -> web.Response:
        found = [(name, value) for name, value in request.headers.items() if name.startswith("Impersonate")]
        heard.append(found)
        return web.Response(status=401 if len(heard) == 1 else 200)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.asyncio
@pytest.mark.parametrize("said_in", ["kubeconfig", "load_config", "for_host"])
async def test_every_request_and_stream_says_who_it_is_to_be_taken_for(said_in: str, tmp_path: Path) -> None:
    heard: list[list[tuple[str, str]]] = []
    async with _hearing(heard) as host:
        if said_in == "kubeconfig":
            config = await load_config(_kubeconfig(tmp_path, host, **JANE_IN_KUBECONFIG))
        elif said_in == "load_config":
            # What the code says wins.
            config = await load_config(_kubeconfig(tmp_path, host, **{"as": "joe"}), impersonate=JANE)
        else:
            config = ClientConfig.for_host(host, token="hunter2", impersonate=JANE)
        async with AiohttpTransport(config) as transport:
            await transport.send(HttpRequest("GET", "/"))
            await transport.send(HttpRequest("POST", "/", body=b"{}"))
            async with transport.stream(HttpRequest("GET", "/")):
                pass
    assert config.impersonation == JANE
    assert len(heard) == 3
    assert all(found == HEADERS for found in heard), heard


@pytest.mark.asyncio
async def test_a_real_server_sees_the_one_who_is_impersonated(real_server: RealServer, tmp_path: Path) -> None:
    content = yaml.safe_load(real_server.kubeconfig.read_text())
    content["users"][0]["user"] |= JANE_IN_KUBECONFIG
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(content))
    for config in (await load_config(file), await load_config(real_server.kubeconfig, impersonate=JANE)):
        async with AiohttpTransport(config) as transport:
            # A review has no name, and is what was asked for all the same.
            review = await Client(RestClient(transport)).create({}, resource=REVIEWS)
        seen = review["status"]["userInfo"]
        assert (seen["username"], seen["uid"]) == ("jane", "7")
        assert seen["groups"] == ["dev", "ops", "system:authenticated"]
        assert seen["extra"] == {"example.com/why 100%": ["a", "b"]}


def test_a_kubeconfig_that_is_rewritten_changes_who_is_impersonated(tmp_path: Path) -> None:
    file = _kubeconfig(tmp_path, "http://a", **{"as": "jane"})

    async def main() -> list[str | None]:
        config = await load_config(file)
        users = [config.impersonation.user if config.impersonation else None]
        for more in ({"as": "joe"}, {}):
            _kubeconfig(tmp_path, "http://a", **more)
            await after_refusal(config)
            users.append(config.impersonation.user if config.impersonation else None)
        assert LoopClock().now() < seconds(60)
        return users

    assert run_virtual(main()) == ["jane", "joe", None]


@pytest.mark.parametrize(
    ("user", "says"),
    [
        pytest.param({"as-groups": ["hunter2"]}, "without a user; name one", id="has groups and no user"),
        pytest.param({"as-uid": "hunter2"}, "without a user; name one", id="has a uid and no user"),
        pytest.param({"as-user-extra": {"a": ["hunter2"]}}, "without a user; name one", id="has extra and no user"),
        pytest.param(
            {"as": ["hunter2"]},
            r"as-user-extra: Expected `str \| null`, got `array` - at `\$\.as`",
            id="has a list for a user",
        ),
        pytest.param(
            {"as": "a", "as-groups": "hunter2"}, r"got `str` - at `\$\.as-groups`", id="has one text for groups"
        ),
        pytest.param(
            {"as": "a", "as-user-extra": {"k": "hunter2"}},
            r"got `str` - at `\$\.as-user-extra\[\.\.\.\]`",
            id="has text for a list",
        ),
        pytest.param({"as": "a\nhunter2"}, "Impersonate-User cannot stand in a header", id="has a line end"),
        pytest.param({"as": "a", "as-groups": ["hünter2"]}, "Impersonate-Group cannot stand", id="has other letters"),
    ],
)
@pytest.mark.asyncio
async def test_nothing_runs_with_more_rights_than_asked_for_where_a_kubeconfig(
    user: dict[str, Any], says: str, tmp_path: Path
) -> None:
    file = _kubeconfig(tmp_path, "http://a", **user)
    with pytest.raises(ConfigurationError, match=says) as caught:
        await load_config(file)
    assert str(file) in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_lists_that_are_one_text_are_refused_in_code_too() -> None:
    for wrong in ({"groups": "dev"}, {"extra": {"k": "v"}}):
        with pytest.raises(ConfigurationError, match="are lists, not one text"):
            Impersonation("jane", **wrong)  # type: ignore[arg-type]  # what a caller without a type checker may write
    with pytest.raises(ConfigurationError, match="without a user"):
        Impersonation("", groups=["dev"])
