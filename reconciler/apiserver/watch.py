"""
Watches: which events a client sees (pure), and the stream that waits for the next ones (its shell).

A watch holds no queue. It holds a place in the bucket's history and reads on from there when it is woken, so a slow
client costs no memory; one that falls behind the history gets 410 and lists again.

Guarantees: events come in the order of their revisions, each once; an object that enters or leaves the selection comes
as ADDED or DELETED. The stream ends at its time-out, when its kind is no longer served as it was, and when the server
ends its watches. A kind that goes takes its objects with it: each comes as DELETED before the end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass

import msgspec

from reconciler.apiserver.failure import expired, internal
from reconciler.apiserver.options import ListOptions
from reconciler.apiserver.paging import Selection, parse_version
from reconciler.apiserver.registry import Registry
from reconciler.apiserver.render import Renderer
from reconciler.apiserver.resource import Resource
from reconciler.apiserver.storage import Change, ChangeType, CompactedError, Entry

__all__ = ["Watch", "seen_as"]

_BOOKMARK_SECONDS = 60.0
# The real server sends a last bookmark about two seconds before the time-out.
_LAST_BOOKMARK_SECONDS = 2.0


def seen_as(change: Change, selection: Selection, show: Callable[[Entry], Entry]) -> tuple[ChangeType, Entry] | None:
    """
    Return the event that a client with this selection sees for a change, or None.

    An object that leaves the selection is DELETED: its last selected state, under the revision of the change.
    """
    before = show(change.previous) if change.previous else None
    was = before is not None and selection.matches(before.obj)
    now = show(change.entry)
    if change.type is ChangeType.DELETED:
        return (ChangeType.DELETED, now) if was else None
    if selection.matches(now.obj):
        return (ChangeType.MODIFIED if was else ChangeType.ADDED), now
    return (ChangeType.DELETED, _restamped(before, change.revision)) if was and before else None


def _restamped(entry: Entry, revision: int) -> Entry:
    obj = {**entry.obj, "metadata": {**entry.obj["metadata"], "resourceVersion": str(revision)}}
    return Entry(obj, msgspec.json.encode(obj), revision, entry.epoch)


@dataclass(frozen=True, slots=True)
class _Start:
    """What is sent first, and from where the history is read on."""

    initial: list[Entry]
    revision: int


class Watch:
    """
    An open watch. Iterate `stream` once, and close it.

    Cancelled or closed while waiting: the watch is released, nothing is lost that was not already sent.
    """

    def __init__(
        self, registry: Registry, resource: Resource, selection: Selection, options: ListOptions,
        *, renderer: Renderer, timeout_seconds: float, is_closing: Callable[[], bool],
    ) -> None:  # fmt: skip
        """
        Nothing is sent yet; the place to start from is fixed now.

        Args:
            registry: Where objects are read.
            resource: The kind.
            selection: Which of its objects.
            options: Where to start, and whether bookmarks are wanted.
            renderer: Writes the events.
            timeout_seconds: How long the watch lasts.
            is_closing: Says that this watch is to end; whoever makes it true wakes the listeners of the storage.

        Raises:
            StatusError: 500 for a resource version that is no number.
        """
        self._registry = registry
        self._resource = resource
        self._selection = selection
        self._options = options
        self._renderer = renderer
        self._timeout_seconds = timeout_seconds
        self._is_closing = is_closing
        self._start = self._plan()
        self._place = self._start.revision

    def _plan(self) -> _Start:
        storage = self._registry.storage
        try:
            asked = parse_version(self._options.resource_version)
        except ValueError as error:
            raise internal(str(error)) from error
        wants_initial = self._options.send_initial_events
        if wants_initial is None:
            wants_initial = asked == 0
        if not wants_initial:
            return _Start([], asked or storage.revision)
        shown = [self._show(entry) for _, entry in storage.list(self._resource.bucket)]
        return _Start([entry for entry in shown if self._selection.matches(entry.obj)], storage.revision)

    def _show(self, entry: Entry) -> Entry:
        return self._registry.present(self._resource, entry)

    async def stream(self) -> AsyncGenerator[bytes]:
        """Yield chunks, each of whole lines."""
        woken = asyncio.Event()
        with contextlib.ExitStack() as stack:
            stack.callback(self._registry.storage.listen(self._resource.bucket, woken.set))
            if first := b"".join(self._initial_lines()):
                yield first
            loop = asyncio.get_running_loop()
            ends_at = loop.time() + self._timeout_seconds
            bookmark_at = self._next_bookmark(loop.time(), ends_at)
            while self._is_open():
                woken.clear()
                try:
                    chunk = b"".join(self._new_lines())
                except CompactedError as error:
                    yield self._gone(error)
                    return
                if chunk:
                    yield chunk
                    continue
                now = loop.time()
                if bookmark_at is not None and now >= bookmark_at:
                    yield self._renderer.bookmark(self._registry.storage.revision)
                    bookmark_at = self._next_bookmark(now, ends_at)
                    continue
                if now >= ends_at:
                    return
                await _wait(woken, until=min(ends_at, bookmark_at or ends_at))
            if last := self._last_lines():
                yield last

    def _last_lines(self) -> bytes:
        """Return the deletions that a kind which is not served any more left behind."""
        kind = self._resource.type
        if self._registry.kinds.find(kind.group, kind.version, kind.plural) is not None:
            # Served in another form: the old form of what came since would be wrong.
            return b""
        try:
            return b"".join(self._new_lines())
        except CompactedError as error:
            return self._gone(error)

    def _is_open(self) -> bool:
        return not self._is_closing() and self._registry.kinds.is_current(self._resource)

    def _initial_lines(self) -> Iterator[bytes]:
        for entry in self._start.initial:
            yield self._renderer.event("ADDED", entry)
        if self._options.send_initial_events and self._options.allow_bookmarks:
            yield self._renderer.bookmark(self._start.revision, ends_initial_events=True)

    def _new_lines(self) -> Iterator[bytes]:
        for change in self._registry.storage.since(self._resource.bucket, self._place):
            self._place = change.revision
            event = seen_as(change, self._selection, self._show)
            if event is not None:
                yield self._renderer.event(event[0].value, event[1])

    def _next_bookmark(self, now: float, ends_at: float) -> float | None:
        if not self._options.allow_bookmarks:
            return None
        last = ends_at - _LAST_BOOKMARK_SECONDS
        return min(now + _BOOKMARK_SECONDS, last) if last > now else None

    @staticmethod
    def _gone(error: CompactedError) -> bytes:
        return msgspec.json.encode({"type": "ERROR", "object": expired(str(error)).status}) + b"\n"


async def _wait(woken: asyncio.Event, *, until: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            await woken.wait()
