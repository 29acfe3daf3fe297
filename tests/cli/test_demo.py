from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.cli import main
from reconciler.cli.demo_check import EXPECTED, problems
from reconciler.controllers.notification import NotificationRequest

ROOT = Path(__file__).parent.parent.parent
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.asyncio
async def test_the_demonstration_comes_out_as_expected_and_ends_by_itself() -> None:
    environment = {**os.environ, "NO_COLOR": "1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "reconciler.cli", "demo",
        cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(40):
        out, errors = await process.communicate()
    text = out.decode()
    assert (process.returncode, errors) == (0, b"")
    assert "\x1b" not in text
    assert text.count("as expected") == len(EXPECTED)
    assert "NOT as expected" not in text
    for number in (1, 2, 3, 4):
        assert f"send file:broken-only attempt {number}: " in text


def test_examples_that_are_not_there_end_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--examples", str(tmp_path)]) == 2
    assert "--examples DIR" in capsys.readouterr().err


def ended(*offsets: float, phase: str = "Failed", channel: str = "file:broken-only") -> NotificationRequest:
    attempts = [
        {"channel": channel, "attempt": n, "timestamp": START + timedelta(seconds=at), "status": "failed"}
        for n, at in enumerate(offsets, start=1)
    ]
    retry = {"maxAttempts": 4, "initialBackoffSeconds": 1, "backoffMultiplier": 2, "maxBackoffSeconds": 60}
    spec = {"type": "Simple", "priority": "Low", "subject": "s", "body": "b", "retryPolicy": retry}
    return NotificationRequest.model_validate({"spec": spec, "status": {"phase": phase, "deliveryAttempts": attempts}})


SEEN = ["Pending", "Sending", "Retrying", "Failed"]


@pytest.mark.parametrize(
    ("obj", "seen", "files", "found"),
    [
        pytest.param(ended(0, 1.05, 3.1, 7.2), SEEN, 0, [], id="as it must be"),
        pytest.param(ended(0, 0.99, 3.1, 7.2), SEEN, 0, ["gap 1 is 0.990 s"], id="too soon"),
        pytest.param(ended(0, 1.0, 3.0, 8.0), SEEN, 0, ["gap 3 is 5.000 s"], id="too late"),
        pytest.param(ended(0, 1.0, 3.0), SEEN, 0, ["expected 4 attempt(s), recorded 3"], id="too few"),
        pytest.param(
            ended(0, 1, 3, 7), ["Pending", "Failed"], 0, ["expected the phases Retrying, Failed"], id="phases"
        ),
        pytest.param(ended(0, 1, 3, 7, phase="Sent"), SEEN, 0, ["expected to end Failed, is Sent"], id="end"),
        pytest.param(ended(0, 1, 3, 7), SEEN, 1, ["expected 0 delivered file(s), found 1"], id="a file too many"),
    ],
)
def test_each_mistake_is_found(obj: NotificationRequest, seen: list[str], files: int, found: list[str]) -> None:
    said = list(problems(obj, EXPECTED["only-channel-fails"], phases_seen=seen, files=files))
    assert len(said) == len(found)
    for expected, text in zip(found, said, strict=True):
        assert expected in text
