"""The pages of docs/notification: what they show is what the code makes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from reconciler.controllers.notification import (
    TABLE,
    Channel,
    ConsoleChannel,
    FileChannel,
    NotificationConfig,
    NotificationRequest,
    Policy,
    Promise,
    load_notification_config,
    load_routing,
)
from reconciler.controllers.notification.conditions import routing_condition
from reconciler.controllers.notification.config import RULES, Honoured, NotYet, WithoutEffect
from reconciler.controllers.notification.plan import decide, make_plan
from reconciler.controllers.notification.record import (
    Outcome,
    announce,
    begin_sending,
    enter_pending,
    record_decision,
    settle,
)
from reconciler.controllers.notification.routing import Resolution, attributes

PAGES = Path(__file__).parents[3] / "docs" / "notification"
OVERVIEW = (PAGES / "README.md").read_text()
STATUS = (PAGES / "status-delivery.md").read_text()
CHANNELS = ("console", "file:audit")
START = datetime(2026, 1, 1, 10, tzinfo=UTC)
DIRECTORY_IS_FULL = "cannot write /srv/audit/n.json: No space left on device (ENOSPC)"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def rows(page: str, heading: str) -> list[list[str]]:
    section = page.split(f"## {heading}\n")[1].split("\n## ", maxsplit=1)[0]
    return [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")][2:]


def test_the_diagram_of_the_phases_is_that_of_the_table() -> None:
    assert blocks(OVERVIEW, "mermaid") == ["\n".join(TABLE.diagram()) + "\n"]


def test_the_page_tells_what_becomes_of_every_config_key() -> None:
    told = {key: what for keys, what, _ in rows(OVERVIEW, "The config file") for key in re.findall(r"`([^`]+)`", keys)}
    kinds = {Honoured: "honoured", NotYet: "refused", WithoutEffect: "no effect"}
    assert told == {key: kinds[type(rule)] for key, rule in RULES.items()}


def test_the_files_of_the_page_are_accepted_without_a_warning(tmp_path: Path) -> None:
    config_text, routing_text = blocks(OVERVIEW, "yaml")
    (tmp_path / "config.yaml").write_text(config_text)
    (tmp_path / "routing.yaml").write_text(routing_text)
    config, routing = load_notification_config(tmp_path / "config.yaml"), load_routing(tmp_path / "routing.yaml")
    assert (config.warnings, routing.warnings) == ((), ())
    assert config.file_output_dir != NotificationConfig().file_output_dir
    assert routing.resolve({"severity": "critical"}).channels == ("console", "file:on-call")
    assert routing.resolve({}).channels == ("file",)


def test_the_page_tells_the_promise_and_the_time_out_of_every_channel() -> None:
    channels: dict[str, Channel] = {"console": ConsoleChannel(), "file": FileChannel(Path("/srv"))}
    told = {row[0].strip("`"): (row[1], row[2]) for row in rows(OVERVIEW, "Channels and their promises")}
    assert told == {
        name: (channel.promise.value, f"{channel.timeout.total_seconds():g} s") for name, channel in channels.items()
    }


def test_the_status_with_an_attempt_in_doubt_is_the_one_that_the_code_writes() -> None:
    assert yaml.safe_load(blocks(STATUS, "yaml")[0]) == {"status": status_with_an_attempt_in_doubt()}


def status_with_an_attempt_in_doubt() -> dict[str, Any]:
    """The console is delivered, the file fails; the process dies during the file's second attempt, and comes back."""
    obj = NotificationRequest.model_validate(
        {"metadata": {"uid": "u"}, "spec": {"type": "Simple", "priority": "High", "subject": "s", "body": "b"}}
    )
    status, policy = obj.status, Policy()
    resolution = Resolution(CHANNELS, ("audit",))
    routing = routing_condition(resolution, attributes(obj), now=START, generation=1)
    enter_pending(status, now=START, generation=1)
    begin_sending(status, channels=CHANNELS, routing=routing, now=START, generation=1)
    announce(status, [(channel, 1) for channel in CHANNELS], now=START)
    first_ends = START + timedelta(milliseconds=20)
    failed = Outcome("file:audit", 1, first_ends, 0.02, DIRECTORY_IS_FULL, "transient")
    settle(status, [Outcome("console", 1, START, 0.001), failed])
    second_begins = first_ends + policy.delay(1, uid="u", channel="file:audit")
    announce(status, [("file:audit", 2)], now=second_begins)
    # The outcome is lost with the process; the next one finds the intent 5 s later.
    now = second_begins + timedelta(seconds=5)
    settle(status, [])
    plan = make_plan(
        status,
        uid="u",
        channels=CHANNELS,
        policy=policy,
        promise_of=lambda _: Promise.AT_LEAST_ONCE,
        age_of=lambda channel, attempt, ended_at: now - ended_at,
    )
    record_decision(status, decide(plan, policy), plan, now=now, generation=1)
    wire: dict[str, Any] = status.to_wire()
    return wire
