"""The cache: one informer for each kind, made when somebody first asks for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import TypeVar, cast, overload

import anyio
from anyio.abc import TaskGroup

from reconciler.api import EncodedObject, KubeObject, ResourceType
from reconciler.cache.handle import InformerHandle
from reconciler.cache.indexer import KeyFunction
from reconciler.cache.informer import Informer, InformerStatus
from reconciler.cache.news import News
from reconciler.cache.options import BytesTransform, KindOptions, Transform, namespaces_for
from reconciler.cache.resync import RESYNC, check_resync
from reconciler.client import FieldSelection, JsonObject, LabelSelection, RestClient, decode_object
from reconciler.clock import LoopClock
from reconciler.errors import CacheNotSyncedError, ConfigurationError
from reconciler.instant import Clock

__all__ = ["WARN_ABOVE_BYTES", "Cache"]

_log = logging.getLogger("reconciler.cache")

_WARN_NOT_RUNNING_AFTER_SECONDS = 10.0

O = TypeVar("O", bound=KubeObject)  # noqa: E741

WARN_ABOVE_BYTES = 128 * 1024 * 1024
"""What an unscoped kind may hold before the log says so: some sixty thousand objects of 2 KiB."""


class Cache:
    """
    The informers of one process.

    Args:
        rest: Asks the API server.
        namespace: Only this one; None or empty means all. Cluster-scoped kinds ignore it.
        clock: Must be the clock of the loop that runs it.
        random: Jitter and watch time-outs; the same seed and the same order of `informer` calls give the same ones.
        namespaces: Several of them, instead of `namespace`.
        options: What of a kind to hold, where that is not everything; see `options` for the same one by one.
        streaming_list: Ask for lists as streams (`sendInitialEvents`), which cost the server less memory; a server that
            has none is asked for pages.
        warn_above_bytes: The log warns of a kind without namespaces and selectors that holds more; None never.
        resync: How often handlers are told of every object again, as an update that changed nothing; each kind's
            period is multiplied once by a factor in [0.9, 1.1). None or zero: never.

    Raises:
        ConfigurationError: The options of a kind do not fit it, both `namespace` and `namespaces` are given, or
            `resync` is shorter than a second.

    Mirrors: controller-runtime `cache.Cache`, with `cache.Options`' `DefaultNamespaces`, `ByObject` and `SyncPeriod`.
    Differs: `informer` never waits; see `CachedReader` for reads of a kind that is not synced.
    """

    def __init__(
        self,
        rest: RestClient,
        *,
        namespace: str | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
        namespaces: Iterable[str] | None = None,
        options: Mapping[type[KubeObject] | ResourceType, KindOptions] | None = None,
        streaming_list: bool = False,
        warn_above_bytes: int | None = WARN_ABOVE_BYTES,
        resync: timedelta | None = RESYNC,
    ) -> None:
        if namespace and namespaces is not None:
            raise ConfigurationError("a cache takes either namespace or namespaces, not both")
        self.namespace = namespace or ""
        self.namespaces: tuple[str, ...] = (namespace,) if namespace else _names(namespaces)
        self._rest = rest
        self._clock = clock or LoopClock()
        self._random = random or Random()
        self._streaming_list = streaming_list
        self._warn_above_bytes = warn_above_bytes
        self._resync = check_resync(resync)
        self._news = News()
        self._informers: dict[ResourceType, Informer] = {}
        self._options: dict[ResourceType, KindOptions] = {}
        self._indexes: dict[ResourceType, dict[str, KeyFunction]] = {}
        self._typed_indexes: set[ResourceType] = set()
        self._holders: dict[ResourceType, int] = {}
        self._kept: set[ResourceType] = set()
        self._group: TaskGroup | None = None
        self._failure = ""
        for kind, given in (options or {}).items():
            self._set_options(kind, given)

    @property
    def is_running(self) -> bool:
        """Whether informers follow the server now."""
        return self._group is not None

    @property
    def is_synced(self) -> bool:
        """Whether the first list of every kind is complete, and nothing has ended the cache."""
        return not self._failure and all(informer.is_synced for informer in self._informers.values())

    @property
    def informers(self) -> tuple[Informer, ...]:
        """The informers that are there, in the order they were asked for."""
        return tuple(self._informers.values())

    @property
    def news(self) -> News:
        """Is told whenever something may have become true that somebody waits for: a sync, a version, an end."""
        return self._news

    def options(
        self,
        kind: type[KubeObject] | ResourceType,
        *,
        namespaces: Iterable[str] | None = None,
        label_selector: LabelSelection = None,
        field_selector: FieldSelection = None,
        transform: Transform | None = None,
        transform_bytes: BytesTransform | None = None,
        metadata_only: bool = False,
        resync: timedelta | None = None,
    ) -> None:
        """
        Hold only a part of a kind, or in another form; to be said before anybody asks for its informer.

        Args:
            kind: Which kind.
            namespaces: One watch each; None takes the cache's own, an empty list means all.
            label_selector: A `LabelSelector`, text as in kubectl's `-l`, or labels that must be equal.
            field_selector: A `FieldSelector`, text as in kubectl's `--field-selector`, or fields that must be equal.
            transform: Is given each object as a dictionary, and returns what to keep of it. Name, uid and version must
                stay. An object for which it fails is not taken in, and `InformerStatus.unreadable` names it.
            transform_bytes: The same from JSON to JSON, for who can do it without decoding.
            metadata_only: Let the server send nothing but `metadata`. Such a kind is read by its `ResourceType` alone.
            resync: How often handlers are told of every object again; None takes the cache's own, zero means never.

        Raises:
            ConfigurationError: There is an informer of the kind already, a selector is none, the namespaces do not fit
                the kind, or `resync` is shorter than a second.

        Mirrors: controller-runtime `cache.Options.ByObject`.
        """
        given = None if namespaces is None else _names(namespaces)
        self._set_options(
            kind, KindOptions(given, label_selector, field_selector, transform, transform_bytes, metadata_only, resync)
        )

    def informer(self, kind: type[KubeObject] | ResourceType) -> Informer:
        """
        Return the informer of `kind`; a new one starts at once if the cache runs, else with it.

        One that was asked for so while nobody held it (see `acquire`) stays until `release`.
        """
        resource = _resource(kind)
        if not self._holders.get(resource):
            self._kept.add(resource)
        return self._informer(resource)

    def _informer(self, resource: ResourceType) -> Informer:
        informer = self._informers.get(resource)
        if informer is None:
            informer = self._informers[resource] = self._new_informer(resource)
            if self._group is not None:
                self._start(informer, self._group)
        return informer

    def acquire(self, kind: type[KubeObject] | ResourceType) -> InformerHandle:
        """
        Return the informer of `kind` for as long as it is needed.

        When the last handle is released, the informer ends as with `release`, unless somebody has a handler on it, or
        asked for it before without a handle, by `informer` or by a read.
        """
        informer = self._informer(_resource(kind))
        self._holders[informer.resource] = self._holders.get(informer.resource, 0) + 1
        return InformerHandle(informer, self._let_go)

    def release(self, kind: type[KubeObject] | ResourceType) -> bool:
        """
        End the informer of `kind`, whoever uses it: its watch ends, its objects are dropped.

        Who waits for its sync is refused, its handlers hear no more; the log warns where it had any, since a controller
        among them is deaf from now on. Whoever asks for the kind later gets a new informer, with the same options and
        fields.

        Returns:
            Whether there was one.

        Mirrors: controller-runtime `cache.Informers.RemoveInformer`.
        """
        resource = _resource(kind)
        informer = self._informers.pop(resource, None)
        self._holders.pop(resource, None)
        self._kept.discard(resource)
        if informer is None:
            return False
        if count := informer.handler_count:
            _log.warning(
                "cache of %s: released while %d handler%s attached: controllers among them hear no more of the kind",
                resource, count, " was" if count == 1 else "s were",
            )  # fmt: skip
        informer.end()
        self._news.tell()
        return True

    @overload
    def index_field(self, kind: type[O], field: str, extract: Callable[[O], Iterable[str]]) -> None: ...
    @overload
    def index_field(self, kind: ResourceType, field: str, extract: Callable[[JsonObject], Iterable[str]]) -> None: ...
    def index_field(
        self, kind: type[KubeObject] | ResourceType, field: str, extract: Callable[..., Iterable[str]]
    ) -> None:
        """
        Let `CachedReader.list` select objects of `kind` by a field, as `field_selector="spec.owner=a"`.

        Args:
            kind: A model, whose objects `extract` is given, or a resource, for dictionaries.
            field: Its name; any, but by custom the path of what is indexed.
            extract: Returns the values an object is found by. To spare the decoding of each object, give
                `Informer.add_index` a function that looks at the `EncodedObject`.

        Raises:
            ConfigurationError: There is an index of that name, or the cache holds the metadata alone, and no model
                can be made of it.

        Mirrors: controller-runtime `client.FieldIndexer.IndexField`.
        """
        resource = _resource(kind)
        indexes = self._indexes.setdefault(resource, {})
        if field in indexes:
            raise ConfigurationError(f"{resource} has an index named {field!r} already; give one another name")

        if not isinstance(kind, ResourceType):
            if self._options.get(resource, KindOptions()).metadata_only:
                raise ConfigurationError(f"{resource}: the cache holds metadata only; index it by its ResourceType")
            self._typed_indexes.add(resource)

        def values(item: EncodedObject) -> Iterable[str]:
            if isinstance(kind, ResourceType):
                return extract(decode_object(kind, item.body))
            return extract(decode_object(kind, item.body))

        if present := self._informers.get(resource):
            present.add_index(field, values)
        indexes[field] = values

    async def run(self, stopping: asyncio.Event | None = None) -> None:
        """
        Follow every kind until `stopping` is set or the task is cancelled.

        Raises:
            ExceptionGroup: A handler raised; everything else has been stopped. Nothing counts as synced any more, and
                reads are refused.
            RuntimeError: It runs already; or something ended it, so that what handlers know is not what it holds.
        """
        if self._group is not None:
            raise RuntimeError("this cache runs already")
        if self._failure:
            raise RuntimeError(f"{self._failure}; make a new one")
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                for informer in self._informers.values():
                    self._start(informer, group)
                await (stopping or asyncio.Event()).wait()
                group.cancel_scope.cancel()
        except Exception as error:
            self._fail(error)
            raise
        finally:
            self._group = None

    async def wait_for_sync(self, timeout: timedelta | None = None, *, keep_waiting: bool = False) -> None:
        """
        Return when the first list of every kind that is known by then is complete.

        Args:
            timeout: For all of them together; None waits for ever.
            keep_waiting: Wait also where a list fails with what waiting does not mend, such as a 403: somebody may
                grant the right meanwhile.

        Raises:
            CacheNotSyncedError: One is not, in time, or one failed in such a way; names each such kind, its scope and
                what went wrong last.

        It waits also for a cache that does not run yet, and the log warns of one that does not after 10 s.
        """
        warning = asyncio.get_running_loop().call_later(_WARN_NOT_RUNNING_AFTER_SECONDS, self._warn_if_not_running)
        try:
            async with asyncio.timeout(None if timeout is None else timeout.total_seconds()):
                while not self.is_synced:
                    if self._failure:
                        raise CacheNotSyncedError(self._failure)
                    self._refuse(lambda informer: informer.cannot_sync and not keep_waiting)
                    await self._news.wait()
        except TimeoutError:
            self._refuse(lambda informer: not informer.is_synced)
        finally:
            warning.cancel()

    def statuses(self) -> tuple[InformerStatus, ...]:
        """Return how each kind stands, in the order they were asked for."""
        return tuple(informer.status() for informer in self._informers.values())

    def sizes(self) -> tuple[tuple[ResourceType, int, int], ...]:
        """Return each kind, how many objects it holds, and how many bytes of JSON they are. Any thread may ask."""
        # The copy is one step for other threads; figures that are being changed are a moment old.
        informers = tuple(self._informers.values())
        return tuple((each.resource, len(each.store), each.store.bytes_held) for each in informers)

    def problem(self) -> str | None:
        """Return what is wrong, for `/readyz`: kinds that are not synced, or that may be behind; None if none is."""
        found = [informer.describe() for informer in self._informers.values() if informer.has_problem]
        return "; ".join(found) or self._failure or None

    def _warn_if_not_running(self) -> None:
        if not self.is_running:
            _log.warning("somebody waits for the sync of a cache that does not run: run it, or give it to a manager")

    def _fail(self, error: Exception) -> None:
        # The types alone: what a handler raised may quote the object.
        self._failure = f"the cache has ended with {', '.join(_type_names(error))}"
        for informer in self._informers.values():
            informer.fail(self._failure)
        self._news.tell()

    def _refuse(self, is_to_blame: Callable[[Informer], bool]) -> None:
        if blamed := [informer.describe() for informer in self._informers.values() if is_to_blame(informer)]:
            raise CacheNotSyncedError("; ".join(blamed)) from None

    def _set_options(self, kind: type[KubeObject] | ResourceType, options: KindOptions) -> None:
        resource = _resource(kind)
        if resource in self._informers:
            raise ConfigurationError(f"{resource}: its informer is there already; set its options before")
        namespaces_for(resource, options.namespaces)
        check_resync(options.resync)
        if options.metadata_only and resource in self._typed_indexes:
            raise ConfigurationError(
                f"{resource}: an index looks at the model, so metadata_only leaves it nothing to see"
            )
        self._options[resource] = options

    def _new_informer(self, resource: ResourceType) -> Informer:
        options = self._options.get(resource, KindOptions())
        if options.namespaces is None and resource.is_namespaced:
            options = replace(options, namespaces=self.namespaces)
        informer = Informer(
            self._rest,
            resource,
            clock=self._clock,
            # A generator of its own, so that the course of one kind does not depend on what happens to another.
            random=Random(self._random.getrandbits(64)),
            options=options,
            news=self._news,
            is_streaming=self._streaming_list,
            warn_above_bytes=self._warn_above_bytes,
            resync=self._resync,
            on_gone=self._kind_went,
        )
        for name, function in self._indexes.get(resource, {}).items():
            informer.add_index(name, function)
        if self._failure:
            informer.fail(self._failure)
        return informer

    def _kind_went(self, informer: Informer) -> None:
        # Who is told waits for the kind to come back; who only reads begins anew with the next read.
        if not informer.handler_count:
            _log.info("cache of %s: nobody is told of the kind, so it is followed no longer", informer.resource)
            self.release(informer.resource)

    def _start(self, informer: Informer, group: TaskGroup) -> None:
        group.start_soon(informer.run, name=f"informer of {informer.resource}")

    def _let_go(self, informer: Informer) -> None:
        resource = informer.resource
        if self._informers.get(resource) is not informer:
            # Released for all while this handle was still held; there may be a new one, which is not ours.
            return
        self._holders[resource] -= 1
        if not self._holders[resource] and not informer.handler_count and resource not in self._kept:
            self.release(resource)

    def __repr__(self) -> str:
        return f"<Cache of {len(self._informers)} kinds, {'running' if self.is_running else 'not running'}>"


def _resource(kind: type[KubeObject] | ResourceType) -> ResourceType:
    return kind if isinstance(kind, ResourceType) else kind.resource


def _type_names(error: BaseException) -> tuple[str, ...]:
    if isinstance(error, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return tuple(dict.fromkeys(name for each in inner for name in _type_names(each)))
    return (type(error).__name__,)


def _names(namespaces: Iterable[str] | None) -> tuple[str, ...]:
    if isinstance(namespaces, str):
        raise ConfigurationError(f"namespaces is {namespaces!r}; give a list of names")
    return tuple(dict.fromkeys(namespaces or ()))
