"""Whatever happens on the way: the store becomes the server's state, and so does what a listener made of the events."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from reconciler.api import EncodedObject
from reconciler.cache.listwatch import ListPage, ListWatch, OpenWatch, StreamList, Wait
from reconciler.cache.store import Delta, Store
from reconciler.cache.wire import Bookmark, Change, ChangeType, Page
from reconciler.errors import (
    ApiError,
    ApiStatus,
    ConnectionFailedError,
    ExpiredError,
    ForbiddenError,
    MalformedObjectError,
    NotFoundError,
    ReconcilerError,
    ServerTimeoutError,
    TooManyRequestsError,
)
from reconciler.event import DeleteEvent, GenericEvent, UpdateEvent
from reconciler.instant import Instant, seconds

from .objects import encoded

PAGE = 2
NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
FAULTS: list[ReconcilerError] = [
    ConnectionFailedError("reset"),
    MalformedObjectError("not JSON"),
    ExpiredError(ApiStatus(410)),
    NotFoundError(ApiStatus(404)),
    ForbiddenError(ApiStatus(403)),
    TooManyRequestsError(ApiStatus(429, retry_after_seconds=1)),
    ServerTimeoutError(ApiStatus(503)),
    ApiError(ApiStatus(500)),
]


@dataclass
class Written:
    revision: int
    type: ChangeType
    object: EncodedObject


class Server:
    """A kind on an API server, in a few lines: revisions, history, snapshots."""

    def __init__(self) -> None:
        self.revision = 10
        self.objects: dict[str, EncodedObject] = {}
        self.history: list[Written] = []
        self.snapshots: dict[int, dict[str, EncodedObject]] = {10: {}}
        self.oldest = 0

    def put(self, name: str) -> None:
        old = self.objects.get(name)
        self.revision += 1
        new = encoded(name, self.revision, uid=old.uid if old else f"{name}-{self.revision}")
        self.objects[name] = new
        self._remember(Written(self.revision, ChangeType.MODIFIED if old else ChangeType.ADDED, new))

    def delete(self, name: str) -> None:
        old = self.objects.pop(name, None)
        if old is None:
            return
        self.revision += 1
        self._remember(Written(self.revision, ChangeType.DELETED, encoded(name, self.revision, uid=old.uid)))

    def compact(self) -> None:
        self.oldest = self.revision

    def page(self, token: str, limit: int) -> Page:
        revision, start = map(int, token.split("/")) if token else (self.revision, 0)
        if revision < self.oldest:
            raise ExpiredError(ApiStatus(410))
        items = [item for _, item in sorted(self.snapshots[revision].items())]
        end = start + limit if limit else len(items)
        more = f"{revision}/{end}" if end < len(items) else ""
        return Page(tuple(items[start:end]), str(revision), more)

    def after(self, revision: int) -> Written | None:
        return next((written for written in self.history if written.revision > revision), None)

    def _remember(self, written: Written) -> None:
        self.history.append(written)
        self.snapshots[self.revision] = dict(self.objects)


class ListWatchAgainstAServer(RuleBasedStateMachine):
    is_streaming = False

    def __init__(self) -> None:
        super().__init__()
        self.server = Server()
        self.machine = ListWatch(Random(1), is_streaming=self.is_streaming)
        # What a streamed list has yet to send before its end, and the version of that.
        self.initial: list[EncodedObject] = []
        self.end_of_list = ""
        self.store = Store()
        self.listener: dict[str, EncodedObject] = {}
        self.told_versions: set[str] = set()
        self.now = 0
        self.cursor: int | None = None

    # What the world does.

    @rule(name=NAMES)
    def write(self, name: str) -> None:
        self.server.put(name)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        self.server.delete(name)

    @rule(name=NAMES)
    def recreate(self, name: str) -> None:
        self.server.delete(name)
        self.server.put(name)

    @rule()
    def compact(self) -> None:
        self.server.compact()

    @rule(milliseconds=st.integers(1, 5_000))
    def time_passes(self, milliseconds: int) -> None:
        self.now += milliseconds * 1_000_000

    # What happens to requests.

    @rule(steps=st.integers(1, 4))
    def go_on(self, steps: int) -> None:
        for _ in range(steps):
            self.take_step()

    @rule(fault=st.sampled_from(FAULTS))
    def fail(self, fault: ReconcilerError) -> None:
        if isinstance(self.machine.step, Wait):
            return
        self.cursor = None
        self.machine.failed(fault, now=Instant(self.now))

    @rule(fault=st.sampled_from([fault for fault in FAULTS if isinstance(fault, ApiError)]))
    def error_event(self, fault: ApiError) -> None:
        if self.cursor is not None:
            self.cursor = None
            self.machine.line_came(fault, now=Instant(self.now))

    @rule()
    def end_stream(self) -> None:
        if self.cursor is not None:
            self.cursor = None
            self.machine.stream_ended(now=Instant(self.now))

    @rule()
    def silence(self) -> None:
        if isinstance(self.machine.step, OpenWatch | StreamList):
            self.cursor = None
            self.now += seconds(90)
            self.machine.fell_silent()

    @rule()
    def bookmark(self) -> None:
        if self.cursor is not None and not self.end_of_list and self.server.after(self.cursor) is None:
            self.cursor = self.server.revision
            self.told_versions.add(str(self.cursor))
            self.machine.line_came(Bookmark(str(self.cursor)), now=Instant(self.now))

    @rule()
    def settle(self) -> None:
        for _ in range(60):
            is_quiet = self.cursor is not None and not self.end_of_list and self.server.after(self.cursor) is None
            if is_quiet:
                break
            self.take_step()
        else:
            raise AssertionError(f"it does not settle: {self.machine}")
        # S1, and every change since.
        assert {item.key.name: item.resource_version for item in self.store} == {
            name: item.resource_version for name, item in self.server.objects.items()
        }

    def teardown(self) -> None:
        self.settle()

    # S2
    @invariant()
    def a_listener_knows_what_the_store_holds(self) -> None:
        assert self.listener == {item.key.name: item for item in self.store}

    # L1
    @invariant()
    def only_versions_that_the_server_named_are_watched_from(self) -> None:
        if isinstance(self.machine.step, OpenWatch):
            assert self.machine.step.resource_version in self.told_versions

    def take_step(self) -> None:
        match self.machine.step:
            case ListPage(limit, token):
                self._list(token, min(limit, PAGE))
            case OpenWatch(version) if self.cursor is None:
                self._open(int(version))
            case StreamList() if self.cursor is None:
                self._open_stream()
            case StreamList() if self.end_of_list:
                self._read_initial()
            case OpenWatch() | StreamList():
                self._read_line()
            case Wait(nanoseconds):
                self.now += nanoseconds
                self.machine.waited()

    def _list(self, token: str, limit: int) -> None:
        try:
            page = self.server.page(token, limit)
        except ExpiredError as error:
            self.machine.failed(error, now=Instant(self.now))
            return
        self.told_versions.add(page.resource_version)
        self._apply(self.machine.page_came(page))

    def _open(self, version: int) -> None:
        if version < self.server.oldest:
            self.machine.failed(ExpiredError(ApiStatus(410)), now=Instant(self.now))
            return
        self.cursor = version
        self.end_of_list = ""
        self.machine.watch_opened(now=Instant(self.now))

    def _open_stream(self) -> None:
        self.cursor = self.server.revision
        self.initial = list(self.server.objects.values())
        self.end_of_list = str(self.cursor)
        self.machine.watch_opened(now=Instant(self.now))

    def _read_initial(self) -> None:
        now = Instant(self.now)
        if self.initial:
            assert self.machine.line_came(Change(ChangeType.ADDED, self.initial.pop()), now=now) is None
            return
        version, self.end_of_list = self.end_of_list, ""
        self.told_versions.add(version)
        self._apply(self.machine.line_came(Bookmark(version, is_list_end=True), now=now))

    def _read_line(self) -> None:
        assert self.cursor is not None
        written = self.server.after(self.cursor)
        if written is None:
            return
        self.cursor = written.revision
        self.told_versions.add(str(written.revision))
        self._apply(self.machine.line_came(Change(written.type, written.object), now=Instant(self.now)))

    def _apply(self, delta: Delta | None) -> None:
        if delta is None:
            return
        for event in self.store.apply(delta):
            assert not isinstance(event, GenericEvent)
            name = event.key.name
            if isinstance(event, DeleteEvent):
                assert name in self.listener
                del self.listener[name]
                continue
            # An update names the state that the listener knew; a create is of what it did not know.
            assert self.listener.get(name) is (event.old if isinstance(event, UpdateEvent) else None)
            self.listener[name] = event.new


class StreamedListWatchAgainstAServer(ListWatchAgainstAServer):
    is_streaming = True


SETTINGS = settings(max_examples=300, stateful_step_count=40, deadline=None, derandomize=True)
TestListWatchAgainstAServer = ListWatchAgainstAServer.TestCase
TestListWatchAgainstAServer.settings = SETTINGS
TestStreamedListWatchAgainstAServer = StreamedListWatchAgainstAServer.TestCase
TestStreamedListWatchAgainstAServer.settings = SETTINGS
