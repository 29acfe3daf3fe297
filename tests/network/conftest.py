from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from reconciler.envtest import RealServer

from .stage import Stage, stage_on


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.real_server)])
def server(request: pytest.FixtureRequest) -> RealServer | None:
    if request.param == "embedded":
        return None
    real: RealServer = request.getfixturevalue("real_server")
    return real


@pytest_asyncio.fixture
async def stage(server: RealServer | None) -> AsyncGenerator[Stage, None]:
    async with stage_on(server) as stage:
        yield stage


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first wait after a failure is 20 to 40 ms."""
    monkeypatch.setattr("reconciler.cache.listwatch.Backoff.INITIAL", 20_000_000)
