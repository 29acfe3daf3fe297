"""
Wiring a controller in a few lines: what it watches, and what it calls.

Mirrors: controller-runtime `pkg/builder`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, Self

from reconciler.api import KubeObject, ResourceType
from reconciler.cache import Cache
from reconciler.client import OwnWrites
from reconciler.control_loop import Controller
from reconciler.errors import ConfigurationError
from reconciler.handler import EnqueueRequestForObject, EnqueueRequestForOwner, EventHandler, check_handler
from reconciler.manager import Manager
from reconciler.predicate import Predicate, check_predicates
from reconciler.reconcile import ReconcileFunction, Reconciler, Request
from reconciler.source import LOW_PRIORITY, Kind, Source
from reconciler.workqueue import Discipline, RateLimiter

__all__ = ["Builder", "controller_managed_by"]


@dataclass(frozen=True, slots=True)
class _Watch:
    """One kind to watch. No handler: the objects themselves are reconciled; `is_owned`: their owners are."""

    kind: type[KubeObject] | ResourceType
    predicates: tuple[Predicate, ...]
    handler: EventHandler | None = None
    is_owned: bool = False
    controller_only: bool = True
    cache: Cache | None = None
    ledger: OwnWrites | None = None
    low_priority: int | None = LOW_PRIORITY


class Builder:
    """
    Collects what a controller is made of; `complete` makes it and gives it to the manager.

    Mirrors: controller-runtime `builder.Builder`.
    """

    def __init__(self, manager: Manager) -> None:
        """Begin a controller of `manager`."""
        self._manager = manager
        self._primary: _Watch | None = None
        self._others: list[_Watch] = []
        self._raw: list[Source] = []
        self._filter: tuple[Predicate, ...] = ()
        self._name = ""
        self.with_options()

    def for_(
        self,
        kind: type[KubeObject] | ResourceType,
        *,
        predicates: Iterable[Predicate] = (),
        low_priority: int | None = LOW_PRIORITY,
    ) -> Self:
        """
        Reconcile objects of this kind: every one that is there, and again at each change that `predicates` let through.

        Args:
            kind: What is reconciled.
            predicates: What they drop asks for nothing.
            low_priority: In a priority queue, of objects that are there at the start, and of a version that was seen
                before; None means as other events.

        Raises:
            ConfigurationError: There is a kind already, or a predicate is none.

        Mirrors: controller-runtime `Builder.For`.
        """
        if self._primary is not None:
            raise ConfigurationError("for_() may be called once: a controller reconciles one kind")
        self._primary = _Watch(kind, check_predicates(predicates), low_priority=low_priority)
        return self

    def owns(
        self,
        kind: type[KubeObject] | ResourceType,
        *,
        predicates: Iterable[Predicate] = (),
        controller_only: bool = True,
        low_priority: int | None = LOW_PRIORITY,
    ) -> Self:
        """
        Reconcile an object also when a child of this kind changes: one that has the object among its owners.

        Args:
            kind: Of the children.
            predicates: What they drop asks for nothing.
            controller_only: Whether only a child counts that the object controls (`controller: true`).
            low_priority: As in `for_`.

        Raises:
            ConfigurationError: A predicate is none.

        Mirrors: controller-runtime `Builder.Owns`, with `MatchEveryOwner` for `controller_only=False`.
        """
        watch = _Watch(
            kind,
            check_predicates(predicates),
            is_owned=True,
            controller_only=controller_only,
            low_priority=low_priority,
        )
        self._others.append(watch)
        return self

    def watches(
        self,
        kind: type[KubeObject] | ResourceType,
        handler: EventHandler,
        *,
        predicates: Iterable[Predicate] = (),
        cache: Cache | None = None,
        ledger: OwnWrites | None = None,
        low_priority: int | None = LOW_PRIORITY,
    ) -> Self:
        """
        Reconcile whatever `handler` says that follows from a change of this kind.

        Args:
            kind: What is watched.
            handler: Turns its events into requests.
            predicates: What they drop does not reach the handler.
            cache: Of another cluster; it must be run by somebody, such as `manager.add(cache, name="other cluster",
                group=Group.CACHES)`. None takes the manager's.
            ledger: Of the clients that write to that other cluster; without one every change there is another's doing.
            low_priority: As in `for_`.

        Raises:
            ConfigurationError: The handler or a predicate is none; or there is a ledger but no other cluster's cache.

        Mirrors: controller-runtime `Builder.Watches`; with a cache, `WatchesRawSource(source.Kind(cache, ...))`.
        """
        if ledger is not None and (cache is None or cache is self._manager.cache):
            raise ConfigurationError("ledger= belongs to another cluster: give its cache= too, or leave both out")
        watch = _Watch(
            kind,
            check_predicates(predicates),
            check_handler(handler),
            cache=cache,
            ledger=ledger,
            low_priority=low_priority,
        )
        self._others.append(watch)
        return self

    def watches_raw(self, source: Source) -> Self:
        """
        Take events from a source of your own, such as a `ChannelSource`; `with_event_filter` does not reach into it.

        Raises:
            ConfigurationError: It is no source.

        Mirrors: controller-runtime `Builder.WatchesRawSource`.
        """
        missing = [name for name in ("start", "wait_for_sync", "describe") if not callable(getattr(source, name, None))]
        if isinstance(source, type) or missing:
            hint = f"it lacks {', '.join(missing)}" if missing else "it is a class: make one of it"
            raise ConfigurationError(f"watches_raw() takes a source, and {source!r} is none: {hint}")
        self._raw.append(source)
        return self

    def with_event_filter(self, *predicates: Predicate) -> Self:
        """
        Drop what one of these does not let through, of all kinds that are watched; more calls add more.

        They are asked before the predicates of each kind.

        Raises:
            ConfigurationError: One of them is no predicate.

        Mirrors: controller-runtime `Builder.WithEventFilter`.
        """
        self._filter += check_predicates(predicates)
        return self

    def named(self, name: str) -> Self:
        """Name the controller; without this it is the name of `for_`'s kind in lower case."""
        self._name = name
        return self

    def with_options(
        self,
        *,
        queue: Discipline = "priority",
        max_concurrent_reconciles: int = 1,
        rate_limiter: RateLimiter[Request] | None = None,
        reconcile_timeout: timedelta | None = None,
        on_timeout: Literal["raise", "signal"] = "raise",
        on_stop: Literal["finish", "signal"] = "finish",
        cache_sync_timeout: timedelta | None = timedelta(minutes=2),
    ) -> Self:
        """Set what `Controller` takes under the same names."""
        self._queue: Discipline = queue
        self._max_concurrent_reconciles = max_concurrent_reconciles
        self._rate_limiter = rate_limiter
        self._reconcile_timeout = reconcile_timeout
        self._on_timeout: Literal["raise", "signal"] = on_timeout
        self._on_stop: Literal["finish", "signal"] = on_stop
        self._cache_sync_timeout = cache_sync_timeout
        return self

    def complete(self, reconciler: Reconciler | ReconcileFunction) -> Controller:
        """
        Make the controller and add it to the manager.

        Args:
            reconciler: An object with an async `reconcile(request)`, or an async function of a request.

        Raises:
            ConfigurationError: Nothing brings events; `owns` has no owner, or one that cannot own that kind; there is
                no name; the manager has a controller of that name.
        """
        name = self._checked_name()
        manager = self._manager
        watches = [*filter(None, [self._primary]), *self._others]
        controller = Controller(
            name,
            reconciler if callable(reconciler) else reconciler.reconcile,
            clock=manager.clock,
            journal=manager.journal,
            sources=[*map(self._source, watches), *self._raw],
            queue=self._queue,
            max_concurrent_reconciles=self._max_concurrent_reconciles,
            rate_limiter=self._rate_limiter,
            reconcile_timeout=self._reconcile_timeout,
            on_timeout=self._on_timeout,
            on_stop=self._on_stop,
            cache_sync_timeout=self._cache_sync_timeout,
            ledger=manager.own_writes,
        )
        manager.add_controller(controller)
        return controller

    def _checked_name(self) -> str:
        if self._primary is not None:
            self._check_owned(_resource(self._primary.kind))
            return self._name or _resource(self._primary.kind).kind.lower()
        if not self._others and not self._raw:
            raise ConfigurationError("what does this controller reconcile? Call for_(KIND) before complete()")
        owned = next((watch for watch in self._others if watch.is_owned), None)
        if owned is not None:
            raise ConfigurationError(f"who owns the objects of owns({_resource(owned.kind).kind})? Call for_(KIND) too")
        if not self._name:
            raise ConfigurationError('a controller without for_() has no name of its own: call named("...")')
        return self._name

    def _check_owned(self, owner: ResourceType) -> None:
        for owned in (_resource(watch.kind) for watch in self._others if watch.is_owned):
            if owner.is_namespaced and not owned.is_namespaced:
                raise ConfigurationError(
                    f"owns({owned.kind}): Kubernetes lets no namespaced object, as {owner.kind} is, own one of cluster "
                    "scope; call watches() with a handler that knows which ones belong together"
                )

    def _source(self, watch: _Watch) -> Kind:
        cache, ledger = self._manager.cache, self._manager.own_writes
        if watch.cache is not None and watch.cache is not cache:
            # Another cluster counts its versions for itself: our own writes here say nothing about it.
            cache, ledger = watch.cache, OwnWrites() if watch.ledger is None else watch.ledger
        return Kind(
            cache,
            watch.kind,
            ledger=ledger,
            handler=self._handler(watch),
            predicates=(*self._filter, *watch.predicates),
            is_primary=watch is self._primary,
            low_priority=watch.low_priority,
        )

    def _handler(self, watch: _Watch) -> EventHandler:
        if watch.is_owned and self._primary is not None:
            return EnqueueRequestForOwner(self._primary.kind, controller_only=watch.controller_only)
        return watch.handler or EnqueueRequestForObject()


def _resource(kind: type[KubeObject] | ResourceType) -> ResourceType:
    return kind if isinstance(kind, ResourceType) else kind.resource


def controller_managed_by(manager: Manager) -> Builder:
    """
    Begin a controller of `manager`.

    Mirrors: controller-runtime `NewControllerManagedBy`.
    """
    return Builder(manager)
