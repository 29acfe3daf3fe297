"""The file channel: each delivery is the whole object in one file, replaced as a whole."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import yaml

from reconciler.controllers.notification.delivery.channel import Delivery, Promise
from reconciler.controllers.notification.types import NotificationRequest
from reconciler.errors import ConfigurationError, TransientDeliveryError

__all__ = ["FileChannel", "check_directory", "file_name", "file_safe"]

_PART_MAX = 80
_FILE_NAME_MAX = 255  # bytes, on every common file system; all names here are ASCII


def _as_json(wire: Mapping[str, Any]) -> str:
    return json.dumps(wire, indent=2, ensure_ascii=False) + "\n"


def _as_yaml(wire: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(dict(wire), sort_keys=False, allow_unicode=True)
    return text


_FORMATS: Mapping[str, Callable[[Mapping[str, Any]], str]] = MappingProxyType({"json": _as_json, "yaml": _as_yaml})


def file_safe(part: str) -> str:
    """
    Return `part` written with letters, digits, `-`, `.`, `_` and `=` only; at most 80 characters.

    `:` becomes `_`; every other character outside letters, digits, `-` and `.` becomes `=XX` for each of its UTF-8
    bytes, `_` and `=` included, so two different parts never look the same. What is longer is cut, and ends in `==`
    and a digest of the whole instead, which no uncut part can end in.
    """
    safe = re.sub(r"[^A-Za-z0-9.\-]", lambda match: "_" if match[0] == ":" else _escaped(match[0]), part)
    if len(safe) <= _PART_MAX:
        return safe
    digest = hashlib.sha256(part.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{safe[: _PART_MAX - 18]}=={digest}"


def _escaped(character: str) -> str:
    return "".join(f"={byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def file_name(notification: NotificationRequest, channel: str, format_: str) -> str:
    """
    Return `notification-<name>-<uid>-<channel>.<format>`, each part file-safe; at most 255 characters.

    It has neither attempt nor time in it, so that a repeated delivery replaces the same file. No two requests share
    a file, since the uid is in it, and no two channels of one do, since `file_safe` keeps them apart (on a file
    system that knows capital letters). Only the request's name is cut where the whole would be too long.
    """
    metadata = notification.metadata
    tail = f"-{file_safe(metadata.uid)}-{file_safe(channel)}.{format_}"
    # Names are DNS names, which need no escaping; but the file must stay in its directory whatever the name is.
    name = re.sub(r"[^A-Za-z0-9.\-]", lambda match: _escaped(match[0]), metadata.name)
    return f"notification-{name}"[: _FILE_NAME_MAX - len(tail)] + tail


@dataclass(frozen=True, slots=True)
class FileChannel:
    """
    Writes notifications into a directory.

    Attributes:
        directory: Made with mode 0755 at each send if it is missing, parents included.
        format: `json` (two spaces of indentation) or `yaml`.
        timeout: How long the caller lets one send run.

    Guarantees: at least once. The file is whole at every moment: written aside, synced, renamed into place, synced
    again. A repeated delivery replaces the file. A write that was killed leaves one hidden file beside it, which the
    next attempt removes.

    Raises:
        ConfigurationError: `format` is unknown.

    Mirrors: the original's file service.
    Differs: one file for each request and channel instead of one for each attempt; no time in the name; the
    directory of the receiver is honoured; the time-out has an effect.
    """

    directory: Path
    format: str = "json"
    timeout: timedelta = timedelta(seconds=10)

    def __post_init__(self) -> None:
        if self.format not in _FORMATS:
            raise ConfigurationError(f"file format must be one of {', '.join(_FORMATS)}; is {self.format!r}")

    @property
    def promise(self) -> Literal[Promise.AT_LEAST_ONCE]:
        """At least once."""
        return Promise.AT_LEAST_ONCE

    async def send(self, delivery: Delivery) -> None:
        """
        Write the whole object.

        Cancelled while writing: the thread goes on, and may still put the file into place, whole, also after a later
        attempt did; at worst the file then shows the status of the earlier attempt.

        Raises:
            TransientDeliveryError: The system refused a step; the text names the step, the path and the reason.
        """
        await asyncio.to_thread(self._write, delivery)

    def _write(self, delivery: Delivery) -> None:
        text = _FORMATS[self.format](delivery.notification.to_wire())
        target = self.directory / file_name(delivery.notification, delivery.channel, self.format)
        with _step("make directory", self.directory):
            self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        # Each attempt has its own name, so an earlier one that still hangs in the system never writes into ours;
        # and earlier names are known without listing the directory.
        asides = [self.directory / _aside_name(delivery, attempt) for attempt in range(1, delivery.attempt + 1)]
        with _step("write", target):
            for leftover in asides:
                leftover.unlink(missing_ok=True)
            _write_synced(asides[-1], text)
        try:
            with _step("rename into", target):
                asides[-1].replace(target)
                _sync_directory(self.directory)
        except BaseException:
            _forget(asides[-1])
            raise


def _aside_name(delivery: Delivery, attempt: int) -> str:
    return f".{file_safe(delivery.notification.metadata.uid)}-{file_safe(delivery.channel)}-{attempt}.tmp"


def _write_synced(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        _forget(path)
        raise


def _forget(path: Path) -> None:
    # The error under way says more than this one would.
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _step(doing: str, path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise TransientDeliveryError(f"cannot {doing} {path}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    code = errno.errorcode.get(error.errno, "") if error.errno else ""
    words = error.strerror or str(error) or type(error).__name__
    return f"{words} ({code})" if code else words


def check_directory(directory: str | Path) -> str:
    """
    Make the directory if it is missing, write into it, and return why that does not work; empty if it does.

    Blocks; for the start only. Nothing is left in the directory.
    """
    path = Path(directory)
    try:
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path, prefix=".write-test-") as file:
            file.write(b"test")
    except OSError as error:
        return f"{path} cannot be written: {_reason(error)}"
    return ""
