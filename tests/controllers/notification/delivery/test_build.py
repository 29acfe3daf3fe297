from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from reconciler.controllers.notification.config import NotificationConfig
from reconciler.controllers.notification.delivery import (
    ConsoleChannel,
    ConsoleRecord,
    FileChannel,
    build_channels,
    check_directories,
)
from reconciler.controllers.notification.routing import Routing, load_routing
from reconciler.errors import ConfigurationError
from tests.controllers.notification.delivery.deliveries import a_delivery


def routing(tmp_path: Path, receivers: str) -> Routing:
    path = tmp_path / "routing.yaml"
    path.write_text(f"route: {{}}\nreceivers:\n{receivers}", encoding="utf-8")
    return load_routing(path)


def test_every_channel_key_of_the_routing_file_gets_its_channel(tmp_path: Path) -> None:
    found = routing(tmp_path, "- {name: a, fileConfigs: [{path: /x}, {path: /y}]}\n- {name: b, fileConfigs: [{}]}\n")
    channels = build_channels(NotificationConfig(file_output_dir="/wide", file_format="yaml"), found)
    assert channels == {
        "console": ConsoleChannel(),
        "file:a:0": FileChannel(Path("/x"), "yaml"),
        "file:a:1": FileChannel(Path("/y"), "yaml"),
        "file": FileChannel(Path("/wide"), "yaml"),
    }


def test_a_service_wide_file_channel_exists_if_it_is_configured_also_unrouted() -> None:
    assert sorted(build_channels(NotificationConfig(file_output_dir="/wide"), Routing())) == ["console", "file"]
    assert sorted(build_channels(NotificationConfig(), Routing())) == ["console"]


def test_the_console_writes_where_it_is_told() -> None:
    records: list[ConsoleRecord] = []
    channels = build_channels(NotificationConfig(), Routing(), console=records.append)
    asyncio.run(channels["console"].send(a_delivery()))
    assert [record.name for record in records] == ["default/disk-full"]


def test_a_file_receiver_without_any_directory_is_refused_with_both_places(tmp_path: Path) -> None:
    found = routing(tmp_path, "- name: a\n  fileConfigs:\n  - enabled: true\n")
    with pytest.raises(ConfigurationError) as caught:
        build_channels(NotificationConfig(file="config.yaml"), found)
    assert str(caught.value) == (
        f"{tmp_path}/routing.yaml:5: receivers[0].fileConfigs[0]: has no path, "
        "and delivery.file.outputDir of config.yaml is empty: set one of the two"
    )


def test_directories_that_cannot_be_written_are_told_and_end_the_start_only_if_strict(tmp_path: Path) -> None:
    # Given one good directory, and one with a file in its place that two receivers use,
    (tmp_path / "bad").write_text("")
    found = routing(
        tmp_path,
        f"- {{name: a, fileConfigs: [{{path: {tmp_path}/good}}, {{path: {tmp_path}/bad}}]}}\n"
        f"- {{name: b, fileConfigs: [{{path: {tmp_path}/bad}}]}}\n",
    )
    said = f"{tmp_path}/bad cannot be written: File exists (EEXIST)"
    # then it is told once;
    assert check_directories(NotificationConfig(), found) == (said,)
    assert (tmp_path / "good").is_dir()
    # and with delivery.file.strict it is an error.
    with pytest.raises(ConfigurationError, match=r"bad cannot be written.*\(delivery.file.strict is set\)"):
        check_directories(NotificationConfig(file_strict=True), found)


def test_strict_directories_that_can_be_written_are_fine(tmp_path: Path) -> None:
    config = NotificationConfig(file_strict=True, file_output_dir=str(tmp_path / "out"))
    assert check_directories(config, Routing()) == ()
