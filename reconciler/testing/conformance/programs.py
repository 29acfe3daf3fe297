"""
The programs of a trace file, and their reader.

A trace file is JSON Lines, one program a line; what kind it is follows from its fields. A program says what to do and
what the Go libraries did. Times and durations are integers of nanoseconds, and times count from the program's start.
An absent optional field means zero, false or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias, cast

import msgspec

from reconciler.errors import ConfigurationError
from reconciler.workqueue import Discipline

__all__ = [
    "Bucket",
    "Entry",
    "Event",
    "Exponential",
    "FastSlow",
    "LimiterSpec",
    "LimiterTable",
    "MaxOf",
    "Program",
    "QueueProgram",
    "Scenario",
    "ScriptStep",
    "Startup",
    "Step",
    "TraceFile",
    "WithMaxWait",
    "Woken",
    "read_traces",
]


class _Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A field that the format does not have is an error: an outcome that nobody compares would be worse."""


class Exponential(_Shape, frozen=True, tag_field="type", tag="exponential"):
    """`ItemExponentialRateLimiter`."""

    base: int
    max: int


class FastSlow(_Shape, frozen=True, tag_field="type", tag="fast_slow"):
    """`ItemFastSlowRateLimiter`."""

    fast: int = 0
    slow: int = 0
    max_fast: int = 0


class Bucket(_Shape, frozen=True, tag_field="type", tag="bucket"):
    """`BucketRateLimiter`."""

    qps: float
    burst: int


class MaxOf(_Shape, frozen=True, tag_field="type", tag="max_of"):
    """`MaxOfRateLimiter`."""

    limiters: list[LimiterSpec]


class WithMaxWait(_Shape, frozen=True, tag_field="type", tag="with_max_wait"):
    """`WithMaxWaitRateLimiter`."""

    limiter: LimiterSpec
    max: int = 0


LimiterSpec: TypeAlias = Exponential | FastSlow | Bucket | MaxOf | WithMaxWait
"""A rate limiter, as a program names it."""

Op = Literal[
    "add",
    "add_after",
    "add_rate_limited",
    "add_with_opts",
    "get",
    "done",
    "forget",
    "num_requeues",
    "len",
    "shutting_down",
    "advance",
    "shutdown",
    "shutdown_with_drain",
]


class Woken(_Shape, frozen=True):
    """A get that returned; `shutdown`: without a key."""

    waiter: int
    t: int
    key: str
    priority: int
    shutdown: bool


class Step(_Shape, frozen=True):
    """One call on a queue, and what was seen when everything had come to rest after it."""

    op: Op
    t: int
    len: int
    t_end: int
    i: int = 0
    key: str | None = None
    d: int = 0
    keys: tuple[str, ...] | None = None
    after: int = 0
    rate_limited: bool = False
    priority: int | None = None
    waiter: int | None = None
    n: int = 0
    b: bool = False
    woken: tuple[Woken, ...] = ()
    unordered: bool = False
    drained: tuple[int, ...] = ()


class QueueProgram(_Shape, frozen=True):
    """Calls on one queue, one after the other."""

    id: str
    queue: Discipline
    limiter: LimiterSpec
    ops: tuple[Step, ...]
    seed: int = 0
    mode: str = ""


class ScriptStep(_Shape, frozen=True):
    """What one call of the reconciler does."""

    result: Literal["ok", "requeue", "requeue_after", "error", "terminal", "panic", "hang"]
    dur: int = 0
    after: int = 0
    priority: int | None = None
    also_after: int = 0
    self_add: bool = False


class Event(_Shape, frozen=True):
    """A call on a controller's queue from outside."""

    t: int
    order: Literal["pre", "post"]
    key: str
    kind: Literal["add", "add_after", "add_rate_limited", "add_with_opts"]
    d: int = 0
    after: int = 0
    rate_limited: bool = False
    priority: int | None = None


class Entry(_Shape, frozen=True):
    """One line of a controller's log."""

    t: int
    ev: Literal["event", "start", "end", "stop", "start_returned"]
    depth: int
    key: str = ""
    n: int | None = None
    priority: int | None = None
    result: str = ""
    err: str = ""
    ctx_err: str = ""
    requeues: int | None = None


class Scenario(_Shape, frozen=True):
    """A controller with a scripted reconciler, and events from outside."""

    id: str
    queue: Discipline
    workers: int
    horizon: int
    script: dict[str, tuple[ScriptStep, ...]]
    events: tuple[Event, ...] | None
    log: tuple[Entry, ...] | None
    metrics: dict[str, int]
    queue_left: int
    family: str = ""
    seed: int = 0
    limiter: LimiterSpec | None = None
    reconciliation_timeout: int = 0
    warmup: bool = False
    start_at: int = 0
    stop_at: int | None = None


class LimiterTable(_Shape, frozen=True):
    """The delays that one rate limiter gave, call by call."""

    id: str
    limiter: LimiterSpec
    gap: int
    keys: tuple[str, ...]
    delays: tuple[int, ...]
    num_requeues: tuple[int, ...]
    forget_before: int
    delays_after_forget: tuple[int, ...]


class Startup(_Shape, frozen=True):
    """A controller whose only source behaves in a named way."""

    id: str
    queue: Discipline
    cache_sync_timeout: int
    source: Literal["sync_never", "sync_at", "sync_ignores_ctx", "sync_error", "start_blocks", "start_error"]
    early_event: bool
    reconcile_starts: tuple[int, ...] | None
    start_returned_at: int
    err: str
    sync_at: int = 0
    cancel_at: int = 0


Program: TypeAlias = QueueProgram | Scenario | LimiterTable | Startup
"""One line of a trace file."""

_KINDS: Mapping[str, type[Program]] = MappingProxyType({
    "ops": QueueProgram,
    "script": Scenario,
    "forget_before": LimiterTable,
    "source": Startup,
})  # fmt: skip

# Op -> the argument without which it means nothing.
_NEEDS: Mapping[str, str] = MappingProxyType({
    "add": "key",
    "add_after": "key",
    "add_rate_limited": "key",
    "add_with_opts": "keys",
    "get": "waiter",
    "done": "key",
    "forget": "key",
    "num_requeues": "key",
    "shutdown_with_drain": "waiter",
})  # fmt: skip

_ONLY: Mapping[str, Discipline] = MappingProxyType({"add_with_opts": "priority", "shutdown_with_drain": "classic"})


LONGEST_NS = 9_000 * 10**9
"""What an event loop, whose time is a float of seconds, counts exactly when each nanosecond lasts a microsecond."""


class TraceFile(msgspec.Struct, frozen=True):
    """The programs of one file, each with the number of its line."""

    path: Path
    programs: tuple[tuple[int, Program], ...]


def read_traces(path: Path) -> TraceFile:
    """
    Read all programs of a file; empty lines are skipped.

    Raises:
        ConfigurationError: The file cannot be read, or a line is no program; the message names file, line and field.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from error
    programs = tuple(_programs(path, lines))
    if not programs:
        raise ConfigurationError(f"{path}: holds no program; a trace file has one JSON object on each line")
    return TraceFile(path, programs)


def _programs(path: Path, lines: list[bytes]) -> Iterator[tuple[int, Program]]:
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            program = _program(line)
            _check(program)
        except RecursionError as error:
            raise ConfigurationError(f"{path}, line {number}: is nested too deeply to be a program") from error
        except (msgspec.DecodeError, ValueError) as error:
            raise ConfigurationError(f"{path}, line {number}: {error}") from error
        if program.id in seen:
            raise ConfigurationError(
                f"{path}, line {number}: the id {program.id!r} stands on line {seen[program.id]} too"
            )
        seen[program.id] = number
        yield number, program


def _program(line: bytes) -> Program:
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"is not JSON: {str(error).removeprefix('JSON is malformed: ')}") from error
    if not isinstance(fields, dict):
        raise ValueError("needs to be a JSON object")  # noqa: TRY004  # what is wrong is the file
    fields = cast("dict[str, object]", fields)
    kind = next((kind for field, kind in _KINDS.items() if field in fields), None)
    if kind is None:
        raise ValueError(
            "is no known kind of program: a queue program has the field `ops`, a controller scenario `script`, "
            f"a limiter table `forget_before`, a start-up `source`; this line has {', '.join(fields) or 'nothing'}"
        )
    return msgspec.json.decode(line, type=kind)


def _check(program: Program) -> None:
    """Refuse what the types allow and no driver could do."""
    match program:
        case QueueProgram():
            for index, step in enumerate(program.ops):
                _check_step(program.queue, step, f"ops[{index}]")
            _check_length(sum(step.d for step in program.ops if step.op == "advance"))
        case LimiterTable():
            if not program.keys:
                raise ValueError("`keys` needs at least one key")
            for name in ("delays", "num_requeues"):
                if (count := len(getattr(program, name))) != program.forget_before:
                    raise ValueError(f"`forget_before` is {program.forget_before}, but `{name}` has {count} values")
        case Scenario():
            if program.workers < 1:
                raise ValueError(f"`workers` must be at least 1, is {program.workers}")
            _check_length(program.horizon)
            late = next((index for index, event in enumerate(program.events or ()) if event.t < 0), None)
            if late is not None:
                raise ValueError(f"`t` must be 0 or more - at `$.events[{late}]`")
        case Startup():
            pass


def _check_length(span: int) -> None:
    if span > LONGEST_NS:
        raise ValueError(f"lasts {span // 10**9} s; at most {LONGEST_NS // 10**9} s can be replayed exactly")


def _check_step(queue: Discipline, step: Step, place: str) -> None:
    if step.i and place != f"ops[{step.i}]":
        raise ValueError(f"`i` is {step.i} - at `$.{place}`")
    need = _NEEDS.get(step.op)
    if need is not None and getattr(step, need) is None:
        raise ValueError(f"`{step.op}` needs the field `{need}` - at `$.{place}`")
    if _ONLY.get(step.op, queue) != queue:
        raise ValueError(f"the {queue} queue has no `{step.op}` - at `$.{place}`")
    if step.op == "advance" and step.d < 0:
        raise ValueError(f"`d` must be 0 or more, is {step.d} - at `$.{place}`")
