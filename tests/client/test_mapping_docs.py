from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from reconciler.apiserver import ApiServer
from reconciler.client import AiohttpTransport, Client, RestClient, RestMapper, Transport, load_config
from reconciler.clock import LoopWallClock
from reconciler.envtest import RealServer
from reconciler.testing import InProcessTransport, run_virtual

PAGE = Path(__file__).parents[2] / "docs" / "mapping.md"


async def _run(transport: Transport) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    code: dict[str, Any] = {"__name__": "docs.mapping"}
    exec(compile("\n".join(blocks), str(PAGE), "exec"), code)
    mapper = RestMapper(transport)
    created = await code["apply"](
        Client(RestClient(transport)),
        mapper,
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "mapped-"}},
    )
    assert created["metadata"]["name"].startswith("mapped-")
    await code["tell"](mapper)


def _check(said: str) -> None:
    assert [line.partition(", has")[0] for line in said.splitlines()] == [
        "Namespace: /api/v1/namespaces, in the cluster, short ('ns',)",
        "Namespace: /api/v1/namespaces, in the cluster, short ('ns',)",
        "CustomResourceDefinition: /apis/apiextensions.k8s.io/v1/customresourcedefinitions, in the cluster, "
        "short ('crd', 'crds')",
    ]
    assert said.count("'status'") == 3


def test_the_example_of_the_page_runs_on_the_embedded_server(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        await _run(InProcessTransport(ApiServer(wall=LoopWallClock())))

    run_virtual(main())
    _check(capsys.readouterr().out)


@pytest.mark.asyncio
async def test_the_example_of_the_page_runs_on_a_real_server(
    real_server: RealServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with AiohttpTransport(await load_config(real_server.kubeconfig)) as transport:
        await _run(transport)
    _check(capsys.readouterr().out)
