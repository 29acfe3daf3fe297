from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

from reconciler.journal import FindingKind, PassStarted, Promoted
from reconciler.workqueue import Discipline

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / "examples" / "the_lost_retry.py"
PAGE = ROOT / "docs" / "the-lost-retry.md"
ON_BOTH = pytest.mark.parametrize("queue", ["classic", "priority"])
BY_POLICY = (30, 60, 120, 240)


@pytest.fixture(scope="module")
def told() -> Iterator[ModuleType]:
    """The program as a module; it finds its neighbours as it does when it is run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PROGRAM.parent))
        import the_lost_retry

        yield the_lost_retry


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_page_is_what_the_program_prints(hash_seed: str, tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-W", "error", str(PROGRAM)]
    said = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert (said.returncode, said.stderr) == (0, "")
    _, shown = PAGE.read_text().split("```text\n")
    assert shown.removesuffix("```\n") == said.stdout, "put what the program prints into the page"


@ON_BOTH
def test_an_error_stored_as_permanent_ends_the_retries_on_both_queues(told: ModuleType, queue: Discipline) -> None:
    take = told.play(told.LIKE_THE_ORIGINAL, queue, seconds=180)
    assert take.phase == "PartiallySent"
    assert (len(take.times("console")), len(take.times("file"))) == (1, 1)


def test_the_classic_queue_kept_the_wake_up_and_the_priority_queue_did_not(told: ModuleType) -> None:
    classic, priority = (told.play(told.LIKE_THE_ORIGINAL, queue, seconds=180) for queue in told.QUEUES)
    asked = classic.first(told.Asked, told.is_asking_for_a_retry)
    assert classic.explanation.lost == ()
    assert classic.first(Promoted).ask == asked.id
    assert classic.last(PassStarted).causes[0] == asked.id
    (lost,) = priority.explanation.lost
    assert lost.ask_id == priority.first(told.Asked, told.is_asking_for_a_retry).id == asked.id
    assert not any(isinstance(record, Promoted) for record in priority.records)


@ON_BOTH
def test_without_a_gate_own_writes_use_up_all_attempts_within_150_ms(told: ModuleType, queue: Discipline) -> None:
    take = told.play(told.TRANSIENT, queue)
    ends = take.times("file")
    assert len(ends) == 5
    assert ends[-1] - ends[0] < 0.150
    (loop,) = [finding for finding in take.explanation.findings if finding.kind is FindingKind.HOT_LOOP]
    # It came to rest by itself, as a chain of phases does, so it is something to check.
    assert (loop.is_certain, loop.fields) == (False, ("status.attempts",))


@ON_BOTH
def test_a_gate_in_phase_retrying_alone_does_not_help_a_total_failure(told: ModuleType, queue: Discipline) -> None:
    assert is_by_policy(told.play(told.GATED_IN_RETRYING, queue).times("file"))
    total = told.play(told.GATED_IN_RETRYING, queue, broken=("console", "file"))
    assert total.phase == "Failed"
    assert total.times("file")[-1] < 0.150


def test_a_pass_that_does_not_ask_again_loses_its_retry_on_the_priority_queue_alone(told: ModuleType) -> None:
    classic, priority = (told.play(told.FORGETFUL, queue) for queue in told.QUEUES)
    assert is_by_policy(classic.times("file"))
    assert classic.explanation.findings == ()
    assert (priority.phase, len(priority.times("file"))) == ("Retrying", 1)
    assert priority.explanation.standing is None
    assert [finding.kind for finding in priority.explanation.findings] == [FindingKind.LOST_WAKE_UP]


@ON_BOTH
@pytest.mark.parametrize("broken", [("file",), ("console", "file")], ids="+".join)
def test_the_mended_reconciler_keeps_to_the_policy_and_nothing_looks_wrong(
    told: ModuleType, queue: Discipline, broken: tuple[str, ...]
) -> None:
    take = told.play(told.MENDED, queue, broken=broken)
    assert all(is_by_policy(take.times(channel)) for channel in broken)
    assert take.explanation.findings == ()


@ON_BOTH
def test_the_notification_controller_keeps_to_the_policy_and_nothing_looks_wrong(
    told: ModuleType, queue: Discipline
) -> None:
    take = told.play_the_real_one(queue)
    assert take.phase == "PartiallySent"
    assert len(take.times("console")) == 1
    assert is_by_policy(take.times("file"), at_most=1.1)
    assert take.explanation.findings == ()


@ON_BOTH
@pytest.mark.parametrize("asks_again", [True, False])
def test_a_promised_wake_up_comes_with_one_pass_an_attempt_whether_asked_for_again_or_not(
    told: ModuleType, queue: Discipline, asks_again: bool
) -> None:
    take = told.play(told.Version(hold=True, asks_again=asks_again), queue)
    assert is_by_policy(take.times("file"))
    assert len(take.passes) == 6  # the last one finds the notice finished
    assert take.explanation.lost == ()


@ON_BOTH
def test_a_promise_does_not_replace_a_look_at_the_stored_attempts(told: ModuleType, queue: Discipline) -> None:
    blind = told.play(told.Version(gate=told.Gate.NONE, hold=True), queue, touched_at=10)
    looking = told.play(told.Version(hold=True), queue, touched_at=10)
    assert blind.times("file")[1] < 11
    assert is_by_policy(looking.times("file"))


def is_by_policy(ends: list[float], *, at_most: float = 1.0) -> bool:
    """Whether there are five attempts, each no sooner than the policy says, and at most so many times later."""
    gaps = [after - before for before, after in pairwise(ends)]
    slack = 0.05  # the sends of both channels, and what comes of them
    return len(gaps) == len(BY_POLICY) and all(
        delay <= gap <= delay * at_most + slack for delay, gap in zip(BY_POLICY, gaps, strict=True)
    )
