"""
The list/watch machine: what to ask the API server next, given what happened. No loop, no clock, no network.

Expected flow: list in pages, watch from the list's version, and each time the server ends the watch, watch on from
the last version seen. What goes wrong leads to a wait, and from there to a list or to the same watch: see `trouble.py`.
With a streamed list the first watch brings the list itself; whatever goes wrong before its end, pages take over.

Invariants:
    L1  A version is watched from only if a list or a line of a watch named it.
    L2  Between two requests that failed or brought nothing lies a wait, or a silence as long as the idle limit.
    L3  Every list is complete before any of it is told.
    L4  The versions of a watch do not go back: a change older than the last one seen is not told, and a list follows,
        since what else came in a wrong order, or not at all, nobody knows.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from reconciler.api import EncodedObject, ObjectKey
from reconciler.cache.store import Delta, Put, Removed, Replaced, Unread, Unreadable
from reconciler.cache.trouble import Rule, Then, Trouble, rule_for
from reconciler.cache.wire import Bookmark, Change, ChangeType, Line, Page, UnreadableChange
from reconciler.errors import (
    ApiError,
    BadRequestError,
    ConnectionFailedError,
    ExpiredError,
    InvalidError,
    MalformedObjectError,
    MethodNotAllowedError,
    ReconcilerError,
)
from reconciler.instant import Instant, milliseconds, seconds

__all__ = ["Backoff", "ListPage", "ListWatch", "OpenWatch", "Step", "StreamList", "Wait"]

PAGE_LIMIT = 500
WATCH_SECONDS_MIN = 300
SHORT_WATCH = seconds(1)
SILENCES_MAX = 2
RETRY_AFTER_SECONDS_MAX = 30.0
"""
The longest `Retry-After` that is waited for, as in the client. One that names a day would leave the cache a day behind,
and nobody would come to tell it that the server is well again; the backoff grows in any case.
"""
GONE_AFTER = seconds(300)
"""
How long a kind that was there must be refused with 404 until its objects count as gone. Long, since an API server that
starts, and a proxy that lost its way, answer 404 for a while, too, and a deletion that is told is acted on.
"""


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
class StreamList:
    """Open a watch that begins with everything there is, says where that ends, and goes on."""

    timeout_seconds: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait this many nanoseconds, then report `waited`."""

    nanoseconds: int


Step = ListPage | OpenWatch | StreamList | Wait


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
        trouble: What is wrong, until a watch is open again, or, where watches are opened in vain, until one brings
            something.
        error: The failure behind `trouble`, or None.
        watching_since: When the present watch was opened; None while there is none.
        is_gone: Whether the kind was there, and is no longer served: its objects were reported as gone.

    Mirrors: client-go `tools/cache` `Reflector`.
    Differs: lists always ask for the latest version, so that the store never goes back in time (Go begins with any
    version that the server has at hand); a watch that fell silent is opened again, and after two silences in a row
    the list too, since a server restored from a backup may never reach the version that is waited for; a short
    watch counts as progress by its version, not by its lines.
    """

    def __init__(self, rng: random.Random, *, is_streaming: bool = False) -> None:
        """
        Begin with a list.

        Args:
            rng: Decides jitter and watch time-outs, so one seed gives one course of events.
            is_streaming: Ask for lists as streams, as long as the server has them.
        """
        self.resource_version = ""
        self.trouble = Trouble.NONE
        self.error: ReconcilerError | None = None
        self.watching_since: Instant | None = None
        self.is_gone = False
        self._rng = rng
        self._backoff = Backoff(rng)
        self._is_streaming = is_streaming
        self._is_list_whole = False
        self._streamed: dict[ObjectKey, EncodedObject | Unreadable] = {}
        self._listed: list[EncodedObject] = []
        self._unreadable: list[Unreadable] = []
        self._not_served_since: Instant | None = None
        self._after_wait: Step = ListPage()
        self._opened_version = ""
        self._silences = 0
        self._fruitless = 0
        self.step: Step = self._list()

    @property
    def is_lasting(self) -> bool:
        """Whether what is wrong is nothing that waiting mends."""
        return self.error is not None and rule_for(self.error).is_lasting

    def page_came(self, page: Page) -> Replaced | None:
        """Take a page of the list; with the last one, return the whole."""
        self._listed.extend(page.objects)
        self._unreadable.extend(page.unreadable)
        if page.continue_token:
            self.step = ListPage(continue_token=page.continue_token)
            return None
        # L3: only now, and all at once.
        whole = self._complete(page.resource_version)
        self.step = self._watch()
        return whole

    def watch_opened(self, *, now: Instant) -> None:
        """The server accepted the watch: whatever was wrong is over, unless it is what becomes of watches."""
        self.watching_since = now
        self._opened_version = self.resource_version
        if self.trouble not in _OF_OPEN_WATCHES:
            self.trouble, self.error = Trouble.NONE, None

    def line_came(self, line: Line, *, now: Instant) -> Delta | None:
        """
        Take a line of the watch, and return what it means for the store.

        If `step` is another one afterwards, this watch is over.
        """
        self._silences = 0
        # The attribute first: `_is_filling` costs a call, for each line.
        if not self._is_list_whole and self._is_filling and not isinstance(line, ApiError):
            return self._fill(line)
        if self._fruitless and not isinstance(line, ApiError) and _has_lasted(self.watching_since, now):
            self._progress()
        match line:
            case Change():
                if _is_before(line.object.resource_version, self.resource_version):
                    return self.failed(_out_of_order(line, self.resource_version), now=now)
                self.resource_version = line.object.resource_version
                return Removed(line.object) if line.type is _DELETED else Put(line.object)
            case UnreadableChange():
                if _is_before(line.resource_version, self.resource_version):
                    return self.failed(_out_of_order(line, self.resource_version), now=now)
                self.resource_version = line.resource_version or self.resource_version
                return Unread(line.unreadable, is_gone=line.type is ChangeType.DELETED)
            case Bookmark():
                if _is_before(line.resource_version, self.resource_version):
                    self._wait_for(self._list(), now=now)
                else:
                    self.resource_version = line.resource_version
            case ApiError():
                return self.failed(line, now=now)
        return None

    def stream_ended(self, *, now: Instant) -> None:
        """
        The watch ended, by the server's will or because the connection broke.

        It goes on at once from the last version, unless it was short and brought nothing: then something is wrong
        that no error names, and a list shows whether the server works.
        """
        since, self.watching_since = self.watching_since, None
        if self._is_filling:
            self._wait_for(ListPage(), now=now)
            return
        has_progress = self.resource_version != self._opened_version
        if has_progress or _has_lasted(since, now):
            self._progress()
            self.step = self._watch()
        else:
            # Once is how a server that stops ends a watch that was just opened.
            self._fruitless += 1
            if self._fruitless > 1:
                self.trouble, self.error = Trouble.SHORT, None
            self._wait_for(self._list(), now=now)

    def fell_silent(self) -> None:
        """Nothing came for as long as the idle limit: the connection may be dead without anyone having said so."""
        self.watching_since = None
        self._silences += 1
        self._progress()
        if self._is_filling:
            # Perhaps a server that does not know such lists, and so will never say that one has ended.
            self._forget_pages()
            self.step = ListPage()
        elif self._silences < SILENCES_MAX:
            self.step = self._watch()
        else:
            self._silences = 0
            self.step = self._list()

    def failed(self, error: ReconcilerError, *, now: Instant) -> Replaced | None:
        """
        Take the failure of a list, of the opening of a watch, or of an open watch.

        Where it shows that the kind is gone for good, return what that means for the store, once.
        """
        if self.watching_since is not None and isinstance(error, ConnectionFailedError):
            # It was open, so this is how a server that stops, or a proxy that had enough, ends a watch.
            self.stream_ended(now=now)
            return None
        self.watching_since = None
        if self._is_filling and isinstance(error, _NO_STREAMS):
            # Not trouble: this server has no such lists, or has them switched off.
            self._is_streaming = False
            self._forget_pages()
            self.step = ListPage()
            return None
        rule = rule_for(error)
        self.trouble = self._trouble_of(error, rule)
        self.error = None if self.trouble is Trouble.NONE else error
        asked_seconds = error.status.retry_after_seconds if isinstance(error, ApiError) else None
        at_least = seconds(min(asked_seconds or 0, RETRY_AFTER_SECONDS_MAX))
        self._wait_for(self._next_try(error, rule), now=now, at_least=at_least)
        return self._gone(now)

    def waited(self) -> None:
        """The wait is over."""
        self.step = self._after_wait

    def stopped(self) -> None:
        """Nobody acts on `step` any more, until somebody begins again just there."""
        self.watching_since = None
        self._streamed.clear()
        if isinstance(self.step, StreamList) and self._is_list_whole:
            self.step = self._watch()

    @property
    def _is_filling(self) -> bool:
        return isinstance(self.step, StreamList) and not self._is_list_whole

    def _fill(self, line: Change | UnreadableChange | Bookmark) -> Replaced | None:
        """Take a line of a list that is streamed. No version counts before its end: L3."""
        match line:
            case Change(ChangeType.DELETED, gone):
                self._streamed.pop(gone.key, None)
            case Change():
                self._streamed[line.object.key] = line.object
            case UnreadableChange():
                self._streamed[line.unreadable.key] = line.unreadable
            case Bookmark(is_list_end=False):
                pass
            case Bookmark():
                self._listed = [item for item in self._streamed.values() if isinstance(item, EncodedObject)]
                self._unreadable = [item for item in self._streamed.values() if isinstance(item, Unreadable)]
                return self._complete(line.resource_version)
        return None

    def _complete(self, version: str) -> Replaced:
        whole = Replaced(tuple(self._listed), tuple(self._unreadable))
        self._forget_pages()
        self._is_list_whole = True
        self._not_served_since = None
        self.is_gone = False
        self.resource_version = version
        return whole

    def _trouble_of(self, error: ReconcilerError, rule: Rule) -> Trouble:
        # A list in between, streamed or not, is no progress: each succeeds, and the watch from its version is refused.
        if not isinstance(error, ExpiredError):
            return rule.trouble
        self._fruitless += 1
        return rule.again if rule.again is not None and self._fruitless > 1 else rule.trouble

    def _progress(self) -> None:
        self._fruitless = 0
        if self.trouble in _OF_OPEN_WATCHES:
            self.trouble, self.error = Trouble.NONE, None

    def _gone(self, now: Instant) -> Replaced | None:
        if self.trouble is not Trouble.NOT_SERVED:
            self._not_served_since = None
            return None
        if self._not_served_since is None:
            self._not_served_since = now
        # Not at the first 404: an API server that starts answers so for kinds that it has not read yet.
        if self.is_gone or not self.resource_version or now - self._not_served_since < GONE_AFTER:
            return None
        self.is_gone = True
        return Replaced(())

    def _forget_pages(self) -> None:
        self._listed, self._unreadable, self._streamed = [], [], {}

    def _next_try(self, error: ReconcilerError, rule: Rule) -> Step:
        match self.step:
            case StreamList() if self._is_filling:
                return ListPage()
            case OpenWatch() | StreamList() if rule.then is Then.WATCH:
                return self._watch()
            case ListPage(continue_token=token) if token and isinstance(error, ExpiredError):
                # The list takes longer than the server keeps history: pages would expire for ever.
                return ListPage(limit=0)
            case _:
                return self._list()

    def _list(self) -> Step:
        self._is_list_whole = False
        return StreamList(self._watch_seconds()) if self._is_streaming else ListPage()

    def _watch(self) -> OpenWatch:
        return OpenWatch(self.resource_version, self._watch_seconds())

    def _watch_seconds(self) -> int:
        # Spread, so that the watches of many controllers do not all end in the same moment.
        return int(WATCH_SECONDS_MIN * (1 + self._rng.random()))

    def _wait_for(self, step: Step, *, now: Instant, at_least: int = 0) -> None:
        self._forget_pages()
        self.watching_since = None
        self._after_wait = step
        self.step = Wait(max(self._backoff.delay(now=now), at_least))

    def __repr__(self) -> str:
        return f"<ListWatch version {self.resource_version or '-'}, next {self.step}, trouble: {self.trouble.value}>"


# For each line the class attribute would cost 0.1 microseconds.
_DELETED = ChangeType.DELETED
_OF_OPEN_WATCHES = frozenset({Trouble.EXPIRED, Trouble.SHORT})
_NO_STREAMS = (BadRequestError, InvalidError, MethodNotAllowedError)


def _has_lasted(since: Instant | None, now: Instant) -> bool:
    return since is not None and now - since >= SHORT_WATCH


def _is_before(version: str, other: str) -> bool:
    # Versions of one kind are decimal numbers that grow; those of a server that has others are not compared.
    if len(version) > len(other) or (len(version) == len(other) and version >= other):
        return False  # without a look at the digits: nearly every line ends here
    return version.isdecimal() and other.isdecimal() and int(version) < int(other)


def _out_of_order(line: Change | UnreadableChange, seen: str) -> MalformedObjectError:
    key, version = (
        (line.object.key, line.object.resource_version)
        if isinstance(line, Change)
        else (line.unreadable.key, line.resource_version)
    )
    return MalformedObjectError(f"the watch names version {version} of {key} after version {seen}: out of order")
