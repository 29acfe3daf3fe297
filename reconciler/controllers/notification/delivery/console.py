"""The console channel: each delivery is one log record."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from reconciler.controllers.notification.delivery.channel import Delivery, Promise

__all__ = ["ConsoleChannel", "ConsoleRecord", "log_record"]

_log = logging.getLogger("reconciler.notification.console")

# Everything that moves a terminal's cursor, begins a new line somewhere, or reverses what is read.
_NOT_PRINTED = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
_IN_SUBJECT = re.compile(rf"[\t\n{_NOT_PRINTED}]")
_IN_BODY = re.compile(rf"[{_NOT_PRINTED}]")


@dataclass(frozen=True, slots=True)
class ConsoleRecord:
    r"""
    One delivery as it is shown.

    Attributes:
        text: `[<priority>] [<type>] <subject>`, a line break, the body, a line break. Control characters are shown
            as escapes such as `\x1b`, in the subject line breaks too, so that a subject cannot forge a record.
        name: `namespace/name` of the request.
        uid: With `channel` and `attempt` it tells a repeated delivery from a new one.
        channel: The channel key.
        attempt: The number of the attempt.
    """

    text: str
    name: str
    uid: str
    channel: str
    attempt: int


def log_record(record: ConsoleRecord) -> None:
    """
    Write the record at level info to the logger `reconciler.notification.console`.

    The text is the message; `notification`, `uid`, `channel` and `attempt` are attributes of the log record, where
    no text can forge them, and it is the formatter's part to show them.
    """
    _log.info(
        record.text,
        extra={
            "notification": record.name,
            "uid": record.uid,
            "channel": record.channel,
            "attempt": record.attempt,
        },
    )


@dataclass(frozen=True, slots=True)
class ConsoleChannel:
    """
    Shows notifications where the process shows its log.

    Guarantees: at least once. After a crash the same notification may be shown again, and then carries the same uid
    and channel and a higher attempt number.

    Mirrors: the original's console service, including the text.
    Differs: control characters are escaped; the record carries uid, channel and attempt.
    """

    write: Callable[[ConsoleRecord], None] = log_record
    timeout: timedelta = timedelta(seconds=5)

    @property
    def promise(self) -> Literal[Promise.AT_LEAST_ONCE]:
        """At least once."""
        return Promise.AT_LEAST_ONCE

    async def send(self, delivery: Delivery) -> None:
        """Write one record. It never waits, so a cancellation comes before the record or after it."""
        spec = delivery.notification.spec
        subject = _IN_SUBJECT.sub(_escape, spec.subject)
        body = _IN_BODY.sub(_escape, spec.body.replace("\r\n", "\n"))
        self.write(
            ConsoleRecord(
                text=f"[{spec.priority}] [{spec.type}] {subject}\n{body}\n",
                name=str(delivery.notification.key),
                uid=delivery.notification.metadata.uid,
                channel=delivery.channel,
                attempt=delivery.attempt,
            )
        )


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
