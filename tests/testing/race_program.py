"""A lost update that asyncio's own order never shows: `python race_program.py` runs it under a hundred others."""

from __future__ import annotations

import asyncio
import sys

from reconciler.testing import run_schedules

steps: list[str] = []


async def two_deposits() -> None:
    """Make two deposits, the second one two turns of the loop later; each reads, lets others run, and writes."""
    steps.clear()
    balance = 0

    async def deposit(name: str, *, turns: int) -> None:
        nonlocal balance
        for _ in range(turns):
            await asyncio.sleep(0)
        before = balance
        steps.append(f"{name} reads {before}")
        await asyncio.sleep(0)
        balance = before + 1
        steps.append(f"{name} writes {balance}")

    async with asyncio.TaskGroup() as group:
        group.create_task(deposit("one", turns=0))
        group.create_task(deposit("two", turns=2))
    if balance != 2:
        raise ArithmeticError(f"a deposit was lost: {', '.join(steps)}")


if __name__ == "__main__":
    sys.stdout.write(f"{run_schedules(two_deposits)} schedules\n")
