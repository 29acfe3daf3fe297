"""From configuration to channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from reconciler.controllers.notification.config import NotificationConfig
from reconciler.controllers.notification.delivery.channel import Channel
from reconciler.controllers.notification.delivery.console import ConsoleChannel, ConsoleRecord, log_record
from reconciler.controllers.notification.delivery.file import FileChannel, check_directory
from reconciler.controllers.notification.routing import Routing
from reconciler.errors import ConfigurationError

__all__ = ["build_channels", "check_directories"]


def build_channels(
    config: NotificationConfig,
    routing: Routing,
    *,
    console: Callable[[ConsoleRecord], None] = log_record,
) -> dict[str, Channel]:
    """
    Return a channel for every key that `routing` can name, and for the service-wide `file` if it is configured.

    Nothing is opened, made or written.

    Raises:
        ConfigurationError: A file receiver has no directory, neither of its own nor in the config file.
    """
    channels: dict[str, Channel] = {}
    for key, directory in _directories(config, routing).items():
        channels[key] = FileChannel(directory, config.file_format)
    for key, destination in routing.destinations().items():
        if destination.kind == "console":
            channels[key] = ConsoleChannel(console)
    return channels


def check_directories(config: NotificationConfig, routing: Routing) -> tuple[str, ...]:
    """
    Try every directory that file channels will write to, and return what is wrong, a sentence each.

    Blocks; for the start only. A directory that cannot be written is no reason to stay down: the attempts will fail
    and be tried again, and somebody may repair it meanwhile.

    Raises:
        ConfigurationError: Something is wrong, and `delivery.file.strict` is set.
    """
    directories = sorted(set(_directories(config, routing).values()))
    problems = tuple(problem for problem in map(check_directory, directories) if problem)
    if problems and config.file_strict:
        raise ConfigurationError("\n".join(f"{problem} (delivery.file.strict is set)" for problem in problems))
    return problems


def _directories(config: NotificationConfig, routing: Routing) -> Mapping[str, Path]:
    directories: dict[str, Path] = {}
    if config.file_output_dir:
        directories["file"] = Path(config.file_output_dir)
    for key, destination in routing.destinations().items():
        if destination.kind != "file":
            continue
        directory = destination.directory or config.file_output_dir
        if not directory:
            raise ConfigurationError(
                f"{destination.declared_at}: has no path, and delivery.file.outputDir of "
                f"{config.file or 'the configuration'} is empty: set one of the two"
            )
        directories[key] = Path(directory)
    return directories
