"""
The reflector: runs the list/watch machine against an API server, and hands each delta on.

It waits, asks, decodes and says in the log when something is wrong, once for each change of state. What to do is the
machine's decision, what a delta means the store's.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from dataclasses import replace
from random import Random

from reconciler.api import ResourceType
from reconciler.cache.listwatch import ListPage, ListWatch, OpenWatch, Step, StreamList, Wait
from reconciler.cache.options import KindOptions
from reconciler.cache.store import Delta, Put, Replaced
from reconciler.cache.trouble import Trouble
from reconciler.cache.wire import decode_line, decode_page
from reconciler.client import RestClient
from reconciler.errors import ReconcilerError
from reconciler.instant import Clock, Instant, duration, milliseconds, seconds

__all__ = ["IDLE_SECONDS", "Reflector", "name_of"]

_log = logging.getLogger("reconciler.cache")

IDLE_SECONDS = 90.0
"""
The longest silence of a watch. The API server sends a bookmark each minute, also when nothing changes, so a silence
half as long again means that the connection is dead; a false alarm costs one request and loses nothing.
"""

# In a burst hundreds of lines come within this time, and setting a timer costs as much as storing an object.
_IDLE_STEP = milliseconds(10)

_LIST_TIMEOUT_SECONDS = 60.0  # the API server's own limit for a request
_NO_ANSWER_AFTER = seconds(10)
"""A list or watch that is not answered for so long is a problem, though it is given up only later."""
_REPEAT_LOG_AFTER = seconds(600)


class Reflector:
    """
    Follows one kind on the API server.

    Args:
        rest: Asks the API server.
        resource: The kind.
        namespace: None or empty means all namespaces, or cluster scope.
        clock: Must be the clock of the loop that runs it.
        random: Jitter and watch time-outs.
        on_delta: Is called with each delta, in order; what it raises ends the reflector.
        on_state: Is called after each step, when `problem` and `is_lasting` may be others.
        options: What of the kind to follow, and in which form.
        is_streaming: Ask for lists as streams, where the server has them.

    Attributes:
        name: Kind and scope in words.
        namespace: Empty for all namespaces, or cluster scope.

    Mirrors: client-go `tools/cache` `Reflector`.
    """

    def __init__(
        self,
        rest: RestClient,
        resource: ResourceType,
        *,
        namespace: str | None,
        clock: Clock,
        random: Random,
        on_delta: Callable[[Delta], None],
        on_state: Callable[[], None] = lambda: None,
        options: KindOptions | None = None,
        is_streaming: bool = False,
    ) -> None:
        self._rest = rest
        self._resource = resource
        self.namespace = namespace or ""
        self._options = options or KindOptions()
        self._read = self._options.reader(resource)
        self._read_change = self._options.change_reader(resource)
        self._clock = clock
        self._on_delta = on_delta
        self._on_state = on_state
        self._machine = ListWatch(random, is_streaming=is_streaming)
        self.name = name_of(resource, (self.namespace,) if self.namespace else (), self._options)
        self._said: Trouble = Trouble.NONE
        self._said_at = Instant(0)
        self._asked_at: Instant | None = None

    @property
    def problem(self) -> str | None:
        """What is wrong, in words that do not repeat `name`; None if nothing is."""
        error, trouble = self._machine.error, self._machine.trouble
        if trouble is Trouble.NONE:
            return _NO_ANSWER if self._is_without_answer else None
        if trouble is Trouble.NOT_SERVED:
            kind, version = self._resource.kind, self._resource.api_version
            # It was there before: an API server that starts says so, too, so nothing is concluded from it at once.
            since = "at present" if self.resource_version else "yet"
            yet = "any more" if self._machine.is_gone else since
            return f"kind {kind} ({version}) is not served by the API server {yet}; waiting"
        return f"{trouble.value}; trying again" + (f" ({error})" if error else "")

    @property
    def _is_without_answer(self) -> bool:
        return self._asked_at is not None and self._clock.now() - self._asked_at > _NO_ANSWER_AFTER

    @property
    def is_lasting(self) -> bool:
        """Whether what is wrong is nothing that waiting mends."""
        return self._machine.is_lasting

    @property
    def is_gone(self) -> bool:
        """Whether the kind was there, and is no longer served: its objects were reported as gone."""
        return self._machine.is_gone

    @property
    def watching_since(self) -> Instant | None:
        """When the present watch was opened; None while there is none."""
        return self._machine.watching_since

    @property
    def resource_version(self) -> str:
        """The last version seen; empty before the first list is complete."""
        return self._machine.resource_version

    async def run(self) -> None:
        """
        Follow the kind until cancelled.

        Failures of the server lead to another try; what `on_delta` raises, of whatever kind, ends this.
        """
        try:
            while True:
                await self._take(self._machine.step)
                self._say()
                self._on_state()
        finally:
            self._asked_at = None
            self._machine.stopped()

    async def _take(self, step: Step) -> None:
        match step:
            case ListPage():
                await self._list(step)
            case OpenWatch() | StreamList():
                await self._watch(step)
            case Wait():
                await asyncio.sleep(duration(step.nanoseconds).total_seconds())
                self._machine.waited()

    async def _list(self, step: ListPage) -> None:
        self._asked_at = self._clock.now()
        try:
            body = await self._rest.list_page(
                self._resource,
                namespace=self.namespace,
                label_selector=self._options.labels or None,
                field_selector=self._options.fields or None,
                limit=step.limit or None,
                continue_token=step.continue_token or None,
                timeout_seconds=_LIST_TIMEOUT_SECONDS,
                accept=self._options.accept_list,
            )
            page = decode_page(body, self._read, doing=f"list {self.name}")
        except ReconcilerError as error:
            self._failed(error)
            return
        self._pass_on(self._machine.page_came(page))

    async def _watch(self, step: OpenWatch | StreamList) -> None:
        # Here, not in the transport, so that no transport can forget it; and one timer for the whole watch.
        guard = asyncio.timeout(IDLE_SECONDS)
        self._asked_at = self._clock.now()
        try:
            async with guard, AsyncExitStack() as stack:
                try:
                    lines = await stack.enter_async_context(self._open(step))
                except ReconcilerError as error:
                    self._failed(error)
                    return
                self._asked_at = None
                self._machine.watch_opened(now=self._clock.now())
                self._say()
                self._on_state()
                await self._follow(lines, step, guard)
        except TimeoutError:
            if not guard.expired():
                raise
            _log.info("%s: nothing came for %g s; beginning anew", self.name, IDLE_SECONDS)
            self._machine.fell_silent()

    def _open(self, step: OpenWatch | StreamList) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._rest.watch(
            self._resource,
            namespace=self.namespace,
            resource_version=step.resource_version if isinstance(step, OpenWatch) else None,
            send_initial_events=isinstance(step, StreamList),
            timeout_seconds=step.timeout_seconds,
            allow_bookmarks=True,
            label_selector=self._options.labels or None,
            field_selector=self._options.fields or None,
            accept=self._options.accept_one,
        )

    async def _follow(self, lines: AsyncIterator[bytes], step: Step, guard: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        machine, now, read, doing = self._machine, self._clock.now, self._read_change, f"watch {self.name}"
        # Not `anext`, which wraps what it waits for: 0.2 microseconds, for each line.
        take = lines.__anext__
        set_at = now()
        while machine.step is step:
            try:
                said = decode_line(await take(), doing=doing, read=read)
            except StopAsyncIteration:
                machine.stream_ended(now=now())
                continue
            except ReconcilerError as error:
                self._failed(error)
                continue
            came_at = now()
            self._pass_on(machine.line_came(said, now=came_at))
            if self._said is not _NONE and machine.trouble is _NONE:
                self._say()
            # A bookmark is no delta, and still moves the version that somebody may wait for.
            self._on_state()
            if came_at - set_at > _IDLE_STEP:
                guard.reschedule(loop.time() + IDLE_SECONDS)
                set_at = came_at

    def _failed(self, error: ReconcilerError) -> None:
        gone = self._machine.failed(error, now=self._clock.now())
        if gone is not None:
            _log.warning("%s: the kind is gone from the API server, and its objects with it", self.name)
            self._pass_on(gone)

    def _pass_on(self, delta: Delta | None) -> None:
        if type(delta) is Put:
            self._on_delta(delta)
        elif isinstance(delta, Replaced):
            with _collector_paused():
                self._on_delta(replace(delta, namespace=self.namespace))
        elif delta is not None:
            self._on_delta(delta)

    def _say(self) -> None:
        """Log the problem once, again after ten minutes, and its end."""
        trouble = self._machine.trouble
        if trouble is Trouble.NONE:
            if self._said is not Trouble.NONE and self._machine.watching_since is not None:
                _log.info("%s: watching again", self.name)
                self._said = Trouble.NONE
            return
        now = self._clock.now()
        if trouble is not self._said or now - self._said_at > _REPEAT_LOG_AFTER:
            _log.warning("%s: %s", self.name, self.problem)
            self._said, self._said_at = trouble, now


_NONE = Trouble.NONE
_NO_ANSWER = f"no list or watch from the API server for more than {_NO_ANSWER_AFTER // seconds(1)} s; waiting for it"


@contextmanager
def _collector_paused() -> Generator[None, None, None]:
    """
    Keep the garbage collector away from a list: what a list makes stays, and each look at it finds nothing.

    Nothing waits within, so no other task runs without a collector; one that the program has switched off stays off.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def name_of(resource: ResourceType, namespaces: tuple[str, ...], options: KindOptions) -> str:
    """Say which objects of which kind are followed."""
    selected = options.scope_words()
    if namespaces:
        plural = "s" if len(namespaces) > 1 else ""
        return f"{resource} in namespace{plural} {', '.join(namespaces)}{selected}"
    return f"{resource} in all namespaces{selected}" if resource.is_namespaced else f"{resource}{selected}"
