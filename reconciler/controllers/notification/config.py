"""
The controller's config file: the keys of the original, and what this version makes of each.

A key is honoured; or it asks for something this version does not do yet, and is refused, since going on without it
would look like obedience; or it has no effect in the original either, and is warned about. `RULES` says which.

Like the original, an empty value means the default. `datastorage` is not required.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from reconciler.controllers.notification.yaml_file import ConfigFileError, Node, Reading, Remark, read_yaml

__all__ = ["RULES", "ConfigFileError", "NotificationConfig", "Remark", "load_notification_config"]


@dataclass(frozen=True, slots=True)
class NotificationConfig:
    """
    What the config file says; the defaults hold where it says nothing, or where there is none.

    Attributes:
        health_probe_addr: `HOST:PORT`, where HOST may be empty, and port 0 means a free one.
        file_output_dir: The directory of the service-wide channel `file`; empty means there is no such channel.
        file_format: For every file channel.
        file_strict: Whether a directory that cannot be written ends the start. Our own key.
        logging_level: As the original spells it.
        logging_format: One JSON object a line, or lines for people.
        file: The file that was read; empty where there is none.
        warnings: Keys that were ignored, each with its place.
    """

    health_probe_addr: str = ":8081"
    file_output_dir: str = ""
    file_format: Literal["json", "yaml"] = "json"
    file_strict: bool = False
    logging_level: Literal["DEBUG", "INFO", "WARN", "ERROR"] = "INFO"
    logging_format: Literal["json", "console"] = "json"
    file: str = ""
    warnings: tuple[Remark, ...] = ()


@dataclass(frozen=True, slots=True)
class Honoured:
    """The key sets `field` to what `parse` makes of the value; None from `parse` keeps the default."""

    field: str
    parse: Callable[[Reading, Node, str], str | bool | None]


@dataclass(frozen=True, slots=True)
class NotYet:
    """The key is refused with `advice`, unless it is absent, null, or written as one of `harmless`."""

    advice: str
    harmless: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class WithoutEffect:
    """The key is accepted and changes nothing; `warning` is said about it, if there is one."""

    warning: str = ""


def _text(reading: Reading, node: Node, key: str) -> str | None:
    return reading.text(node, key) or None


def _flag(reading: Reading, node: Node, key: str) -> bool:
    return reading.flag(node, key)


def _one_of(*allowed: str) -> Callable[[Reading, Node, str], str | None]:
    def parse(reading: Reading, node: Node, key: str) -> str | None:
        text = reading.text(node, key)
        if text and text not in allowed:
            reading.refuse(node.line, key, f"must be one of {', '.join(allowed)}; is {text!r}")
        return text or None

    return parse


def _address(reading: Reading, node: Node, key: str) -> str | None:
    text = reading.text(node, key)
    _, colon, port = text.rpartition(":")
    is_port = port.isascii() and port.isdigit() and int(port) <= 65535
    if text and not (colon and is_port):
        reading.refuse(node.line, key, f"must be HOST:PORT, where HOST may be empty; is {text!r}")
    return text or None


def _console(reading: Reading, node: Node, key: str) -> None:
    if not reading.flag(node, key):
        reading.warn(node.line, key, "the console channel cannot be switched off")


_NO_AUDIT = NotYet("this version writes no audit events: remove the key")
_FALSE = frozenset({"false", "False", "FALSE", "no", "off"})

RULES: Mapping[str, Honoured | NotYet | WithoutEffect] = MappingProxyType({
    "controller.healthProbeAddr":     Honoured("health_probe_addr", _address),
    "controller.metricsAddr":         NotYet('this version serves no metrics: remove the key, or set it to "0"',
                                             frozenset({"0"})),
    "controller.leaderElection":      NotYet("this version elects no leader: run one replica, and set it to false",
                                             _FALSE),
    # Without an election its name has no effect, in the original neither.
    "controller.leaderElectionId":    WithoutEffect(),
    "delivery.console.enabled":       Honoured("", _console),
    "delivery.file.outputDir":        Honoured("file_output_dir", _text),
    "delivery.file.format":           Honoured("file_format", _one_of("json", "yaml")),
    "delivery.file.strict":           Honoured("file_strict", _flag),
    "delivery.file.timeout":          WithoutEffect("has no effect, as in the original"),
    "delivery.log.enabled":           NotYet("this version has no log channel: set it to false", _FALSE),
    "delivery.log.format":            WithoutEffect(),
    "delivery.slack.timeout":         NotYet("this version has no Slack, PagerDuty or Teams channel: remove the key"),
    "delivery.credentials.dir":       NotYet("this version has no channel that needs credentials: remove the key"),
    "datastorage.url":                _NO_AUDIT,
    "datastorage.healthUrl":          _NO_AUDIT,
    "datastorage.timeout":            _NO_AUDIT,
    "datastorage.buffer.bufferSize":    _NO_AUDIT,
    "datastorage.buffer.batchSize":     _NO_AUDIT,
    "datastorage.buffer.flushInterval": _NO_AUDIT,
    "datastorage.buffer.maxRetries":    _NO_AUDIT,
    "logging.level":                  Honoured("logging_level", _one_of("DEBUG", "INFO", "WARN", "ERROR")),
    "logging.format":                 Honoured("logging_format", _one_of("json", "console")),
    "tlsProfile":                     NotYet("this version serves no TLS: remove the key", frozenset({""})),
})  # fmt: skip
"""What becomes of each key that the original knows, and of our own; any other key is warned about and ignored."""

_SECTIONS = frozenset(key.rsplit(".", depth)[0] for key in RULES for depth in range(1, key.count(".") + 1))


def load_notification_config(path: str | Path) -> NotificationConfig:
    """
    Read the config file; an empty one gives the defaults.

    Raises:
        ConfigFileError: The file cannot be read or parsed, a value is wrong, or a key asks for something that this
            version does not do yet. It holds every mistake, each with file, line, key and what to do.

    Differs: a key that is there twice is an error with its line, as are wrong formats, which the original takes for
        the default.
    """
    reading, root = read_yaml(path)
    values: dict[str, Any] = {}
    if root is not None:
        _read(reading, reading.mapping(root, ""), "", values)
    reading.finish()
    return replace(NotificationConfig(), **values, file=str(path), warnings=tuple(reading.warnings))


def _read(reading: Reading, section: Mapping[str, Node], prefix: str, values: dict[str, Any]) -> None:
    for name, node in section.items():
        key = prefix + name
        rule = RULES.get(key)
        if key in _SECTIONS:
            _read(reading, reading.mapping(node, key), f"{key}.", values)
        elif rule is None:
            reading.warn(node.line, key, "unknown key, ignored")
        elif node.value is not None:
            _obey(rule, reading, node, key, values)


def _obey(
    rule: Honoured | NotYet | WithoutEffect, reading: Reading, node: Node, key: str, values: dict[str, Any]
) -> None:
    match rule:
        case Honoured(field, parse):
            value = parse(reading, node, key)
            if value is not None:
                values[field] = value
        case NotYet(advice, harmless):
            if not isinstance(node.value, str | bool) or node.text not in harmless:
                reading.refuse(node.line, key, advice)
        case WithoutEffect(warning):
            if warning:
                reading.warn(node.line, key, warning)
