"""How a program names itself, and whose name the server then keeps for the fields it wrote."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest

from reconciler.api import ResourceType
from reconciler.client import (
    AiohttpTransport,
    Client,
    ClientConfig,
    RestClient,
    RestMapper,
    load_config,
)
from reconciler.client.useragent import default_user_agent
from reconciler.envtest import RealServer
from reconciler.errors import NoMatchError
from reconciler.testing import run_virtual

from .scripted import ScriptedTransport, answer, refusal

CONFIG_MAPS = ResourceType("", "v1", "ConfigMap", "configmaps")
OWN = version("reconciler-runtime")


@pytest.mark.parametrize(
    ("argument", "program"),
    [
        ("/usr/bin/backup", "backup/unknown"),
        ("./tools/backup.py", "backup/unknown"),
        ("/site-packages/backup/__main__.py", "backup/unknown"),
        ("/opt/my tool (1)/run it!", "run-it/unknown"),
        ("-c", "python/unknown"),
        ("", "python/unknown"),
        ("/bin/reconciler", f"reconciler/{OWN}"),
        ("/bin/aiohttp", f"aiohttp/{version('aiohttp')}"),
    ],
)
def test_the_default_is_made_of_program_version_and_platform(argument: str, program: str) -> None:
    first, platform, own = default_user_agent(argument).split(" ")
    assert first == program
    assert platform.startswith("(")
    assert platform.endswith(")")
    assert platform.count("/") == 1
    assert own == f"reconciler/{OWN}"


def test_a_client_says_its_own_name_only_where_it_is_given_one() -> None:
    for options, said in (({}, None), ({"user_agent": "backup/1.2"}, "backup/1.2")):
        transport = ScriptedTransport([answer(404, refusal(404, "NotFound"))] * 3)
        calls: list[Any] = [
            RestClient(transport, **options).list_page(CONFIG_MAPS),
            RestMapper(transport, **options).resource_for("a"),
        ]
        for call in calls:
            with pytest.raises(NoMatchError):
                run_virtual(call)
        assert [request.headers.get("User-Agent") for request in transport.requests] == [said] * 3


@pytest.mark.parametrize("wrong", ["", " ", "a\nb", "bäckup/1"])
def test_a_name_that_no_header_can_hold_is_refused(wrong: str) -> None:
    for make in (
        lambda: RestClient(ScriptedTransport(), user_agent=wrong),
        lambda: RestMapper(ScriptedTransport(), user_agent=wrong),
        lambda: ClientConfig.for_host("http://a", user_agent=wrong),
    ):
        with pytest.raises(ValueError, match="user_agent must be printable ASCII"):
            make()


@pytest.mark.asyncio
async def test_a_real_server_keeps_the_part_before_the_slash_as_the_owner(real_server: RealServer) -> None:
    async def owner_with(config: ClientConfig, **options: Any) -> str:
        async with AiohttpTransport(config) as transport:
            client = Client(RestClient(transport, **options))
            made = await client.create(
                {"metadata": {"generateName": "agent-", "namespace": "default"}, "data": {"a": "b"}},
                resource=CONFIG_MAPS,
            )
            return str(made["metadata"]["managedFields"][0]["manager"])

    named = await load_config(real_server.kubeconfig, user_agent="backup/1.2 (x)")
    assert await owner_with(named) == "backup"
    assert await owner_with(named, user_agent="restore/2") == "restore"
    program = default_user_agent().partition("/")[0]
    assert await owner_with(await load_config(real_server.kubeconfig)) == program
