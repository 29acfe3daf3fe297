"""
Which channels a notification goes to: the routing file, and how attributes choose a receiver in it. Pure after reading.

A tree of routes: the children of a route are tried in order, the first whose `match` fits decides, depth first; where
no child fits, the route's own receiver is taken. A receiver names channels.

This version has `match` (exact, all of them) and the console and file receivers. Keys of the original that ask for
more are refused; keys that the original ignores are warned about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from reconciler.controllers.notification.types import NotificationContext, NotificationRequest
from reconciler.controllers.notification.yaml_file import Node, Reading, Remark, read_yaml

__all__ = [
    "BUILT_IN_RECEIVER",
    "FALLBACK_RECEIVER",
    "Destination",
    "Resolution",
    "Route",
    "Routing",
    "attributes",
    "flatten_context",
    "load_routing",
]

CONSOLE: Literal["console"] = "console"
FILE: Literal["file"] = "file"

BUILT_IN_RECEIVER = "console-fallback"
"""The root receiver while the routing file is empty."""
FALLBACK_RECEIVER = "default-console-fallback"
"""Stands in where the route that was chosen names no receiver."""


@dataclass(frozen=True, slots=True)
class Destination:
    """
    What a channel key needs in order to be built.

    Attributes:
        kind: Which kind of channel.
        directory: Of a file channel; empty means the service-wide one, `delivery.file.outputDir`.
        declared_at: File, line and key that ask for it; empty for what is built in.
    """

    kind: Literal["console", "file"]
    directory: str = ""
    declared_at: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """A node of the tree. Its own `match` is tested by its parent, so the root's is never tested."""

    receiver: str = ""
    match: Mapping[str, str] = field(default_factory=dict[str, str])
    routes: tuple[Route, ...] = ()

    def fits(self, attributes: Mapping[str, str]) -> bool:
        """Whether every pair of `match` is there; a missing attribute counts as an empty one."""
        return all(attributes.get(key, "") == value for key, value in self.match.items())

    def choose(self, attributes: Mapping[str, str]) -> str:
        """
        Return the receiver's name; empty where the routes that fit name none.

        Mirrors: the original's `FindReceivers` for routes without `continue`. A child that fits ends the search,
        also if neither it nor its own children name a receiver.
        """
        for child in self.routes:
            if child.fits(attributes):
                return child.choose(attributes) or child.receiver
        return self.receiver


@dataclass(frozen=True, slots=True)
class Resolution:
    """
    Where a notification goes.

    Attributes:
        channels: Channel keys, in order, each once, at least one.
        receivers: Names of the receivers they come from.
        is_fallback: Whether no receiver was named, so that the built-in console stands in.
    """

    channels: tuple[str, ...]
    receivers: tuple[str, ...]
    is_fallback: bool = False


@dataclass(frozen=True, slots=True)
class Routing:
    """
    A whole routing file.

    Attributes:
        root: The tree of routes.
        receivers: The channel keys of each receiver, in order.
        warnings: Keys that were ignored, each with its place.
    """

    root: Route = Route(BUILT_IN_RECEIVER)
    receivers: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {BUILT_IN_RECEIVER: (CONSOLE,)})
    warnings: tuple[Remark, ...] = ()
    _destinations: Mapping[str, Destination] = field(default_factory=dict[str, Destination])

    def resolve(self, attributes: Mapping[str, str]) -> Resolution:
        """
        Return where a notification with these attributes goes. Never empty.

        Differs: a channel key comes once, also if several entries name it.
        """
        name = self.root.choose(attributes)
        if name not in self.receivers:
            return Resolution((CONSOLE,), (FALLBACK_RECEIVER,), is_fallback=True)
        return Resolution(self.receivers[name], (name,))

    def destinations(self) -> Mapping[str, Destination]:
        """Return what each channel key needs that `resolve` can ever name; the console is always among them."""
        return {CONSOLE: Destination(CONSOLE), **self._destinations}


# --- attributes ------------------------------------------------------------------------------------------------------

_CONTEXT_KEYS: Mapping[str, tuple[str, str]] = MappingProxyType({
    "remediationRequest":         ("lineage", "remediation_request"),
    "aiAnalysis":                 ("lineage", "ai_analysis"),
    "selectedWorkflow":           ("workflow", "selected_workflow"),
    "confidence":                 ("workflow", "confidence"),
    "workflowId":                 ("workflow", "workflow_id"),
    "executionEngine":            ("workflow", "execution_engine"),
    "approvalReason":             ("analysis", "approval_reason"),
    "rootCause":                  ("analysis", "root_cause"),
    "outcome":                    ("analysis", "outcome"),
    "reason":                     ("review", "reason"),
    "subReason":                  ("review", "sub_reason"),
    "humanReviewReason":          ("review", "human_review_reason"),
    "rootCauseAnalysis":          ("review", "root_cause_analysis"),
    "alignmentVerdict":           ("review", "alignment_verdict"),
    "circuitBreakerActivated":    ("review", "circuit_breaker_activated"),
    "retryCount":                 ("execution", "retry_count"),
    "maxRetries":                 ("execution", "max_retries"),
    "lastExitCode":               ("execution", "last_exit_code"),
    "previousExecution":          ("execution", "previous_execution"),
    "timeoutPhase":               ("execution", "timeout_phase"),
    "phaseTimeout":               ("execution", "phase_timeout"),
    "duplicateCount":             ("dedup", "duplicate_count"),
    "targetResource":             ("target", "target_resource"),
    "verificationAssessed":       ("verification", "assessed"),
    "verificationOutcome":        ("verification", "outcome"),
    "verificationReason":         ("verification", "reason"),
    "verificationDegraded":       ("verification", "degraded"),
    "verificationDegradedReason": ("verification", "degraded_reason"),
})  # fmt: skip
_ALSO_WHEN_FALSE = frozenset({"verificationAssessed", "verificationDegraded"})


def flatten_context(context: NotificationContext | None) -> dict[str, str]:
    """
    Return the context as flat text, without what is empty.

    Bools are `true` or `false`; false is left out as well, but for the two of an existing `verification`.
    `workflowName`, `actionType` and the verification's `summary` are not in it.
    """
    flat: dict[str, str] = {}
    for key, (part, name) in _CONTEXT_KEYS.items():
        holder: object = getattr(context, part, None)
        value: object = getattr(holder, name, None)
        if value or (value is False and key in _ALSO_WHEN_FALSE):
            flat[key] = str(value).lower() if isinstance(value, bool) else str(value)
    return flat


def attributes(notification: NotificationRequest) -> dict[str, str]:
    """Return what routing can match: spec fields, then the flattened context, then extensions; the first one wins."""
    spec = notification.spec
    fields = {
        "type": spec.type,
        "severity": spec.severity,
        "phase": spec.phase,
        "review-source": spec.review_source,
        "priority": spec.priority,
    }
    return {
        **spec.extensions,
        **flatten_context(spec.context),
        **{key: value for key, value in fields.items() if value},
    }


# --- the file --------------------------------------------------------------------------------------------------------

_ONLY_EXACT = "this version matches exact values only: use match"
_NO_CHANNEL = "this version has console and file receivers only: remove it"

_ROUTE_NOT_YET = MappingProxyType({
    "matchRe": _ONLY_EXACT,
    "continue": "this version stops at the first route that fits: put both channels into one receiver",
})  # fmt: skip
_RECEIVER_NOT_YET: Mapping[str, str] = MappingProxyType({
    "slackConfigs":     _NO_CHANNEL,
    "pagerdutyConfigs": _NO_CHANNEL,
    "teamsConfigs":     _NO_CHANNEL,
    "emailConfigs":     _NO_CHANNEL,
    "webhookConfigs":   _NO_CHANNEL,
    "logConfigs":       _NO_CHANNEL,
})  # fmt: skip
_NONE: Mapping[str, str] = MappingProxyType({})


def load_routing(path: str | Path) -> Routing:
    """
    Read the routing file; an empty one gives the built-in default: everything to the console.

    Raises:
        ConfigFileError: The file cannot be read or parsed, its routes and receivers do not fit together, or a key asks
            for something that this version does not do yet. It holds every mistake, each with file, line and key.
    """
    reading, root = read_yaml(path)
    if root is None:
        return Routing()
    top = reading.mapping(root, "")
    reading.finish()
    _check_keys(reading, top, "", known={"route", "receivers"})
    receivers, destinations = _receivers(reading, top, root.line)
    route = Route()
    if "route" not in top or top["route"].value is None:
        reading.refuse(top["route"].line if "route" in top else root.line, "route", "route is required")
    else:
        route = _route(reading, top["route"], "route", frozenset(receivers))
        _check_root(reading, top["route"])
    reading.finish()
    return Routing(route, receivers, tuple(reading.warnings), destinations)


def _check_keys(
    reading: Reading, section: Mapping[str, Node], prefix: str, *, known: set[str], not_yet: Mapping[str, str] = _NONE
) -> None:
    for name, node in section.items():
        key = f"{prefix}.{name}" if prefix else name
        if name in not_yet:
            if node.asks_for_something:
                reading.refuse(node.line, key, not_yet[name])
        elif name not in known:
            reading.warn(node.line, key, "has no effect, ignored" if name == "groupBy" else "unknown key, ignored")


def _check_root(reading: Reading, node: Node) -> None:
    match = reading.mapping(node, "route").get("match")
    if match is not None and match.asks_for_something:
        reading.warn(match.line, "route.match", "has no effect: the root takes whatever no child takes")


def _route(reading: Reading, node: Node, key: str, names: frozenset[str]) -> Route:
    section = reading.mapping(node, key)
    _check_keys(reading, section, key, known={"receiver", "match", "routes"}, not_yet=_ROUTE_NOT_YET)
    absent = Node(node.line, None)
    receiver_node = section.get("receiver", absent)
    receiver = reading.text(receiver_node, f"{key}.receiver")
    if receiver and receiver not in names:
        reading.refuse(receiver_node.line, f"{key}.receiver", f"receiver '{receiver}' not found in receivers list")
    match = reading.mapping(section.get("match", absent), f"{key}.match")
    return Route(
        receiver,
        {name: reading.text(value, f"{key}.match.{name}") for name, value in match.items()},
        _children(reading, section.get("routes", absent), f"{key}.routes", names),
    )


def _children(reading: Reading, node: Node, key: str, names: frozenset[str]) -> tuple[Route, ...]:
    children: list[Route] = []
    for index, child in enumerate(reading.items(node, key)):
        if child.value is None:
            reading.refuse(child.line, f"{key}[{index}]", "route has an empty child route")
        else:
            children.append(_route(reading, child, f"{key}[{index}]", names))
    return tuple(children)


def _receivers(
    reading: Reading, top: Mapping[str, Node], root_line: int
) -> tuple[dict[str, tuple[str, ...]], dict[str, Destination]]:
    node = top.get("receivers", Node(root_line, None))
    items = reading.items(node, "receivers")
    if not items and not node.asks_for_something:
        reading.refuse(node.line, "receivers", "at least one receiver is required")
    named: dict[str, tuple[Node, str]] = {}
    for index, item in enumerate(items):
        key = f"receivers[{index}]"
        name = _receiver_name(reading, item, key)
        if name in named:
            reading.warn(named[name][0].line, named[name][1], f"ignored: a later receiver is called {name!r} too")
        if name:
            named[name] = (item, key)
    destinations: dict[str, Destination] = {}
    receivers = {name: _channels(reading, item, key, name, destinations) for name, (item, key) in named.items()}
    return receivers, destinations


def _receiver_name(reading: Reading, item: Node, key: str) -> str:
    if item.value is None:
        reading.refuse(item.line, key, f"{key} is empty")
        return ""
    section = reading.mapping(item, key)
    if not isinstance(item.value, Mapping):
        return ""
    node = section.get("name", Node(item.line, None))
    name = reading.text(node, f"{key}.name")
    if node.value is None or node.value == "":
        reading.refuse(node.line, f"{key}.name", "receiver name cannot be empty")
    return name


def _channels(
    reading: Reading, item: Node, key: str, name: str, destinations: dict[str, Destination]
) -> tuple[str, ...]:
    """Return the channel keys of one receiver, and put what they need into `destinations`."""
    section = reading.mapping(item, key)
    _check_keys(reading, section, key, known={"name", "consoleConfigs", "fileConfigs"}, not_yet=_RECEIVER_NOT_YET)
    absent = Node(item.line, None)
    channels: list[str] = []
    consoles = reading.items(section.get("consoleConfigs", absent), f"{key}.consoleConfigs")
    for index, entry in enumerate(consoles):
        _entry(reading, entry, f"{key}.consoleConfigs[{index}]", known=set())
        channels.append(CONSOLE)
    files = reading.items(section.get("fileConfigs", absent), f"{key}.fileConfigs")
    for index, entry in enumerate(files):
        at = f"{key}.fileConfigs[{index}]"
        path = _entry(reading, entry, at, known={"path"}).get("path", Node(entry.line, None))
        directory = reading.text(path, f"{at}.path")
        channel: str = FILE
        if directory:
            channel = f"{FILE}:{name}" if len(files) == 1 else f"{FILE}:{name}:{index}"
        place = Remark(reading.file, path.line, at, "").place
        other = destinations.get(channel)
        if directory and other is not None:
            # Receivers `a:0` and `a` can ask for the same key; each must keep its own directory.
            reading.refuse(path.line, at, f"gives the channel key {channel}, which {other.declared_at} gives too")
        destinations.setdefault(channel, Destination(FILE, directory, place))
        channels.append(channel)
    # As in the original, a receiver cannot be silent.
    return tuple(dict.fromkeys(channels)) or (CONSOLE,)


def _entry(reading: Reading, entry: Node, key: str, *, known: set[str]) -> Mapping[str, Node]:
    section = reading.mapping(entry, key)
    _check_keys(reading, section, key, known=known | {"enabled"})
    enabled = section.get("enabled")
    if enabled is not None and not reading.flag(enabled, f"{key}.enabled"):
        reading.warn(enabled.line, f"{key}.enabled", "has no effect: an entry that is there counts; remove the entry")
    return section
