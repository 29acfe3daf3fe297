from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from reconciler import kinds
from reconciler.api import KubeObject, ObjectMeta
from reconciler.client import AiohttpTransport, Client, RestClient, load_config
from reconciler.envtest import RealServer
from reconciler.kinds import ConfigMap

PAGE = Path(__file__).parents[2] / "docs" / "kinds.md"


def _code() -> dict[str, Any]:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {"__name__": "docs.kinds"}
    exec(compile("\n".join(blocks), str(PAGE), "exec"), names)
    return names


@pytest.mark.asyncio
async def test_the_example_of_the_page_runs_on_a_real_server(
    real_server: RealServer, real_namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = _code()
    async with AiohttpTransport(await load_config(real_server.kubeconfig)) as transport:
        client = Client(RestClient(transport))
        meta = ObjectMeta(name="owner", namespace=real_namespace)
        owner = await client.create(ConfigMap(metadata=meta, data={"replicas": "2"}))
        await code["reconcile_web"](client, owner)
        await code["reconcile_web"](client, owner)
        owner.data = {"replicas": "3"}
        owner = await client.update(owner)
        await code["reconcile_web"](client, owner)
        held = await code["hold"](client, owner.key)
        assert held.metadata.finalizers == ["example.com/web"]
        assert await code["hold"](client, owner.key) == held
        free = await code["let_go"](client, owner.key)
        assert free.metadata.finalizers is None
        assert await code["let_go"](client, owner.key) == free
    said = [line.removeprefix("deployment web ") for line in capsys.readouterr().out.splitlines()]
    assert said == ["created, wants 2", "unchanged, wants 2", "updated, wants 3"]


def test_the_page_lists_every_model_of_a_kind() -> None:
    rows = re.search(r"^\| model \|.*?\n\n", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert rows is not None
    shown = {name for row in rows[0].strip().splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    found = [getattr(kinds, name) for name in kinds.__all__]
    models = {model.__name__ for model in found if isinstance(model, type) and issubclass(model, KubeObject)}
    assert shown == models
