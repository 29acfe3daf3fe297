from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.controllers.notification.delivery import Channel, FileChannel, Promise, check_directory
from reconciler.controllers.notification.delivery.file import file_name, file_safe
from reconciler.errors import ConfigurationError, TransientDeliveryError
from tests.controllers.notification.delivery.deliveries import UID, a_delivery

NAME = f"notification-disk-full-{UID}-file_audit.json"


def send(directory: Path, *, format: str = "json", **about: Any) -> None:
    channel: Channel = FileChannel(directory, format)
    asyncio.run(channel.send(a_delivery(**{"channel": "file:audit", **about})))


def entries(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_delivery_is_the_whole_object_in_one_file(tmp_path: Path) -> None:
    # Given a directory that does not exist,
    directory = tmp_path / "a" / "b"
    # when an object with letters of all kinds is delivered,
    send(directory, subject="Zürich 🚨")
    # then its file holds all of it, indented, and readable for everyone.
    assert entries(directory) == [NAME]
    text = (directory / NAME).read_text(encoding="utf-8")
    assert json.loads(text) == a_delivery(subject="Zürich 🚨").notification.to_wire()
    assert text.startswith('{\n  "')
    assert "Zürich 🚨" in text
    assert stat.S_IMODE((directory / NAME).stat().st_mode) & 0o444 == 0o444


def test_yaml_holds_the_same(tmp_path: Path) -> None:
    send(tmp_path, format="yaml")
    (path,) = tmp_path.iterdir()
    assert path.suffix == ".yaml"
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == a_delivery().notification.to_wire()


def test_a_repeated_delivery_replaces_the_file(tmp_path: Path) -> None:
    send(tmp_path, attempt=1, body="first")
    send(tmp_path, attempt=2, body="second")
    assert entries(tmp_path) == [NAME]
    assert json.loads((tmp_path / NAME).read_text())["spec"]["body"] == "second"


def test_a_file_in_the_place_of_the_directory_is_a_transient_failure_until_it_is_gone(tmp_path: Path) -> None:
    # Given a file where the directory should be, which root feels too,
    directory = tmp_path / "out"
    directory.write_text("in the way")
    # when something is delivered, then the failure says what could not be done, and why;
    with pytest.raises(TransientDeliveryError, match=r"cannot make directory .*/out: File exists \(EEXIST\)"):
        send(directory)
    # and once it is repaired, the next attempt succeeds.
    directory.unlink()
    send(directory, attempt=2)
    assert entries(directory) == [NAME]


def test_a_file_further_up_is_a_transient_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TransientDeliveryError, match=r"Not a directory \(ENOTDIR\)"):
        send(tmp_path / "file" / "out")


def test_a_directory_in_the_place_of_the_file_is_a_transient_failure_that_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    with pytest.raises(TransientDeliveryError, match=r"cannot rename into .*\(EISDIR\)"):
        send(tmp_path)
    assert entries(tmp_path) == [NAME]


def test_a_full_disk_is_a_transient_failure_that_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TransientDeliveryError, match=r"cannot write .*: No space left on device \(ENOSPC\)"):
        send(tmp_path)
    assert entries(tmp_path) == []


def test_a_killed_write_leaves_the_old_file_whole_and_one_leftover_that_the_next_attempt_removes(
    tmp_path: Path,
) -> None:
    # Given a delivered file,
    send(tmp_path, attempt=1, body="old")
    # when the process is killed in the middle of the next write,
    script = f"""
import asyncio, os, signal
from pathlib import Path
from reconciler.controllers.notification.delivery import FileChannel
from tests.controllers.notification.delivery.deliveries import a_delivery
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(FileChannel(Path({str(tmp_path)!r})).send(a_delivery(channel="file:audit", attempt=2, body="new")))
"""
    killed = subprocess.run([sys.executable, "-c", script], check=False, timeout=60, cwd=Path(__file__).parents[4])
    assert killed.returncode == -9
    # then the old file is whole, and one hidden file lies beside it,
    assert json.loads((tmp_path / NAME).read_text())["spec"]["body"] == "old"
    hidden = [name for name in entries(tmp_path) if name.startswith(".")]
    assert len(hidden) == 1
    # which the next attempt removes.
    send(tmp_path, attempt=3, body="newer")
    assert entries(tmp_path) == [NAME]
    assert json.loads((tmp_path / NAME).read_text())["spec"]["body"] == "newer"


def test_many_deliveries_at_once_do_not_touch_each_other(tmp_path: Path) -> None:
    async def main() -> None:
        channel = FileChannel(tmp_path)
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                delivery = a_delivery(channel=f"file:{number % 4}", uid=f"uid-{number // 4}", body=f"{number}" * 5000)
                group.create_task(channel.send(delivery))

    asyncio.run(main())
    bodies = [json.loads(path.read_text())["spec"]["body"] for path in tmp_path.iterdir()]
    assert sorted(bodies) == sorted(f"{number}" * 5000 for number in range(40))


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    async def main() -> None:
        channel = FileChannel(tmp_path)
        target = tmp_path / NAME
        await channel.send(a_delivery(channel="file:audit", body="0" * 200_000))
        seen: set[str] = set()
        for attempt in range(2, 12):
            writing = asyncio.create_task(
                channel.send(a_delivery(channel="file:audit", attempt=attempt, body=f"{attempt % 10}" * 200_000))
            )
            while not writing.done():
                seen |= set(json.loads(await asyncio.to_thread(target.read_text))["spec"]["body"])
            await writing
        assert len(seen) > 1

    asyncio.run(main())


def test_a_send_whose_caller_gave_up_may_finish_and_still_leaves_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, is_stuck = threading.Event(), threading.Event()
    real = os.fsync
    first = iter([True])

    def stuck_once(handle: int) -> None:
        if next(first, False):
            is_stuck.set()
            assert go_on.wait(30)
        real(handle)

    monkeypatch.setattr(os, "fsync", stuck_once)

    async def main() -> None:
        channel = FileChannel(tmp_path)
        # Given a first attempt that hangs in the system, and is given up,
        hanging = asyncio.create_task(channel.send(a_delivery(channel="file:audit", attempt=1, body="old")))
        await asyncio.to_thread(is_stuck.wait, 30)
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        # when the second succeeds, and then the first goes on,
        await channel.send(a_delivery(channel="file:audit", attempt=2, body="new"))
        go_on.set()

    asyncio.run(main())  # which waits for the thread
    # then the file is whole, and nothing else is left.
    assert entries(tmp_path) == [NAME]
    assert json.loads((tmp_path / NAME).read_text())["spec"]["body"] == "new"


def test_an_unknown_format_is_refused_when_the_channel_is_built() -> None:
    with pytest.raises(ConfigurationError, match="one of json, yaml; is 'xml'"):
        FileChannel(Path("x"), "xml")


def test_it_promises_at_least_once() -> None:
    assert FileChannel(Path("x")).promise is Promise.AT_LEAST_ONCE


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "safe"),
    [
        pytest.param("console", "console", id="plain"),
        pytest.param("file:audit:1", "file_audit_1", id="colons"),
        pytest.param("file:a_b", "file_a=5Fb", id="an underscore is not a colon"),
        pytest.param("../../etc", "..=2F..=2Fetc", id="a path"),
        pytest.param("a=2Fb", "a=3D2Fb", id="what looks escaped"),
        pytest.param("ü\x00", "=C3=BC=00", id="bytes of other letters"),
    ],
)
def test_a_part_of_a_name_is_written_with_safe_letters(part: str, safe: str) -> None:
    assert file_safe(part) == safe


@given(st.text(max_size=120), st.text(max_size=120))
def test_two_channels_never_share_a_file(one: str, other: str) -> None:
    assert (file_safe(one) == file_safe(other)) is (one == other)
    assert set(file_safe(one)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_=")
    assert len(file_safe(one)) <= 80


def test_two_long_channels_with_the_same_beginning_do_not_share_a_file() -> None:
    assert file_safe("x" * 200 + "1") != file_safe("x" * 200 + "2")


@given(st.text(max_size=300), st.text(min_size=1, max_size=300), st.text(max_size=300))
def test_a_name_stays_in_its_directory_and_fits_into_a_file_system(name: str, channel: str, uid: str) -> None:
    delivery = a_delivery(name=name, channel=channel, uid=uid)
    found = file_name(delivery.notification, channel, "json")
    assert "/" not in found
    assert found.startswith("notification-")
    assert found.endswith(f"-{file_safe(uid)}-{file_safe(channel)}.json")
    assert len(found.encode()) <= 255


def test_the_longest_names_can_be_written(tmp_path: Path) -> None:
    send(tmp_path, name="n" * 253, channel="file:" + "é" * 300)
    (name,) = entries(tmp_path)
    assert len(name) == 255


# --- the check at the start ------------------------------------------------------------------------------------------


def test_the_check_makes_the_directory_and_leaves_nothing_in_it(tmp_path: Path) -> None:
    assert check_directory(tmp_path / "a" / "b") == ""
    assert entries(tmp_path / "a" / "b") == []


def test_the_check_says_why_a_directory_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    assert check_directory(str(tmp_path / "out")) == f"{tmp_path}/out cannot be written: File exists (EEXIST)"
