from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import anyio
import pytest

from reconciler.errors import ConfigurationError
from reconciler.testing import SEED_VARIABLE, VirtualLoop, run_schedules, run_virtual
from tests.testing.race_program import steps, two_deposits

PROGRAM = Path(__file__).with_name("race_program.py")
ROOT = Path(__file__).parents[2]


async def order(tasks: int = 6) -> list[int]:
    """The order in which tasks run that become ready together."""
    ran: list[int] = []

    async def run(number: int) -> None:
        ran.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(tasks):
            group.create_task(run(number))
    return ran


# --- the order of tasks ---


def test_without_a_seed_tasks_run_in_the_order_in_which_they_became_ready() -> None:
    assert run_virtual(order()) == [0, 1, 2, 3, 4, 5]


def test_a_seed_permutes_first_steps_and_wake_ups_and_gives_the_same_order_again() -> None:
    async def wake_ups() -> list[int]:
        gate = asyncio.Event()
        ran: list[int] = []

        async def wait(number: int) -> None:
            await gate.wait()
            ran.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(6):
                group.create_task(wait(number))
            await asyncio.sleep(1)
            gate.set()
        return ran

    for program in (order, wake_ups):
        orders = [tuple(run_virtual(program(), seed=seed)) for seed in range(50)]
        assert len(set(orders)) > 40
        assert all(sorted(each) == [0, 1, 2, 3, 4, 5] for each in orders)
        assert orders == [tuple(run_virtual(program(), seed=seed)) for seed in range(50)]


def test_each_order_of_three_tasks_comes_about_as_often_as_any_other() -> None:
    orders = [tuple(run_virtual(order(3), seed=seed)) for seed in range(600)]
    counts = sorted(orders.count(each) for each in set(orders))
    assert len(counts) == 6
    assert counts[0] > 60


def test_plain_callbacks_keep_their_order_and_none_is_overtaken_by_a_later_task() -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        ran: list[str] = []

        async def task(name: str) -> None:
            ran.append(name)

        tasks = [loop.create_task(task("early"))]
        for number in range(20):
            loop.call_soon(ran.append, f"plain {number}")
            tasks.append(loop.create_task(task(f"late {number}")))
        await asyncio.gather(*tasks)
        return ran

    early: set[int] = set()
    for seed in range(50):
        ran = run_virtual(main(), seed=seed)
        assert [each for each in ran if each.startswith("plain")] == [f"plain {number}" for number in range(20)]
        for number in range(20):
            assert ran.index(f"plain {number}") < ran.index(f"late {number}")
        early.add(ran.index("early"))
    # A task that is ready may be kept back, also behind callbacks.
    assert len(early) > 5


def test_a_method_of_a_task_is_a_plain_callback() -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        ran: list[str] = []
        sleeper = loop.create_task(asyncio.sleep(60))
        sleeper.add_done_callback(lambda _: ran.append("cancelled"))
        await asyncio.sleep(1)
        loop.call_soon(ran.append, "before")
        loop.call_soon(sleeper.cancel)
        loop.call_soon(ran.append, "after")
        loop.call_soon(lambda: ran.append(f"asked {sleeper.cancelling()}"))
        await asyncio.sleep(1)
        return ran

    assert {tuple(run_virtual(main(), seed=seed)) for seed in range(30)} == {
        ("before", "after", "asked 1", "cancelled")
    }


def test_time_and_timers_are_as_exact_as_without_a_seed() -> None:
    async def main() -> list[float]:
        async def sleep(seconds: float) -> float:
            await asyncio.sleep(seconds)
            return asyncio.get_running_loop().time()

        return await asyncio.gather(*(sleep(seconds) for seconds in (3, 1e-9, 1, 1, 2)))

    assert run_virtual(main(), seed=3) == [3, 1e-9, 1, 1, 2]


def test_a_task_that_spins_does_not_keep_others_from_running() -> None:
    async def main() -> bool:
        is_over = False

        async def end() -> None:
            nonlocal is_over
            is_over = True

        ending = asyncio.create_task(end())
        while not is_over:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await ending
        return is_over

    assert run_schedules(main) == 100


def test_tasks_that_are_left_behind_are_cancelled_in_the_order_in_which_they_were_made() -> None:
    ended: list[str] = []

    async def wait(name: str) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(name)

    async def main() -> None:
        # The tasks 2 to 6. A set would show the task 8 before the task 7.
        for _ in range(5):
            await asyncio.create_task(asyncio.sleep(0))
        for name in ("first", "second"):
            asyncio.create_task(wait(name))  # noqa: RUF006
        await asyncio.sleep(1)

    run_virtual(main())
    assert ended == ["first", "second"]


def test_a_task_that_is_left_behind_and_fails_is_reported() -> None:
    said: list[dict[str, object]] = []

    async def fail() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise ArithmeticError("at the end")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context))
        asyncio.create_task(fail(), name="stray")  # noqa: RUF006
        await asyncio.sleep(1)

    run_virtual(main(), seed=1)
    (context,) = said
    assert isinstance(context["exception"], ArithmeticError)
    assert "stray" in repr(context["task"])


def in_many_places(program: Callable[[], Coroutine[Any, Any, list[int]]]) -> set[tuple[int, ...]]:
    """What `program` returns under one seed while its objects lie at ever other addresses."""
    ballast: list[object] = []
    answers: set[tuple[int, ...]] = set()
    for size in range(10):
        ballast += [bytearray(997 * size) for _ in range(50)]
        answers.add(tuple(run_virtual(program(), seed=1)))
    return answers


async def cancelled_together() -> list[int]:
    """The order in which forty tasks of a group end when the group is cancelled."""
    ended: list[int] = []

    async def wait(number: int) -> None:
        try:
            with anyio.CancelScope():
                await anyio.sleep(60)
        finally:
            ended.append(number)

    async with anyio.create_task_group() as group:
        for number in range(40):
            group.start_soon(wait, number)
        await anyio.sleep(1)
        group.cancel_scope.cancel()
    return ended


async def callbacks_of_an_aborted_group() -> list[int]:
    """The order in which the done callbacks of forty futures run when the group that waits for them is aborted."""
    called: list[int] = []

    async def wait(number: int) -> None:
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: called.append(number))
        await future

    async def fail_later() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(wait(number))
            await asyncio.sleep(1)
            raise ArithmeticError

    with pytest.raises(ExceptionGroup):
        await fail_later()
    return called


@pytest.mark.parametrize("program", [cancelled_together, callbacks_of_an_aborted_group])
def test_a_schedule_does_not_depend_on_where_tasks_and_scopes_lie_in_memory(
    program: Callable[[], Coroutine[Any, Any, list[int]]],
) -> None:
    # asyncio and anyio keep them in sets, whose order by default follows from addresses.
    (order,) = in_many_places(program)
    assert sorted(order) == list(range(40))


def test_seed_and_factory_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="seed 1 and a loop_factory"):
        run_virtual(order(), seed=1, loop_factory=VirtualLoop)


# --- many schedules ---


def first_failure(seeds: Iterable[int]) -> tuple[int, str]:
    for seed in seeds:
        try:
            run_virtual(two_deposits(), seed=seed)
        except ArithmeticError as error:
            return seed, str(error)
    raise AssertionError("no seed finds the race")


def test_a_race_that_the_usual_order_never_shows_is_found_by_a_seed_which_replays_it_exactly() -> None:
    # Given two deposits that pass in asyncio's own order, however often they are tried,
    for _ in range(100):
        run_virtual(two_deposits())
    assert steps == ["one reads 0", "one writes 1", "two reads 1", "two writes 2"]
    # when they are run under seeds,
    seed, said = first_failure(range(100))
    # then one loses a deposit, and it does so each time, in the same steps.
    assert said.startswith("a deposit was lost: ")
    assert {first_failure([seed]) for _ in range(20)} == {(seed, said)}


def test_the_first_failure_is_raised_with_its_seed_and_the_command_that_replays_it() -> None:
    seed, said = first_failure(range(100))
    with pytest.raises(ArithmeticError, match="a deposit was lost") as caught:
        run_schedules(two_deposits)
    assert str(caught.value) == said
    (note,) = caught.value.__notes__
    assert note.startswith(f"schedule {seed} failed; to run it alone:\n  RECONCILER_SEED={seed} ")
    assert note.endswith(
        "python -m pytest tests/testing/test_schedules.py::"
        "test_the_first_failure_is_raised_with_its_seed_and_the_command_that_replays_it"
    )


def run_shell(command: str, cwd: Path = ROOT, **environ: str) -> tuple[int, str]:
    """Run a command line as somebody would, outside of this test."""
    env = {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"}
    env |= {"PYTHONPATH": f"{ROOT}", "PYTHONDONTWRITEBYTECODE": "1", **environ}
    ended = subprocess.run(
        command, shell=True, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    return ended.returncode, ended.stdout + ended.stderr


def replay_line(said: str) -> str:
    # Where `CI` is set, pytest's summary does not cut the message, so the command stands there a second time.
    (line,) = set(re.findall(r"RECONCILER_SEED=\d+ .*", said))
    return str(line)


def test_a_program_shows_the_same_failure_when_the_printed_command_is_run_under_another_hash_seed() -> None:
    code, said = run_shell(shlex.join([sys.executable, str(PROGRAM)]), PYTHONHASHSEED="1")
    assert code == 1
    assert "ArithmeticError: a deposit was lost" in said
    assert run_shell(replay_line(said), PYTHONHASHSEED="2") == (code, said)


def test_a_test_shows_the_same_failure_when_the_printed_command_is_run(tmp_path: Path) -> None:
    # Given a failing test, run from below the root directory, where pytest's id alone would not be found,
    (tmp_path / "tests").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "tests" / "test_race.py").write_text(
        "import pytest\n"
        "from reconciler.testing import run_schedules\n"
        "from race_program import two_deposits\n"
        "@pytest.mark.parametrize('what', ['a b'])\n"
        "def test_deposits(what): run_schedules(two_deposits)\n"
    )
    cwd = tmp_path / "tests"
    environ = {"PYTHONPATH": f"{ROOT}:{PROGRAM.parent}", "PYTEST_ADDOPTS": "-p no:asyncio"}
    code, said = run_shell(f"{shlex.quote(sys.executable)} -m pytest", cwd, **environ)
    assert code == 1
    assert "test_race.py::test_deposits[a b]'" in replay_line(said)
    # when the command that it printed is run there,
    again, said_again = run_shell(replay_line(said), cwd, **environ)
    # then that test alone fails, in the same way.
    assert again == 1
    assert "1 failed in" in said_again
    (failure,) = re.findall(r"E +ArithmeticError: .*", said)
    assert failure in said_again
    assert replay_line(said_again) == replay_line(said)


def test_the_variable_chooses_the_one_seed_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int | None] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        ran.append(loop.seed)

    assert run_schedules(main, seeds=[3, 1]) == 2
    monkeypatch.setenv(SEED_VARIABLE, "1234")
    assert run_schedules(main, seeds=[3, 1]) == 1
    assert ran == [3, 1, 1234]


def test_a_variable_that_is_no_number_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SEED_VARIABLE, "many")
    with pytest.raises(ConfigurationError, match="RECONCILER_SEED must be the number of a schedule, is 'many'"):
        run_schedules(two_deposits)


def test_no_seeds_at_all_are_an_error() -> None:
    with pytest.raises(ConfigurationError, match="at least one seed"):
        run_schedules(two_deposits, seeds=[])
