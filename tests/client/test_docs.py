from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from reconciler.apiserver import ApiServer
from reconciler.client import AiohttpTransport, Client, RestClient, Transport, load_config
from reconciler.clock import LoopWallClock
from reconciler.envtest import RealServer
from reconciler.testing import InProcessTransport, run_virtual

PAGE = Path(__file__).parents[2] / "docs" / "client.md"
# A namespace has a finalizer of its own: its deletion is seen as a change first.
SAID = (
    "tour is there\n[('tour', 'green')]\nMODIFIED tour\nNamespace red\n"
    "True\n"  # the namespace `default` is there
)


def _code() -> dict[str, Any]:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {"__name__": "docs.client"}
    exec(compile("\n".join(blocks), str(PAGE), "exec"), names)
    return names


async def _run(transport: Transport) -> None:
    client, code = Client(RestClient(transport)), _code()
    await code["tour"](client)
    await code["untyped"](client)
    await code["in_time"](client)
    await code["slow_ones"](transport)


def test_the_examples_of_the_page_run_on_the_embedded_server(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        await _run(InProcessTransport(ApiServer(wall=LoopWallClock())))

    run_virtual(main())
    assert capsys.readouterr().out == SAID


@pytest.mark.asyncio
async def test_the_examples_of_the_page_run_on_a_real_server(
    real_server: RealServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with AiohttpTransport(await load_config(real_server.kubeconfig)) as transport:
        await _run(transport)
    assert capsys.readouterr().out == SAID
