"""The journal file: what is written is read, and what cannot be read is said in one plain sentence."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.clock import LoopClock, LoopWallClock
from reconciler.errors import ConfigurationError
from reconciler.instant import Instant
from reconciler.journal import (
    Changed,
    Journal,
    JournalFile,
    JournalWriter,
    Noted,
    Origin,
    Record,
    explain,
    read_journal,
    render,
)
from reconciler.reconcile import Request
from reconciler.testing import run_virtual
from reconciler.workqueue import Verdict
from tests.journal.scribe import SECOND, Scribe

ROOT = Path(__file__).parents[2]
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class At:
    """A clock and a wall clock that stand still until the test moves them."""

    def __init__(self, seconds: float = 0) -> None:
        self.seconds = seconds

    def now(self) -> Instant:
        return Instant(round(self.seconds * SECOND))


class WallAt:
    def __init__(self, at: At) -> None:
        self._at = at

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self._at.seconds)


def writer(
    path: Path, *, at: At | None = None, size_max: int = 10_000_000, call_soon: Callable[..., object] | None = None
) -> JournalWriter:
    at = at or At()
    return JournalWriter(path, clock=at, wall=WallAt(at), size_max=size_max, call_soon=call_soon)


def written(path: Path, *, size_max: int = 10_000_000) -> Scribe:
    """Return a scribe whose records go into the file at once."""
    scribe = Scribe(key=Request("default", "a"))
    scribe.journal.subscribe(writer(path, size_max=size_max))
    return scribe


def every_kind(scribe: Scribe) -> None:
    event = scribe.event(
        old="1", new="2", origin=Origin.OWN, changed=Changed.LABELS | Changed.OTHER, fields=("status.a", "status.b")
    )
    started = scribe.start(scribe.ask(cause=event), event)
    scribe.write(started, "2", "3")
    scribe.journal.append(
        Noted(scribe.journal.new_id(), (started,), scribe.now, "c", scribe.key, "decided", "a \u2028 \x00 \n line")
    )
    ask = scribe.ends_and_asks(started, 30)
    scribe.owe("promised", 30)
    scribe.at = 30
    scribe.promote(ask)


def test_what_is_written_is_read_and_explains_the_same(tmp_path: Path) -> None:
    scribe = written(tmp_path / "journal")
    every_kind(scribe)
    read = read_journal(tmp_path / "journal")
    there = explain(scribe.journal, "c", scribe.key)
    here = read.explain("default/a", scope="c")
    assert {type(record) for record in there.records} == set(Record.__subclasses__())
    assert [type(record) for record in here.records] == [type(record) for record in there.records]
    assert list(render(here)) == list(render(there))
    assert (here.state, here.wakes, here.findings, here.links) == (
        there.state, there.wakes, there.findings, there.links
    )  # fmt: skip
    assert read.notes == ()
    assert read.places == {("c", "default/a"): len(there.records)}
    assert read.kinds == {"c": {"Widget"}}


def test_the_first_line_says_what_the_file_is_and_how_wall_time_stood(tmp_path: Path) -> None:
    at = At(5)
    with closed(writer(tmp_path / "journal", at=at)):
        pass
    assert (tmp_path / "journal").read_text() == (
        '{"format":"reconciler-journal","version":1,"at":5000000000,"wall":"2026-01-01T00:00:05Z",'
        '"run":"2026-01-01T00:00:05+00:00+5000000000","part":0}\n'
    )
    assert read_journal(tmp_path / "journal").wall_of(7 * SECOND) == EPOCH + timedelta(seconds=7)


@contextmanager
def closed(writer: JournalWriter) -> Iterator[JournalWriter]:
    try:
        yield writer
    finally:
        writer.close()


def test_the_file_and_its_older_part_are_for_their_owner_alone(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        scribe = written(tmp_path / "journal", size_max=1)
        scribe.event()
    finally:
        os.umask(previous)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal", "journal.1"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_records_wait_for_the_end_of_the_turn_but_a_long_turn_does_not_hold_many(tmp_path: Path) -> None:
    soon: list[Callable[[], None]] = []
    scribe = Scribe()
    scribe.journal.subscribe(writer(tmp_path / "journal", call_soon=soon.append))
    scribe.event()
    scribe.event()
    assert (len(soon), count(tmp_path)) == (1, 0)
    soon.pop()()
    assert count(tmp_path) == 2
    for _ in range(2_500):
        scribe.event()
    assert count(tmp_path) == 2_002
    assert len(soon) < 5


def count(tmp_path: Path) -> int:
    return len(read_journal(tmp_path / "journal").records)


def test_in_a_loop_the_file_has_a_turns_records_when_the_next_turn_is_over(tmp_path: Path) -> None:
    async def main() -> None:
        call_soon = asyncio.get_running_loop().call_soon
        keeper = JournalWriter(tmp_path / "journal", clock=LoopClock(), wall=LoopWallClock(), call_soon=call_soon)
        scribe = Scribe()
        scribe.journal.subscribe(keeper)
        scribe.event()
        assert count(tmp_path) == 0
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert count(tmp_path) == 1
        scribe.event()
        keeper.close()
        keeper.close()
        scribe.event()
        assert count(tmp_path) == 2

    run_virtual(main())


KILLED = """
import asyncio, os, signal, sys
from reconciler.clock import LoopClock, SystemWallClock
from reconciler.journal import JournalWriter
from tests.journal.scribe import Scribe

async def main():
    soon = asyncio.get_running_loop().call_soon
    scribe = Scribe()
    scribe.journal.subscribe(JournalWriter(sys.argv[1], clock=LoopClock(), wall=SystemWallClock(), call_soon=soon))
    for turn in range(5):
        scribe.event()
        scribe.event()
        await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def test_a_killed_process_loses_no_more_than_its_last_turn_and_its_file_is_kept_by_the_next(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "journal")]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
    assert count(tmp_path) in {8, 10}
    # The next process begins anew, and what the killed one wrote is beside it.
    written(tmp_path / "journal").event()
    read = read_journal(tmp_path / "journal")
    assert (len(read.records), read.notes) == (1, ())
    assert len(read_journal(tmp_path / "journal.1").records) in {8, 10}


def test_a_full_file_becomes_the_older_part_and_both_are_read_as_one(tmp_path: Path) -> None:
    scribe = written(tmp_path / "journal", size_max=1_000)
    for _ in range(8):
        scribe.event()
    read = read_journal(tmp_path / "journal")
    assert [record.id for record in read.records] == list(range(1, 9))
    assert read.notes == ()
    for _ in range(12):
        scribe.event()
    read = read_journal(tmp_path / "journal")
    first = read.records[0].id
    assert first > 1
    assert [record.id for record in read.records] == list(range(first, 21))
    assert [note.partition(" ")[2] for note in read.notes] == [
        "older parts of this run are gone: the file was full that often"
    ]
    assert max(path.stat().st_size for path in tmp_path.iterdir()) < 1_300


def test_an_older_part_of_another_run_is_not_read_into_this_one(tmp_path: Path) -> None:
    scribe = written(tmp_path / "journal", size_max=500)
    for _ in range(3):
        scribe.event()
    (tmp_path / "journal.1").write_text("something else\n")
    read = read_journal(tmp_path / "journal")
    assert read.notes == ("the 1 older parts of this run are gone",)


def test_only_what_is_asked_for_is_kept_and_all_is_counted(tmp_path: Path) -> None:
    journal = Journal()
    journal.subscribe(writer(tmp_path / "journal"))
    Scribe(journal, "default/a").cycle()
    Scribe(journal, "default/b").cycle()
    read = read_journal(tmp_path / "journal", keep=lambda record: record.key == "default/b")
    assert {record.key for record in read.records} == {"default/b"}
    assert read.places == {("c", "default/a"): 4, ("c", "default/b"): 4}


def test_a_last_line_that_was_cut_is_noted_at_every_byte(tmp_path: Path) -> None:
    scribe = written(tmp_path / "journal")
    scribe.event()
    scribe.event()
    whole = (tmp_path / "journal").read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in range(1, len(lines[2])):
        (tmp_path / "journal").write_bytes(whole[:-cut])
        read = read_journal(tmp_path / "journal")
        assert len(read.records) == 1
        assert read.notes == (
            f"{tmp_path}/journal:3: the last line is cut; its writer was stopped in the middle of it",
        )


def test_a_first_line_that_was_cut_is_a_plain_sentence_at_every_byte(tmp_path: Path) -> None:
    written(tmp_path / "journal")
    header = (tmp_path / "journal").read_bytes()
    for cut in range(1, len(header) + 1):
        (tmp_path / "journal").write_bytes(header[:-cut])
        with pytest.raises(ConfigurationError, match="is empty or cut in its first line, so it holds no records"):
            read_journal(tmp_path / "journal")


HEADER = '{"format":"reconciler-journal","version":1,"at":0,"wall":"2026-01-01T00:00:00Z","run":"r"}\n'
NOTED = '{"record":"Noted","id":1,"causes":[],"at":0,"scope":"c","key":"a","topic":"t","text":"x"}\n'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(
            HEADER.replace(":1,", ":2,"), "is a journal of version 2, and version 1 is the one", id="another version"
        ),
        pytest.param("apiVersion: v1\nkind: Config\n", "is no journal; name a file that", id="another file"),
        pytest.param("\x00\x01\x02" * 3_000, "is no journal", id="a binary file"),
        pytest.param('{"format":"other","version":1}\n', "is no journal", id="another format"),
        pytest.param('{"a": 1}\n{"b": 2}\n', "is no journal", id="other JSON Lines"),
        pytest.param("[1]\n", "is no journal", id="other JSON"),
        pytest.param(
            '{"format":"reconciler-journal","version":1}\n', ":1: the first line is no header", id="a poor header"
        ),
        pytest.param(HEADER + NOTED + "garbage\n" + NOTED, ":3: this line is no record", id="garbage in the middle"),
        pytest.param(HEADER + NOTED[:40] + "\n" + NOTED, ":2: this line is no record", id="half a line in the middle"),
        pytest.param(HEADER + "\n" + NOTED, ":2: this line is no record", id="an empty line"),
        pytest.param(HEADER + NOTED.replace("Noted", "Sung"), ":2: this line is no record", id="an unknown record"),
        pytest.param(HEADER + NOTED.replace('"t"', "7"), ":2: this line is no record", id="a wrong type"),
    ],
)
def test_what_cannot_be_read_is_one_sentence_with_its_place(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "journal"
    file.write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        read_journal(file)
    assert str(caught.value).startswith(str(file))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_fields_that_are_not_known_are_skipped(tmp_path: Path) -> None:
    file = tmp_path / "journal"
    file.write_text(HEADER.replace("}", ',"more":1}') + NOTED.replace("}", ',"more":{"a":[1]}}'))
    assert len(read_journal(file).records) == 1


def test_a_file_that_is_not_there_or_a_directory_is_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(ConfigurationError, match=r"cannot be read: (No such file|Is a directory)"):
            read_journal(path)


def test_a_writer_moves_no_file_that_is_no_journal_and_takes_none_from_another_writer(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious\n")
    with pytest.raises(ConfigurationError, match="mine: is there already, and no journal; name another file"):
        writer(tmp_path / "mine")
    with pytest.raises(ConfigurationError, match="is there already, and no journal"):
        writer(tmp_path)
    with pytest.raises(ConfigurationError, match="nowhere/journal: cannot be written: No such file or directory"):
        writer(tmp_path / "nowhere" / "journal")
    first = writer(tmp_path / "journal")
    with pytest.raises(ConfigurationError, match="another process writes its journal there"):
        writer(tmp_path / "journal")
    first.close()
    (tmp_path / "journal.1").write_text("precious\n")
    with pytest.raises(ConfigurationError, match=r"journal\.1: is in the way, and no journal"):
        writer(tmp_path / "journal")
    assert (tmp_path / "mine").read_text() == (tmp_path / "journal.1").read_text() == "precious\n"
    with pytest.raises(ConfigurationError, match="must be at least 1 byte, is 0"):
        writer(tmp_path / "other", size_max=0)


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """What a full disk does: a write comes back short, the next one fails."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def test_a_full_disk_is_said_once_hurts_nobody_and_leaves_a_gap_that_is_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scribe = written(tmp_path / "journal")
    scribe.event()
    size = (tmp_path / "journal").stat().st_size
    with caplog.at_level(logging.ERROR, "reconciler.journal"), files_no_larger_than(size + 40):
        for _ in range(3):
            scribe.event()
    (said,) = caplog.records
    assert "File too large; records are missing from it until this is repaired" in said.getMessage()
    # What stands there is whole lines, also before the disk has room again.
    assert len(read_journal(tmp_path / "journal").records) == 1
    scribe.event()
    read = read_journal(tmp_path / "journal")
    assert [record.id for record in read.records] == [1, 5]
    assert read.notes == (f"{tmp_path}/journal:3: 3 records are missing here: they could not be written",)


def test_a_directory_that_went_away_ends_no_controller_and_a_full_file_is_written_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    scribe = written(directory / "journal", size_max=1_000)
    directory.rename(tmp_path / "moved")
    with caplog.at_level(logging.ERROR, "reconciler.journal"):
        for _ in range(20):
            scribe.event()
    assert len(caplog.records) == 1
    assert len(read_journal(tmp_path / "moved" / "journal").records) >= 5


def test_a_text_with_half_a_character_is_a_gap_and_not_a_broken_file(tmp_path: Path) -> None:
    scribe = written(tmp_path / "journal")
    name = os.fsdecode(b"\xff")
    scribe.journal.append(Noted(scribe.journal.new_id(), (), 0, "c", scribe.key, "topic", name))
    scribe.event()
    read = read_journal(tmp_path / "journal")
    assert [record.id for record in read.records] == [2]
    assert "1 records are missing here" in read.notes[0]


RUN = """
import asyncio, sys
from datetime import timedelta
import anyio
from reconciler import Controller, Request, Result
from reconciler.clock import LoopClock, LoopWallClock
from reconciler.journal import Journal, JournalWriter
from reconciler.testing import run_virtual

async def reconcile(request):
    await asyncio.sleep(0.01)
    return Result(requeue_after=timedelta(seconds=len(request.name)))

async def main():
    journal = Journal()
    soon = asyncio.get_running_loop().call_soon
    writer = JournalWriter(sys.argv[1], clock=LoopClock(), wall=LoopWallClock(), call_soon=soon)
    journal.subscribe(writer)
    controller = Controller("c", reconcile, clock=LoopClock(), journal=journal, max_concurrent_reconciles=3)
    for name in ("a", "bb", "ccc", "dddd"):
        controller.queue.add(Request("default", name))
    stopping = asyncio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(controller.run, stopping)
        await asyncio.sleep(20)
        stopping.set()
    writer.close()

run_virtual(main())
"""


def test_the_same_run_writes_the_same_bytes_whatever_the_hash_seed(tmp_path: Path) -> None:
    for seed in ("1", "4711"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", RUN, str(tmp_path / seed)]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
    one, other = ((tmp_path / seed).read_bytes() for seed in ("1", "4711"))
    assert len(one.splitlines()) > 100
    assert one == other


def test_a_lost_wake_up_is_found_in_a_file_too(tmp_path: Path) -> None:
    scribe = written(tmp_path / "journal")
    late = scribe.ends_and_asks(scribe.start(scribe.ask(cause=scribe.event())), 30)
    scribe.at = 15
    event = scribe.event()
    beat = scribe.ask(Verdict.MADE_READY, cause=event, lost=late, lost_at=30)
    scribe.end(scribe.start(beat, event))
    read: JournalFile = read_journal(tmp_path / "journal")
    (found,) = read.explain("default/a", scope="c").findings
    assert {late, beat, event} <= set(found.record_ids)
