"""
A YAML file whose every mistake is named by file, line and key.

It knows lines and the shapes of values, not what a key means: `config.py` and `routing.py` do. A scalar keeps the text
it was written with, so that `team: 007` stays `007`, as it does for the Go decoder of the original.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from reconciler.errors import ConfigurationError

__all__ = ["ConfigFileError", "Node", "Reading", "Remark", "read_yaml"]

_TAG = "tag:yaml.org,2002:"
_TRUE_TEXTS = frozenset({"yes", "true", "on"})
_PLAIN_TAGS = frozenset(_TAG + kind for kind in ("str", "int", "float", "timestamp", "value"))


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to say about a place in a file; `line` counts from 1, and 0 means the file as a whole."""

    file: str
    line: int
    key: str
    reason: str

    @property
    def place(self) -> str:
        """File, line and key, as far as they are known."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.key}" if self.key else place

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


class ConfigFileError(ConfigurationError):
    """A configuration file cannot be used. `remarks` are all its mistakes, and the text has one of them a line."""

    def __init__(self, remarks: Sequence[Remark]) -> None:
        """`remarks` must not be empty."""
        self.remarks = tuple(remarks)
        super().__init__("\n".join(str(remark) for remark in self.remarks))


@dataclass(frozen=True, slots=True)
class Node:
    """
    One value of the file.

    Attributes:
        line: Where its key stands; for an item of a list and for the root, where it begins.
        value: None, a bool, text, a mapping or a tuple. Numbers and dates are text.
        text: A scalar as it was written; empty for the rest, and for null.
    """

    line: int
    value: bool | str | Mapping[str, Node] | tuple[Node, ...] | None
    text: str = ""

    @property
    def asks_for_something(self) -> bool:
        """Whether the value is more than Go's zero value: null, false, empty text, no keys, no items."""
        return bool(self.value)


@dataclass(slots=True)
class Reading:
    """One reading of a file. It goes on after a mistake, so that all of them can be told at once."""

    file: str
    mistakes: list[Remark] = field(default_factory=list[Remark])
    warnings: list[Remark] = field(default_factory=list[Remark])

    def refuse(self, line: int, key: str, reason: str) -> None:
        """Note a mistake; `finish` will raise."""
        self.mistakes.append(Remark(self.file, line, key, reason))

    def warn(self, line: int, key: str, reason: str) -> None:
        """Note something that has no effect."""
        self.warnings.append(Remark(self.file, line, key, reason))

    def text(self, node: Node, key: str) -> str:
        """Return a scalar's text; null is empty."""
        if isinstance(node.value, bool | str) or node.value is None:
            return node.text
        self.refuse(node.line, key, "must be text")
        return ""

    def flag(self, node: Node, key: str) -> bool:
        """Return a bool; null is false."""
        if isinstance(node.value, bool) or node.value is None:
            return bool(node.value)
        self.refuse(
            node.line, key, f"must be true or false, is {node.text!r}" if node.text else "must be true or false"
        )
        return False

    def mapping(self, node: Node, key: str) -> Mapping[str, Node]:
        """Return a mapping; null is an empty one."""
        if isinstance(node.value, Mapping):
            return node.value
        if node.value is not None:
            self.refuse(node.line, key, "must hold keys and values")
        return {}

    def items(self, node: Node, key: str) -> tuple[Node, ...]:
        """Return the items of a list; null is an empty one."""
        if isinstance(node.value, tuple):
            return node.value
        if node.value is not None:
            self.refuse(node.line, key, "must be a list")
        return ()

    def finish(self) -> None:
        """Raise `ConfigFileError` with every mistake once, in the order of their lines, if there is one."""
        if self.mistakes:
            raise ConfigFileError(sorted(dict.fromkeys(self.mistakes), key=lambda remark: remark.line))


def read_yaml(path: str | Path) -> tuple[Reading, Node | None]:
    """
    Read the file; an empty one (or one of comments only) gives None.

    Raises:
        ConfigFileError: It cannot be read, is not UTF-8, is not one YAML document, or has a key twice.
    """
    reading = Reading(str(path))
    try:
        root = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        node = None if root is None else _node(reading, root, line=root.start_mark.line + 1, key="")
    except OSError as error:
        raise ConfigFileError([Remark(str(path), 0, "", f"cannot be read: {error.strerror or error}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigFileError([Remark(str(path), 0, "", f"is not UTF-8: {error.reason}")]) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConfigFileError([Remark(str(path), line, "", f"is not YAML: {error.problem or error}")]) from error
    except yaml.YAMLError as error:
        raise ConfigFileError([Remark(str(path), 0, "", f"is not YAML: {str(error).splitlines()[0]}")]) from error
    except RecursionError as error:
        raise ConfigFileError([Remark(str(path), 0, "", "is nested too deeply")]) from error
    reading.finish()
    return reading, None if node is None or node.value is None else node


def _node(reading: Reading, raw: yaml.Node, *, line: int, key: str) -> Node:
    if isinstance(raw, yaml.MappingNode):
        return Node(line, _pairs(reading, raw, key=key))
    if isinstance(raw, yaml.SequenceNode):
        items: list[yaml.Node] = raw.value
        return Node(
            line,
            tuple(
                _node(reading, item, line=item.start_mark.line + 1, key=f"{key}[{index}]")
                for index, item in enumerate(items)
            ),
        )
    text: str = raw.value
    if raw.tag == _TAG + "null":
        return Node(line, None)
    if raw.tag == _TAG + "bool":
        return Node(line, text.lower() in _TRUE_TEXTS, text)
    if raw.tag not in _PLAIN_TAGS:
        reading.refuse(line, key, f"the tag {raw.tag.removeprefix(_TAG)} is not read here")
    return Node(line, text, text)


def _pairs(reading: Reading, raw: yaml.MappingNode, *, key: str) -> dict[str, Node]:
    pairs: dict[str, Node] = {}
    raw_pairs: list[tuple[yaml.Node, yaml.Node]] = raw.value
    for raw_key, raw_value in raw_pairs:
        line = raw_key.start_mark.line + 1
        if not isinstance(raw_key, yaml.ScalarNode):
            reading.refuse(line, key, "a key must be text")
            continue
        name: str = raw_key.value
        path = f"{key}.{name}" if key else name
        if raw_key.tag == _TAG + "merge":
            reading.refuse(line, path, "merge keys are not read here: write the keys out")
        elif name in pairs:
            reading.refuse(line, path, f"is there twice, first in line {pairs[name].line}")
        else:
            pairs[name] = _node(reading, raw_value, line=line, key=path)
    return pairs
