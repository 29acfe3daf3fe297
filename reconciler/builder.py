"""
Wiring a controller in a few lines: what it watches, and what it calls.

Mirrors: controller-runtime `pkg/builder`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Literal, Self

from reconciler.api import KubeObject, ResourceType
from reconciler.control_loop import Controller
from reconciler.errors import ConfigurationError
from reconciler.manager import Manager
from reconciler.predicate import Predicate
from reconciler.reconcile import ReconcileFunction, Reconciler, Request
from reconciler.source import Kind
from reconciler.workqueue import Discipline, RateLimiter

__all__ = ["Builder", "controller_managed_by"]


class Builder:
    """
    Collects what a controller is made of; `complete` makes it and gives it to the manager.

    Mirrors: controller-runtime `builder.Builder`.
    """

    def __init__(self, manager: Manager) -> None:
        """Begin a controller of `manager`."""
        self._manager = manager
        self._kind: type[KubeObject] | ResourceType | None = None
        self._predicates: tuple[Predicate, ...] = ()
        self._name = ""
        self.with_options()

    def for_(self, kind: type[KubeObject] | ResourceType, *, predicates: Iterable[Predicate] = ()) -> Self:
        """
        Reconcile objects of this kind: every one that is there, and again at each change that `predicates` let through.

        Raises:
            ConfigurationError: There is a kind already.
        """
        if self._kind is not None:
            raise ConfigurationError("for_() may be called once: a controller reconciles one kind")
        self._kind = kind
        self._predicates = tuple(predicates)
        return self

    def named(self, name: str) -> Self:
        """Name the controller; without this it is the kind's name in lower case."""
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
            ConfigurationError: There is no kind, or the manager has a controller of that name.
        """
        if self._kind is None:
            raise ConfigurationError("what does this controller reconcile? Call for_(KIND) before complete()")
        resource = self._kind if isinstance(self._kind, ResourceType) else self._kind.resource
        manager = self._manager
        controller = Controller(
            self._name or resource.kind.lower(),
            reconciler if callable(reconciler) else reconciler.reconcile,
            clock=manager.clock,
            journal=manager.journal,
            sources=(Kind(manager.cache, self._kind, ledger=manager.own_writes, predicates=self._predicates),),
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


def controller_managed_by(manager: Manager) -> Builder:
    """
    Begin a controller of `manager`.

    Mirrors: controller-runtime `NewControllerManagedBy`.
    """
    return Builder(manager)
