"""
The list/watch machine: what to ask the API server next, given what happened. No loop, no clock, no network.

Expected flow: list in pages, watch from the list's version, and each time the server ends the watch, watch on from
the last version seen. What goes wrong leads to a wait, and from there to a list or to the same watch: see `RULES`.

Invariants:
    L1  A version is watched from only if a list or a line of a watch named it.
    L2  Between two requests that failed or brought nothing lies a wait, or a silence as long as the idle limit.
    L3  Every list is complete before any of it is told.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from reconciler.api import EncodedObject
from reconciler.cache.store import Delta, Put, Removed, Replaced
from reconciler.cache.wire import Bookmark, Change, ChangeType, Line, Page
from reconciler.errors import (
    ApiError,
    ConnectionFailedError,
    ExpiredError,
    ForbiddenError,
    InvariantError,
    MalformedObjectError,
    NotFoundError,
    ReconcilerError,
    ServerTimeoutError,
    TooManyRequestsError,
    UnauthorizedError,
)
from reconciler.instant import Instant, milliseconds, seconds

__all__ = [
    "RULES",
    "Backoff",
    "ListPage",
    "ListWatch",
    "OpenWatch",
    "Rule",
    "Step",
    "Then",
    "Trouble",
    "Wait",
    "rule_for",
]

PAGE_LIMIT = 500
WATCH_SECONDS_MIN = 300
SHORT_WATCH = seconds(1)
SILENCES_MAX = 2


@dataclass(frozen=True, slots=True)
class ListPage:
    """Ask for one page; `limit` 0 means the whole list at once."""

    limit: int = PAGE_LIMIT
    continue_token: str = ""


@dataclass(frozen=True, slots=True)
class OpenWatch:
    """Open a watch; the server is asked to end it after `timeout_seconds`."""

    resource_version: str
    timeout_seconds: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait this many nanoseconds, then report `waited`."""

    nanoseconds: int


Step = ListPage | OpenWatch | Wait


class Trouble(Enum):
    """Why the store may be behind; in words for logs and `/readyz`."""

    NONE = "none"
    NOT_SERVED = "not served by the API server"
    FORBIDDEN = "forbidden"
    UNAUTHORIZED = "not authenticated"
    OVERLOADED = "the API server is overloaded"
    UNREACHABLE = "the API server cannot be reached"
    UNAVAILABLE = "the API server is not available"
    MALFORMED = "the answer is not understood"
    REFUSED = "refused"


class Then(Enum):
    """How a watch that failed goes on after the wait; a list that failed is begun anew in any case."""

    LIST = "list"
    WATCH = "watch from the last version"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a failure means."""

    trouble: Trouble
    then: Then


RULES: Mapping[type[ReconcilerError], Rule] = MappingProxyType({
    # Not trouble: history is bounded, and a watch that was away for long finds its version gone.
    ExpiredError:          Rule(Trouble.NONE,         Then.LIST),
    NotFoundError:         Rule(Trouble.NOT_SERVED,   Then.LIST),
    ForbiddenError:        Rule(Trouble.FORBIDDEN,    Then.LIST),
    UnauthorizedError:     Rule(Trouble.UNAUTHORIZED, Then.LIST),
    TooManyRequestsError:  Rule(Trouble.OVERLOADED,   Then.WATCH),
    # Includes "too large resource version": the server that answers is behind what another one said.
    ServerTimeoutError:    Rule(Trouble.UNAVAILABLE,  Then.LIST),
    ConnectionFailedError: Rule(Trouble.UNREACHABLE,  Then.WATCH),
    MalformedObjectError:  Rule(Trouble.MALFORMED,    Then.LIST),
    ApiError:              Rule(Trouble.REFUSED,      Then.LIST),
})  # fmt: skip
"""By the nearest class of the error."""


class Backoff:
    """
    Delays between tries: 0.8 s, doubled each time up to 30 s, and each stretched by a factor in [1, 2).

    It starts again from 0.8 s when the last delay began more than two minutes ago.

    Mirrors: the backoff of client-go's `Reflector` (800 ms, 30 s, reset after 2 min, factor 2, jitter 1).
    """

    INITIAL = milliseconds(800)
    MAX = seconds(30)
    RESET_AFTER = seconds(120)

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._next = self.INITIAL
        self._last_at: Instant | None = None

    def delay(self, *, now: Instant) -> int:
        """Return the next delay, in nanoseconds, taken to begin now."""
        if self._last_at is not None and now - self._last_at > self.RESET_AFTER:
            self._next = self.INITIAL
        self._last_at = now
        base, self._next = self._next, min(self._next * 2, self.MAX)
        return base + int(base * self._rng.random())


class ListWatch:
    """
    One kind's list/watch, as a machine: `step` says what to do, the methods take what came of it.

    Attributes:
        step: What to do now.
        resource_version: The last version seen; empty before the first list is complete.
        trouble: What is wrong, until a watch is open again.
        error: The failure behind `trouble`, or None.
        watching_since: When the present watch was opened; None while there is none.

    Mirrors: client-go `tools/cache` `Reflector`.
    Differs: lists always ask for the latest version, so that the store never goes back in time (Go begins with any
    version that the server has at hand); a watch that fell silent is opened again, and after two silences in a row
    the list too, since a server restored from a backup may never reach the version that is waited for; a short
    watch counts as progress by its version, not by its lines.
    """

    def __init__(self, rng: random.Random) -> None:
        """`rng` decides jitter and watch time-outs, so one seed gives one course of events."""
        self.step: Step = ListPage()
        self.resource_version = ""
        self.trouble = Trouble.NONE
        self.error: ReconcilerError | None = None
        self.watching_since: Instant | None = None
        self._rng = rng
        self._backoff = Backoff(rng)
        self._listed: list[EncodedObject] = []
        self._after_wait: Step = ListPage()
        self._opened_version = ""
        self._silences = 0

    def page_came(self, page: Page) -> Replaced | None:
        """Take a page of the list; with the last one, return the whole."""
        self._listed.extend(page.objects)
        if page.continue_token:
            self.step = ListPage(continue_token=page.continue_token)
            return None
        # L3: only now, and all at once.
        whole, self._listed = Replaced(tuple(self._listed)), []
        self.resource_version = page.resource_version
        self.step = self._watch()
        return whole

    def watch_opened(self, *, now: Instant) -> None:
        """The server accepted the watch: whatever was wrong is over."""
        self.watching_since = now
        self._opened_version = self.resource_version
        self.trouble, self.error = Trouble.NONE, None

    def line_came(self, line: Line, *, now: Instant) -> Delta | None:
        """
        Take a line of the watch, and return what it means for the store.

        If `step` is another one afterwards, this watch is over.
        """
        self._silences = 0
        match line:
            case Change():
                self.resource_version = line.object.resource_version
                return Removed(line.object) if line.type is ChangeType.DELETED else Put(line.object)
            case Bookmark():
                if _is_before(line.resource_version, self.resource_version):
                    self._wait_for(ListPage(), now=now)
                else:
                    self.resource_version = line.resource_version
            case ApiError():
                self.failed(line, now=now)
        return None

    def stream_ended(self, *, now: Instant) -> None:
        """
        The watch ended, by the server's will or because the connection broke.

        It goes on at once from the last version, unless it was short and brought nothing: then something is wrong
        that no error names, and a list shows whether the server works.
        """
        since, self.watching_since = self.watching_since, None
        has_progress = self.resource_version != self._opened_version
        if has_progress or (since is not None and now - since >= SHORT_WATCH):
            self.step = self._watch()
        else:
            self._wait_for(ListPage(), now=now)

    def fell_silent(self) -> None:
        """Nothing came for as long as the idle limit: the connection may be dead without anyone having said so."""
        self.watching_since = None
        self._silences += 1
        if self._silences < SILENCES_MAX:
            self.step = self._watch()
        else:
            self._silences = 0
            self.step = ListPage()

    def failed(self, error: ReconcilerError, *, now: Instant) -> None:
        """Take the failure of a list, of the opening of a watch, or of an open watch."""
        if self.watching_since is not None and isinstance(error, ConnectionFailedError):
            # It was open, so this is how a server that stops, or a proxy that had enough, ends a watch.
            self.stream_ended(now=now)
            return
        self.watching_since = None
        rule = rule_for(error)
        self.trouble = rule.trouble
        self.error = None if rule.trouble is Trouble.NONE else error
        asked_seconds = error.status.retry_after_seconds if isinstance(error, ApiError) else None
        self._wait_for(self._next_try(error, rule), now=now, at_least=seconds(asked_seconds or 0))

    def waited(self) -> None:
        """The wait is over."""
        self.step = self._after_wait

    def stopped(self) -> None:
        """Nobody acts on `step` any more, until somebody begins again just there."""
        self.watching_since = None

    def _next_try(self, error: ReconcilerError, rule: Rule) -> Step:
        match self.step:
            case OpenWatch() if rule.then is Then.WATCH:
                return self._watch()
            case ListPage(continue_token=token) if token and isinstance(error, ExpiredError):
                # The list takes longer than the server keeps history: pages would expire for ever.
                return ListPage(limit=0)
            case _:
                return ListPage()

    def _watch(self) -> OpenWatch:
        # Spread, so that the watches of many controllers do not all end in the same moment.
        return OpenWatch(self.resource_version, int(WATCH_SECONDS_MIN * (1 + self._rng.random())))

    def _wait_for(self, step: Step, *, now: Instant, at_least: int = 0) -> None:
        self._listed.clear()
        self.watching_since = None
        self._after_wait = step
        self.step = Wait(max(self._backoff.delay(now=now), at_least))

    def __repr__(self) -> str:
        return f"<ListWatch version {self.resource_version or '-'}, next {self.step}, trouble: {self.trouble.value}>"


def rule_for(error: ReconcilerError) -> Rule:
    """Return the rule of the nearest class of `error`; an error that no row covers is raised: it is a bug."""
    for kind in type(error).__mro__:
        if rule := RULES.get(kind):
            return rule
    raise InvariantError(f"no rule for a list/watch that failed with {type(error).__name__}") from error


def _is_before(version: str, other: str) -> bool:
    # Versions are opaque in principle; every server's are decimal numbers, and comparing them is the only way to see
    # a server that was restored from a backup.
    return version.isdecimal() and other.isdecimal() and int(version) < int(other)
