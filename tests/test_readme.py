from __future__ import annotations

import asyncio
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import anyio
import yaml

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ObjectKey
from reconciler.apiserver import ApiServer
from reconciler.clock import LoopWallClock
from reconciler.manager import Manager
from reconciler.testing import InProcessTransport, run_virtual

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "hello_controller.py"
DEFINITION = ROOT / "examples" / "greeting-crd.yaml"


def test_the_readme_shows_the_example_as_it_is() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert EXAMPLE.read_text() in blocks


def test_the_readme_example_greets() -> None:
    example = load(EXAMPLE)

    async def main() -> str:
        manager = Manager(InProcessTransport(ApiServer(wall=LoopWallClock())), namespace="default", seed=1)
        example.add_to(manager)
        await manager.client.create(yaml.safe_load(DEFINITION.read_text()), resource=CUSTOM_RESOURCE_DEFINITION)
        stopping = asyncio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(manager.run, stopping)
            meta = {"name": "a", "namespace": "default"}
            await manager.client.create(example.Greeting.model_validate({"metadata": meta, "spec": {"name": "reader"}}))
            await asyncio.sleep(5)
            greeting = await manager.client.get(example.Greeting, ObjectKey("default", "a"))
            stopping.set()
        text: str = greeting.status.text
        return text

    assert run_virtual(main()) == "Hello, reader!"


def load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("hello_controller", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
