"""
`JournalWriter`: a subscriber that keeps records in a file.

Guarantees:
    - Records of one turn of the event loop are handed to the operating system at its end, so that a killed process
      loses at most the turn that it was in. A crash of the machine may lose more: nothing is synced to the disk.
    - The file and its older part stay below the size that was asked for, each, but for one batch.
    - What goes wrong while writing is logged once, never raised, and shows in the file as a gap.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
from collections.abc import Callable
from contextlib import suppress

import msgspec

from reconciler.errors import ConfigurationError
from reconciler.instant import Clock, WallClock
from reconciler.journal.form import FORMAT, VERSION, Gap, JournalHeader, older_part
from reconciler.journal.records import Record

__all__ = ["JournalWriter"]

_log = logging.getLogger("reconciler.journal")

_BATCH_MAX = 1_000
"""Records that wait for the end of the turn; more are written at once, so that no turn holds many."""


class JournalWriter:
    """
    Writes every record that it is called with: `journal.subscribe(writer)`.

    A journal that is there already, such as that of a killed process, becomes `FILE.1`, and replaces an older one.
    So does the file itself when it is full. Both are readable by their owner alone.

    Args:
        path: The file.
        clock: The clock of the records.
        wall: Says what time it is, for the first line.
        call_soon: Calls a function at the end of the loop's turn: `loop.call_soon`. None writes each record at once.
        size_max: Bytes after which the file is full.

    Raises:
        ConfigurationError: The file cannot be written, is something else than a journal, or another process writes it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Clock,
        wall: WallClock,
        call_soon: Callable[[Callable[[], None]], object] | None = None,
        size_max: int = 100 * 1024 * 1024,
    ) -> None:
        if size_max < 1:
            raise ConfigurationError(f"journal file: its greatest size must be at least 1 byte, is {size_max}")
        self._path = os.fspath(path)
        self._clock = clock
        self._wall = wall
        self._call_soon = call_soon
        self._size_max = size_max
        self._encoder = msgspec.json.Encoder(enc_hook=str)
        self._waiting: list[Record] = []
        self._is_flush_due = False
        self._missed = 0
        self._has_complained = False
        self._size = 0
        now, today = clock.now(), wall.now()
        self._run = f"{today.isoformat()}+{now}"
        self._part = 0
        self._full_at = size_max
        self._file: int | None = None
        try:
            _make_way(self._path)
            self._open(JournalHeader(FORMAT, VERSION, now, today, self._run))
        except OSError as error:
            raise ConfigurationError(f"{self._path}: cannot be written: {error.strerror or error}") from error

    def __call__(self, record: Record) -> None:
        """Take a record; it is in the file at the end of this turn of the loop."""
        if self._file is None:
            return
        self._waiting.append(record)
        if self._call_soon is None or len(self._waiting) >= _BATCH_MAX:
            self.flush()
        elif not self._is_flush_due:
            self._is_flush_due = True
            self._call_soon(self.flush)

    def flush(self) -> None:
        """Write what waits, now."""
        self._is_flush_due = False
        if self._file is None or not (self._waiting or self._missed):
            return
        records, self._waiting = self._waiting, []
        gap = self._encoder.encode_lines([Gap(self._missed)]) if self._missed else b""
        lines = self._encode(records)
        try:
            self._write(gap + lines)
        except OSError as error:
            self._missed += len(records)
            self._complain(error)
            return
        self._missed = 0
        if self._size >= self._full_at:
            self._rotate()

    def close(self) -> None:
        """Write what waits, and take no more. Closing twice is harmless."""
        self.flush()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self, header: JournalHeader) -> None:
        # Nothing is there: what was has moved away. Whoever put something in its place meanwhile is not overwritten.
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        line = self._encoder.encode_lines([header])
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(file, line)  # one small write into an empty file: all of it, or an error
        except OSError:
            os.close(file)
            os.unlink(self._path)
            raise
        self._file, self._size, self._full_at = file, len(line), self._size_max

    def _encode(self, records: list[Record]) -> bytes:
        # A queue's key is any hashable thing; a file has its text.
        lines = [msgspec.structs.replace(record, key=str(record.key)) for record in records]
        try:
            return self._encoder.encode_lines(lines)
        except UnicodeEncodeError:
            return b"".join(map(self._encode_one, lines))

    def _encode_one(self, record: Record) -> bytes:
        try:
            return self._encoder.encode_lines([record])
        except UnicodeEncodeError:  # half a character, as the name of a file may have: a gap, not a broken line
            return self._encoder.encode_lines([Gap(1)])

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            # Half a line in the middle would make the whole file unreadable.
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
                os.lseek(self._file, self._size, os.SEEK_SET)
            raise
        self._size += len(data)

    def _rotate(self) -> None:
        full = self._file
        assert full is not None
        try:
            with suppress(FileNotFoundError):  # it moved away when this was tried before, or somebody removed it
                os.replace(self._path, older_part(self._path))
            self._open(JournalHeader(FORMAT, VERSION, self._clock.now(), self._wall.now(), self._run, self._part + 1))
        except OSError as error:
            # It goes on in the full file, wherever that is now, and tries again after as much more.
            self._full_at = self._size + self._size_max
            self._complain(error)
        else:
            self._part += 1
            os.close(full)

    def _complain(self, error: OSError) -> None:
        if not self._has_complained:
            self._has_complained = True
            _log.error(
                "journal file %s: %s; records are missing from it until this is repaired, and nothing else is affected",
                self._path,
                error.strerror or error,
            )


def _make_way(path: str) -> None:
    """Make a journal that is there already the older part; refuse to move anything else."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode) or not _is_journal(os.read(file, 64)):
            raise ConfigurationError(f"{path}: is there already, and no journal; name another file")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(f"{path}: another process writes its journal there; name another file") from error
        older = older_part(path)
        if os.path.exists(older) and not _starts_like_a_journal(older):
            raise ConfigurationError(f"{older}: is in the way, and no journal; move it, or name another file")
        os.replace(path, older)
    finally:
        os.close(file)


def _starts_like_a_journal(path: str) -> bool:
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return _is_journal(file.read(64))


def _is_journal(start: bytes) -> bool:
    # One that was cut inside of its first line is one too.
    expected = f'{{"format":"{FORMAT}"'.encode()
    return start.startswith(expected) or expected.startswith(start)
