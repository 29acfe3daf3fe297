from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from reconciler.cli.logs import ConsoleFormatter, JsonFormatter, configure_logging


@pytest.fixture
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    console = logging.getLogger("reconciler.notification.console")
    before = root.handlers[:], root.level, console.level
    yield
    root.handlers[:], root.level = before[0], before[1]
    console.setLevel(before[2])


def record(text: str, **extra: object) -> logging.LogRecord:
    made = logging.getLogger("l").makeRecord("l", logging.INFO, "f", 1, text, (), None, extra=extra)
    made.created = 0.0
    return made


def test_a_json_record_is_one_line_and_carries_its_extra_fields() -> None:
    line = JsonFormatter().format(record("two\nlines", uid="u", attempt=2))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.000+00:00",
        "level": "INFO",
        "logger": "l",
        "message": "two\nlines",
        "uid": "u",
        "attempt": 2,
    }


def test_a_record_for_people_ends_with_its_extra_fields() -> None:
    assert ConsoleFormatter().format(record("hello\n", uid="u")).endswith("INFO    hello uid=u")


def test_a_traceback_is_in_both_forms() -> None:
    made = record("failed")
    error = ValueError("why")
    made.exc_info = (type(error), error, None)
    assert "ValueError: why" in json.loads(JsonFormatter().format(made))["traceback"]
    assert ConsoleFormatter().format(made).endswith("ValueError: why")


@pytest.mark.usefixtures("_restored")
def test_console_deliveries_are_shown_at_any_level(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("ERROR", "json")
    logging.getLogger("reconciler.run").warning("hidden")
    logging.getLogger("reconciler.notification.console").info("delivered")
    shown = [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]
    assert shown == ["delivered"]
