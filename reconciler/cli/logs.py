"""How a command of ours logs: as JSON, one line a record, or for people, as the message reads."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

__all__ = ["ConsoleFormatter", "JsonFormatter", "configure_logging"]

_LEVELS = {"DEBUG": logging.DEBUG, "INFO": logging.INFO, "WARN": logging.WARNING, "ERROR": logging.ERROR}

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a record: `time`, `level`, `logger`, `message`, and the record's extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line; newlines in it are escaped."""
        line: dict[str, Any] = {
            **{name: value for name, value in vars(record).items() if name not in _PLAIN},
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


class ConsoleFormatter(logging.Formatter):
    """Time, level, message, and the extra fields as `name=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record for people; a traceback follows on lines of its own."""
        extra = "".join(f" {name}={value}" for name, value in vars(record).items() if name not in _PLAIN)
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        text = f"{time} {record.levelname:<7} {record.getMessage().rstrip()}{extra}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def configure_logging(level: str, form: str) -> None:
    """
    Send all logs to standard error.

    Args:
        level: `DEBUG`, `INFO`, `WARN` or `ERROR`. The console channel's deliveries are shown at any level: a
            notification that counts as delivered must have been seen.
        form: `json` or `console`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else ConsoleFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[level])
    logging.getLogger("reconciler.notification.console").setLevel(logging.INFO)
