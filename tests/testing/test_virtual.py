from __future__ import annotations

import asyncio

import anyio
import pytest

from reconciler.clock import LoopClock, LoopWallClock
from reconciler.instant import seconds
from reconciler.testing import IdleLoopError, run_virtual


def test_sleeping_moves_time_exactly_and_takes_none() -> None:
    async def main() -> tuple[int, str]:
        await asyncio.sleep(0.000000001)
        await asyncio.sleep(510)
        return LoopClock().now(), LoopWallClock().now().isoformat()

    assert run_virtual(main()) == (seconds(510) + 1, "2026-01-01T00:08:30+00:00")


def test_a_timer_set_for_a_nanosecond_runs_at_that_nanosecond() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        seen: list[int] = []
        for at in (30_009_999_999, 30_010_000_000, 30_010_000_001):
            loop.call_at(at / 1e9, lambda: seen.append(LoopClock().now()))
        await asyncio.sleep(31)
        return seen

    assert run_virtual(main()) == [30_009_999_999, 30_010_000_000, 30_010_000_001]


def test_a_program_that_hangs_is_told_instead_of_waited_for() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(IdleLoopError, match="1 task"):
        run_virtual(main())


def test_work_for_threads_runs_at_once_and_its_error_arrives() -> None:
    def work(value: int) -> int:
        return 10 // value

    async def main() -> int:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(work, 0)
        return await asyncio.to_thread(work, 5)

    assert run_virtual(main()) == 2


def test_time_moves_on_while_a_shielded_task_outlives_a_cancelled_group() -> None:
    async def stubborn() -> None:
        with anyio.CancelScope(shield=True):
            await asyncio.sleep(20)

    async def main() -> int:
        async with anyio.create_task_group() as group:
            group.start_soon(stubborn)
            await asyncio.sleep(1)
            group.cancel_scope.cancel()
        return LoopClock().now()

    assert run_virtual(main()) == seconds(20)
