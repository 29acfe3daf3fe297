from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION
from reconciler.apiserver import ApiServer
from reconciler.client import Client, RestClient
from reconciler.clock import LoopWallClock
from reconciler.controllers.notification import custom_resource_definition
from reconciler.journal import render
from reconciler.testing import InProcessTransport, run_virtual
from tests.controllers.notification.seed import Story, tell
from tests.journal.test_detect import LATER, explained

PAGE = (Path(__file__).parents[2] / "docs" / "journal.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
CODE, EXPLANATION, LOST = (text for language, text in BLOCKS if language in {"", "python"})


def test_the_explanation_of_the_page_is_a_real_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    exec(CODE, names)
    show = names["show"]
    assert callable(show)

    async def story(told: Story) -> None:
        await told.create()
        await asyncio.sleep(14)
        told.repair()
        await asyncio.sleep(6)
        show(told.controller)

    async def main() -> None:
        wall = LoopWallClock()
        transport = InProcessTransport(ApiServer(wall=wall))
        await Client(RestClient(transport)).create(custom_resource_definition(), resource=CUSTOM_RESOURCE_DEFINITION)
        await tell(transport, tmp_path, namespace="default", initial_seconds=5, wall=wall, story=story)

    run_virtual(main())
    printed = capsys.readouterr().out.replace(str(tmp_path), "/srv")
    assert EXPLANATION in printed, f"the page shows another run; this one is:\n{printed}"
    assert printed.endswith("5 wake-ups were lost; it is idle\n")


def test_the_lost_wake_up_of_the_page_is_a_real_one() -> None:
    assert "\n".join(render(explained([LATER, None], [0, 15]))) + "\n" == LOST
