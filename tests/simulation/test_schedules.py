from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.controllers.notification import Policy, plan
from reconciler.controllers.notification.reconciler import NotificationReconciler
from reconciler.reconcile import Request, Result
from reconciler.testing import run_schedules
from tests.simulation import schedules
from tests.simulation.check import check, verify
from tests.simulation.scenario import run

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Keep nothing of what goes wrong on purpose: it is logged as an error, thousands of times."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_no_schedule_of_the_seeds_scenario_breaks_an_invariant() -> None:
    assert run_schedules(verify, seeds=range(200)) >= 1


def test_the_schedules_differ_and_see_both_ends_of_the_story() -> None:
    histories = [run(seed) for seed in range(20)]
    assert len({history.render() for history in histories}) == 20
    assert {history.versions[-1]["status"]["phase"] for history in histories} == {"Sent", "PartiallySent"}


def journals_in_another_process(hash_seed: str) -> bytes:
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation.schedules", "--count", "8", "--journal"],
        cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, check=True, timeout=60,
    ).stdout  # fmt: skip


def test_the_same_seed_gives_the_same_journal_byte_for_byte_across_processes_and_hash_seeds() -> None:
    here = b"".join(b"schedule %d\n%s\n" % (seed, run(seed).render()) for seed in range(8))
    assert here.count(b"\nAsked{") > 8 * 20
    assert journals_in_another_process("1") == here
    assert journals_in_another_process("4294967295") == here


# --- the invariants bite: each mutant breaks one rule of the program ---


def no_delay(self: Policy, attempt: int, *, uid: str, channel: str) -> timedelta:
    del self, attempt, uid, channel
    return timedelta(0)


def one_attempt_more(asked: object) -> Policy:
    del asked
    return Policy(max_attempts=6, initial_seconds=5, multiplier=2, max_seconds=60)


def one_attempt_less(asked: object) -> Policy:
    return replace(one_attempt_more(asked), max_attempts=4)


def never_delivered(status: Any, channels: Any, known: Callable[..., Any] = plan.histories) -> Any:
    return tuple(replace(history, is_delivered=False) for history in known(status, channels))


async def no_wake_up(
    self: Any, request: Request, reconcile: Callable[..., Any] = NotificationReconciler.reconcile
) -> None:
    await reconcile(self, request)


async def needless_wake_up(
    self: Any, request: Request, reconcile: Callable[..., Any] = NotificationReconciler.reconcile
) -> Result:
    result: Result | None = await reconcile(self, request)
    return result if result and (result.requeue or result.requeue_after) else Result(requeue_after=timedelta(hours=1))


@pytest.mark.parametrize(
    ("owner", "name", "mutant", "broken"),
    [
        pytest.param(Policy, "of", one_attempt_more, "R1", id="an attempt too many"),
        pytest.param(Policy, "of", one_attempt_less, "R7", id="an attempt too few"),
        pytest.param(Policy, "delay", no_delay, "R2", id="no delay between attempts"),
        pytest.param(plan, "histories", never_delivered, "R3", id="a success is forgotten"),
        pytest.param(NotificationReconciler, "reconcile", no_wake_up, "R9", id="a pass asks for no wake-up"),
        pytest.param(NotificationReconciler, "reconcile", needless_wake_up, "R11", id="a wake-up that nobody needs"),
    ],
)
def test_a_broken_rule_of_the_program_breaks_an_invariant(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, mutant: Any, broken: str
) -> None:
    monkeypatch.setattr(owner, name, mutant)
    said = [each for seed in range(5) for each in check(run(seed))]
    assert any(each.startswith(f"{broken}:") for each in said), said


def test_a_history_that_was_tampered_with_breaks_an_invariant() -> None:
    history = run(0)
    assert check(history) == []
    history.sends[-1].attempt += 1
    history.versions[-1]["status"]["totalAttempts"] += 1
    history.versions.append({"status": {"phase": "Pending"}, **history.versions[-1]})
    history.versions.insert(-1, {"status": {"phase": "Pending"}})
    history.records.append(history.records[-1])
    numbers = {said.partition(":")[0] for said in check(history)}
    assert {"R1", "R4", "R5", "R6"} <= numbers


# --- the command ---


def test_the_command_counts_the_schedules(capsys: pytest.CaptureFixture[str]) -> None:
    assert schedules.main(["--count", "60", "--first", "1000"]) == 0
    assert re.fullmatch(r"60 schedules in [\d.]+ s, \d+ a second: no invariant is broken\n", capsys.readouterr().out)


def test_the_command_names_the_first_failing_seed_and_how_to_replay_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Policy, "delay", no_delay)
    assert schedules.main(["--count", "60"]) == 1
    said = capsys.readouterr().out
    assert "R2: file: attempt 2 began" in said
    (seed,) = re.findall(r"RECONCILER_SEED=(\d+) \S+python", said)
    monkeypatch.setenv("RECONCILER_SEED", seed)
    assert schedules.main(["--count", "60"]) == 1
    assert capsys.readouterr().out == said
