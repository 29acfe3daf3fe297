from __future__ import annotations

import asyncio
import logging

import pytest

from reconciler.controllers.notification.delivery import Channel, ConsoleChannel, ConsoleRecord, Promise
from tests.controllers.notification.delivery.deliveries import UID, a_delivery


def shown(**spec: str) -> ConsoleRecord:
    records: list[ConsoleRecord] = []
    channel: Channel = ConsoleChannel(records.append)
    asyncio.run(channel.send(a_delivery(attempt=3, **spec)))
    (record,) = records
    return record


def test_a_delivery_is_one_record_with_the_text_of_the_original() -> None:
    assert shown() == ConsoleRecord(
        text="[High] [Escalation] Disk full\non `node-7`\n",
        name="default/disk-full",
        uid=UID,
        channel="console",
        attempt=3,
    )


def test_the_body_keeps_its_lines_and_the_subject_stays_on_one() -> None:
    text = shown(subject="a\n[Low] [Simple] forged\r\u2028x", body="one\r\ntwo\n\tthree").text
    assert text == "[High] [Escalation] a\\n[Low] [Simple] forged\\r\\u2028x\none\ntwo\n\tthree\n"


def test_control_characters_cannot_reach_the_terminal() -> None:
    text = shown(subject="\x1b[2Jgone 🚨", body="a\x07b\rc\x9bd\u202ee").text
    assert text == "[High] [Escalation] \\x1b[2Jgone 🚨\na\\x07b\\rc\\x9bd\\u202ee\n"


def test_by_default_it_goes_to_the_log_with_what_tells_a_repeat(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "reconciler.notification.console"):
        asyncio.run(ConsoleChannel().send(a_delivery(subject="100 %s", attempt=2)))
    (record,) = caplog.records
    assert record.getMessage() == "[High] [Escalation] 100 %s\non `node-7`\n"
    said = {name: getattr(record, name) for name in ("notification", "uid", "channel", "attempt")}
    assert said == {"notification": "default/disk-full", "uid": UID, "channel": "console", "attempt": 2}


def test_it_promises_at_least_once() -> None:
    assert ConsoleChannel().promise is Promise.AT_LEAST_ONCE


def test_the_idempotency_key_is_the_same_for_every_attempt_of_a_channel_of_an_object() -> None:
    key = a_delivery(attempt=1).idempotency_key
    assert key == a_delivery(attempt=2).idempotency_key == f"{UID}/console"
    assert key != a_delivery(channel="file").idempotency_key
    assert key != a_delivery(uid="another").idempotency_key
