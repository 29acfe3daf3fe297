"""
`RestMapper`: from the name of a kind to where the server keeps it.

It reads discovery when something is looked for, and again when it is not found. It makes no other requests, and does
not say what you are allowed to do. The documents themselves are read by `discovery.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.api import ResourceType
from reconciler.client.discovery import (
    ApiResource,
    Discovered,
    GroupVersion,
    Wanted,
    read_groups,
    read_resources,
    wanted,
)
from reconciler.client.rest import RestClient
from reconciler.client.transport import Transport
from reconciler.clock import LoopClock
from reconciler.errors import (
    ApiError,
    ApiStatus,
    NoMatchError,
    ReconcilerError,
    ServerTimeoutError,
)
from reconciler.instant import Clock, Instant, seconds

__all__ = ["RestMapper"]

_AGGREGATED = ";g=apidiscovery.k8s.io;as=APIGroupDiscoveryList"
_ACCEPT = f"application/json{_AGGREGATED};v=v2,application/json{_AGGREGATED};v=v2beta1,application/json"
_TOGETHER_MAX = 10
_NS_PER_S = 1_000_000_000


class RestMapper:
    """
    Finds kinds by their names, from what the server says it serves.

    The first question reads discovery: two requests where the server aggregates it, else one for each group and
    version. Answers come from memory from then on. A name that is not found makes it read again at once, and once for
    all who ask at the same time: a kind that was just installed is found. Whoever asks again for a name that was missed
    less than `refresh_seconds_min` ago waits for the rest of that time, and then it is read again. A group whose server
    does not answer hides no other one, and keeps the kinds that were known of it.

    Args:
        transport: Carries the requests. It is not closed here.
        refresh_seconds_min: Between two readings for one name that was not found.
        timeout_seconds: For each request.
        clock: Says when it was read.
        user_agent: Instead of the transport's.

    Raises:
        ValueError: A time-out that is not more than 0.

    Mirrors: controller-runtime `apiutil.NewDynamicRESTMapper`; client-go `restmapper.NewDeferredDiscoveryRESTMapper`.
    Differs: knows short names; makes who repeats a miss wait; serves the groups that could be read.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        refresh_seconds_min: float = 1.0,
        timeout_seconds: float = 30.0,
        clock: Clock | None = None,
        user_agent: str | None = None,
    ) -> None:
        self._rest = RestClient(transport, timeout_seconds=timeout_seconds, user_agent=user_agent)
        self._refresh_seconds_min = refresh_seconds_min
        self._clock = clock or LoopClock()
        self._lock = asyncio.Lock()
        self._discovered: Discovered | None = None
        self._is_current = False
        self._invalidations = 0
        self._read_at: Instant | None = None
        self._readings_started = 0
        self._reading_ended = 0
        self._failure: ReconcilerError | None = None
        self._missed_at: dict[tuple[Wanted, ...], Instant] = {}

    async def resource_for(self, name: str, *, group: str | None = None, version: str | None = None) -> ResourceType:
        """
        Return where the server keeps a kind.

        Args:
            name: A kind, plural, singular or short name, in any case; without `group` it may hold group and version,
                as in `deployments.apps` and `deployments.v1.apps`.
            group: Empty for the core group; None takes the first group, in the server's order, that has the name.
            version: None takes the group's preferred version, or the first other one that has the name.

        Raises:
            ValueError: `name` is empty.
            NoMatchError: The server serves no such kind; names what was looked for, where, and near names.
            ServerTimeoutError: The group is known, and could not be read.
            ApiError: Discovery was refused.
            ConnectionFailedError: The server did not answer.

        Cancelled: nothing has changed.

        Mirrors: apimachinery `meta.RESTMapper.RESTMapping` and `KindFor`.
        """
        return (await self.describe(name, group=group, version=version)).type

    async def resource_of(self, obj: Mapping[str, Any]) -> ResourceType:
        """
        Return where the server keeps objects like this one, by its `apiVersion` and `kind`.

        Raises:
            ValueError: It has none.
            NoMatchError: As `resource_for`, and the other errors too.
        """
        api_version, kind = obj.get("apiVersion"), obj.get("kind")
        if not (isinstance(api_version, str) and isinstance(kind, str) and api_version and kind):
            raise ValueError("an object has apiVersion and kind, this one lacks one of them")
        group, _, version = api_version.rpartition("/")
        return await self.resource_for(kind, group=group, version=version)

    async def describe(self, name: str, *, group: str | None = None, version: str | None = None) -> ApiResource:
        """Return all that the server says of a kind: its names, verbs and subresources. Else as `resource_for`."""
        if not name:
            raise ValueError("a kind is looked for by a name, this one is empty")
        sought = tuple(wanted(name, group, version))
        found = self._find(sought) if self._is_current else None
        if found is None:
            await self._wait_for_turn(sought)
            await self._refresh()
            found = self._find(sought)
        if found is None:
            self._note_miss(sought)
            raise self._miss(sought)
        return found

    async def _wait_for_turn(self, sought: tuple[Wanted, ...]) -> None:
        # A wait and not an old answer: a kind that came in the meantime must not be called missing.
        missed_at = self._missed_at.get(sought) if self._is_current else None
        if missed_at is None:
            return
        wait_ns = missed_at + seconds(self._refresh_seconds_min) - self._clock.now()
        if wait_ns > 0:
            await asyncio.sleep(wait_ns / _NS_PER_S)

    def _note_miss(self, sought: tuple[Wanted, ...]) -> None:
        now = self._clock.now()
        oldest = now - seconds(self._refresh_seconds_min)
        self._missed_at = {name: at for name, at in self._missed_at.items() if at > oldest}
        self._missed_at[sought] = now

    async def resources(self) -> tuple[ApiResource, ...]:
        """Return everything that the server serves, the groups in its order and the preferred versions first."""
        if not self._is_current:
            await self._refresh()
        return self._discovered.resources if self._discovered is not None else ()

    @property
    def failures(self) -> Mapping[str, str]:
        """The groups and versions that could not be read the last time, and why."""
        return self._discovered.failures if self._discovered is not None else {}

    def invalidate(self) -> None:
        """
        Make the next question read discovery anew, such as after a CustomResourceDefinition was changed.

        Mirrors: client-go `DeferredDiscoveryRESTMapper.Reset`.
        """
        self._is_current = False
        self._invalidations += 1

    def _find(self, sought: Sequence[Wanted]) -> ApiResource | None:
        if self._discovered is None:
            return None
        return next(filter(None, map(self._discovered.find, sought)), None)

    async def _refresh(self) -> None:
        started = self._readings_started
        async with self._lock:
            # Whoever waited for the lock takes what the one before got, be it a failure; but not from a reading that
            # had begun when it asked, for what it looks for may have come in between.
            if self._reading_ended <= started:
                await asyncio.sleep(0)  # those who ask in the same moment join
                self._readings_started += 1
                await self._refresh_alone()
            elif self._failure is not None:
                raise self._failure

    async def _refresh_alone(self) -> None:
        invalidations = self._invalidations
        try:
            found = await self._read()
        except ReconcilerError as error:
            self._failure = error
            self._reading_ended = self._readings_started
            raise
        self._discovered = found.or_as_before(self._discovered)
        self._failure = None
        self._reading_ended = self._readings_started
        self._read_at = self._clock.now()
        # What was asked for before `invalidate` may be old already.
        self._is_current = self._invalidations == invalidations

    def _age_ns(self) -> int:
        return 0 if self._read_at is None else self._clock.now() - self._read_at

    # --- reading ------------------------------------------------------------------------------------------------------

    async def _read(self) -> Discovered:
        core, groups = await asyncio.gather(self._get("/api"), self._get("/apis"), return_exceptions=True)
        if isinstance(groups, BaseException):
            raise groups
        if isinstance(core, BaseException) and not isinstance(core, ApiError):
            raise core
        # Some servers have no core group; whoever looks for it there is told why it is not found.
        versions = (
            [GroupVersion("", "v1", failure=_in_words(core))]
            if isinstance(core, ApiError)
            else read_groups("/api", core)
        )
        versions += read_groups("/apis", groups)
        limit = asyncio.Semaphore(_TOGETHER_MAX)
        return Discovered(tuple(await asyncio.gather(*(self._completed(version, limit) for version in versions))))

    async def _completed(self, version: GroupVersion, limit: asyncio.Semaphore) -> GroupVersion:
        if version.resources is not None or version.failure:
            return version
        path = f"/apis/{version}" if version.group else f"/api/{version}"
        async with limit:
            try:
                return read_resources(path, await self._get(path), version)
            except ReconcilerError as error:
                return GroupVersion(version.group, version.version, failure=_in_words(error))

    async def _get(self, path: str) -> bytes:
        return await self._rest.read(path, doing=f"discover {path}", accept=_ACCEPT)

    # --- what is not found --------------------------------------------------------------------------------------------

    def _miss(self, sought: Sequence[Wanted]) -> ApiError:
        discovered = self._discovered or Discovered(())
        doing = f"find {sought[-1]}"
        unread = [text for one in sought for text in discovered.failures_of(one)]
        if unread and sought[-1].group is not None:
            # Perhaps it is there: "not found" would be taken for "not installed".
            return ServerTimeoutError(ApiStatus(503, "ServiceUnavailable", "; ".join(unread)), doing)
        said = ["the server serves no such kind", discovered.near(sought[-1]), *unread]
        age_seconds = self._age_ns() / _NS_PER_S
        if age_seconds >= 1:
            said.append(f"this was read {age_seconds:.0f} s ago")
        return NoMatchError(ApiStatus(404, "NotFound", "; ".join(filter(None, said))), doing)


def _in_words(error: ReconcilerError) -> str:
    if isinstance(error, ApiError):
        return f"{error.status.code} {error.status.message or error.status.reason}".strip()
    return str(error)
