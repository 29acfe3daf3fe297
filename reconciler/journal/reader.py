"""`read_journal`: what a journal file holds, or a plain sentence about why it cannot be read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO

import msgspec

from reconciler.errors import ConfigurationError
from reconciler.journal.explain import Explanation, explain_records
from reconciler.journal.form import FORMAT, VERSION, Gap, JournalHeader, decode_line, older_part
from reconciler.journal.records import EventSeen, Record

__all__ = ["JournalFile", "read_journal"]

_HEADER_MAX = 4_096
"""Bytes within which the first line ends."""


@dataclass(frozen=True, slots=True)
class JournalFile:
    """
    What a journal file holds.

    Attributes:
        records: In the order in which they were written: those that were asked for.
        notes: What is missing, in plain sentences; empty if nothing is.
        places: How many records each (scope, key) has, those that were not asked for included.
        kinds: The kinds of the objects that the keys of each scope name.
    """

    path: str
    header: JournalHeader
    records: tuple[Record, ...]
    notes: tuple[str, ...]
    places: Mapping[tuple[str, str], int]
    kinds: Mapping[str, frozenset[str]]

    def wall_of(self, at: int) -> datetime:
        """Return the wall time (UTC) of a record's moment, as if the wall clock had not been set since."""
        return self.header.wall_of(at)

    def explain(self, key: str, *, scope: str) -> Explanation:
        """Return the history of one key of one controller, from the records that were asked for."""
        records = [record for record in self.records if record.key == key and record.scope == scope]
        others = [record for record in self.records if record.key != key or record.scope != scope]
        return explain_records(scope, key, records, neighbours=others)


def read_journal(path: str | os.PathLike[str], *, keep: Callable[[Record], bool] | None = None) -> JournalFile:
    """
    Read a journal file, and the older part beside it if it is of the same run.

    A last line that was cut when its writer was killed is left out, and noted.

    Args:
        path: The file.
        keep: Which records to keep; None keeps all. A full file has several hundred thousand.

    Raises:
        ConfigurationError: It cannot be read, is no journal, or one of another version, or a line in it is none.
    """
    name = os.fspath(path)
    reading = _Reading(keep)
    header = reading.header(name)
    if header.part:
        older = _older_header(name)
        if older is not None and (older.run, older.part) == (header.run, header.part - 1):
            reading.part(older_part(name))
            if older.part:
                reading.notes.append(f"{older.part} older parts of this run are gone: the file was full that often")
        else:
            reading.notes.append(f"the {header.part} older parts of this run are gone")
    reading.part(name)
    return JournalFile(
        name,
        header,
        tuple(reading.records),
        tuple(reading.notes),
        dict(reading.places),
        {scope: frozenset(kinds) for scope, kinds in reading.kinds.items()},
    )


@dataclass(slots=True)
class _Reading:
    keep: Callable[[Record], bool] | None
    records: list[Record] = field(default_factory=list[Record])
    notes: list[str] = field(default_factory=list[str])
    places: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    kinds: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    def header(self, path: str) -> JournalHeader:
        with _opened(path) as file:
            return _read_header(path, file)

    def part(self, path: str) -> None:
        with _opened(path) as file:
            _read_header(path, file)
            for number, line in enumerate(_lines(path, file), start=2):
                self._line(path, number, line)

    def _line(self, path: str, number: int, line: bytes) -> None:
        if not line.endswith(b"\n"):
            self.notes.append(f"{path}:{number}: the last line is cut; its writer was stopped in the middle of it")
            return
        try:
            said = decode_line(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"{path}:{number}: this line is no record ({error}); the file was changed or damaged: remove the line "
                "to read the rest"
            ) from error
        if isinstance(said, Gap):
            self.notes.append(f"{path}:{number}: {said.missed} records are missing here: they could not be written")
            return
        self.places[said.scope, str(said.key)] += 1
        if isinstance(said, EventSeen) and said.kind and not said.source:
            self.kinds.setdefault(said.scope, set()).add(said.kind)
        if self.keep is None or self.keep(said):
            self.records.append(said)


def _opened(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from error


def _lines(path: str, file: BinaryIO) -> Iterator[bytes]:
    try:
        yield from file
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from error


def _read_header(path: str, file: BinaryIO) -> JournalHeader:
    try:
        line = file.readline(_HEADER_MAX)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from error
    start = f'{{"format":"{FORMAT}"'.encode()
    if not line.endswith(b"\n") and (start.startswith(line) or line.startswith(start)):
        raise ConfigurationError(
            f"{path}: is empty or cut in its first line, so it holds no records; its writer was stopped at its start"
        )
    version = _version_of(line)
    if version is None:
        raise ConfigurationError(f"{path}: is no journal; name a file that `reconciler run --journal FILE` wrote")
    if version != VERSION:
        raise ConfigurationError(
            f"{path}: is a journal of version {version}, and version {VERSION} is the one that can be read here; read "
            "it with the reconciler that wrote it"
        )
    try:
        return msgspec.json.decode(line, type=JournalHeader)
    except msgspec.MsgspecError as error:
        raise ConfigurationError(
            f"{path}:1: the first line is no header of a journal ({error}); the file was changed or damaged"
        ) from error


class _AnyHeader(msgspec.Struct):
    format: str
    version: int


def _version_of(line: bytes) -> int | None:
    try:
        header = msgspec.json.decode(line, type=_AnyHeader)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return header.version if header.format == FORMAT else None


def _older_header(path: str) -> JournalHeader | None:
    older = older_part(path)
    if not os.path.exists(older):
        return None
    with _opened(older) as file:
        try:
            return _read_header(older, file)
        except ConfigurationError:
            return None  # some other file: then the parts before are gone
