"""Which requests follow from an event. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from reconciler.api import EncodedObject, KubeObject, ResourceType
from reconciler.cache.functions import check_plain
from reconciler.errors import ConfigurationError
from reconciler.event import Event
from reconciler.reconcile import Request

__all__ = [
    "EnqueueRequestForObject",
    "EnqueueRequestForOwner",
    "EnqueueRequestsFromMapFunc",
    "EventHandler",
    "MapFunc",
    "check_handler",
]

MapFunc = Callable[[EncodedObject], Iterable[Request]]
"""
Says which requests follow from an object; must not wait, so it looks other objects up in an informer's index.

What it raises ends the cache that told of the object, and with it the manager: an object that nobody maps would be an
object that nobody reconciles. A note on the error names the kind, the event and the object.

Mirrors: controller-runtime `handler.MapFunc`.
"""


class EventHandler(Protocol):
    """
    Turns what happened to an object into the keys to reconcile.

    Mirrors: controller-runtime `handler.EventHandler`.
    """

    def requests(self, event: Event) -> Iterable[Request]:
        """Return the requests that `event` leads to; must not wait. What it raises ends the cache and the manager."""
        ...


class EnqueueRequestForObject:
    """
    Asks for a pass over the very object that the event is about.

    Mirrors: controller-runtime `handler.EnqueueRequestForObject`.
    """

    __slots__ = ()

    def requests(self, event: Event) -> Iterable[Request]:
        """Return one request, for the object itself."""
        key = event.key
        return (Request(key.namespace, key.name),)


class EnqueueRequestForOwner:
    """
    Asks for a pass over the owners, of one kind, of the object that the event is about.

    An update asks for the owners of the old and of the new object, so a controller also sees that it lost a child.
    Owners are known by kind and group; the version in the reference does not count.

    Args:
        owner: The kind of the owners: a model, or a resource.
        controller_only: Whether only the owner counts that controls the object (`controller: true`).

    Mirrors: controller-runtime `handler.EnqueueRequestForOwner`, with `OnlyControllerOwner` for `controller_only`.
    Differs: a cluster-scoped object that names a namespaced owner, which Kubernetes forbids, asks for nothing.
    """

    __slots__ = ("_controller_only", "_owner")

    def __init__(self, owner: type[KubeObject] | ResourceType, *, controller_only: bool = False) -> None:
        self._owner = owner if isinstance(owner, ResourceType) else owner.resource
        self._controller_only = controller_only

    def requests(self, event: Event) -> Iterable[Request]:
        """
        Return a request for each owner, each once.

        Raises:
            ValueError: It is a generic event without an object, so nobody knows its owners.
        """
        return _once(request for obj in _objects(event, self) for request in self._owners(obj))

    def _owners(self, obj: EncodedObject) -> Iterator[Request]:
        owner, namespace = self._owner, obj.key.namespace
        if owner.is_namespaced and not namespace:
            return
        controller = obj.metadata.controller
        for reference in obj.metadata.owner_references:
            if self._controller_only and reference is not controller:
                continue
            if reference.kind == owner.kind and _group(reference.api_version) == owner.group:
                yield Request(namespace if owner.is_namespaced else "", reference.name)


class EnqueueRequestsFromMapFunc:
    """
    Asks for a pass over whatever a function says that follows from the object.

    An update asks for what follows from the old and from the new object, each key once.

    Args:
        function: Called with an object.

    Raises:
        ConfigurationError: The function is async.

    Mirrors: controller-runtime `handler.EnqueueRequestsFromMapFunc`.
    Differs: the function is given no context and must not wait; in Go it may ask a client, and holds up its informer.
    """

    __slots__ = ("_function",)

    def __init__(self, function: MapFunc) -> None:
        check_plain(function, "a map function", _FIND_BY_INDEX)
        self._function = function

    def requests(self, event: Event) -> Iterable[Request]:
        """
        Return what the function returned, each request once.

        Raises:
            ValueError: It is a generic event without an object.
        """
        return _once(request for obj in _objects(event, self) for request in self._function(obj))


def check_handler(handler: EventHandler) -> EventHandler:
    """
    Return the handler.

    Raises:
        ConfigurationError: It is none, or its method is async.
    """
    if isinstance(handler, type):
        raise ConfigurationError(f"{handler.__name__} is a class: write {handler.__name__}(...) for a handler of it")
    if not callable(getattr(handler, "requests", None)):
        hint = "; for a function write EnqueueRequestsFromMapFunc(function)" if callable(handler) else ""
        raise ConfigurationError(f"{handler!r} is no handler: it has no method requests(event){hint}")
    check_plain(handler.requests, "a handler", _FIND_BY_INDEX)
    return handler


_FIND_BY_INDEX = (
    "look other objects up with cache.informer(kind).by_index(name, value), which waits for nothing (docs/sources.md)"
)


def _objects(event: Event, handler: object) -> tuple[EncodedObject, ...]:
    objects = tuple(obj for obj in (event.old, event.new) if obj is not None)
    if not objects:
        name = type(handler).__name__
        raise ValueError(f"the generic event for {event.key} has no object, and {name} needs one: send it with `new`")
    return objects


def _once(requests: Iterable[Request]) -> tuple[Request, ...]:
    return tuple(dict.fromkeys(requests))


def _group(api_version: str) -> str:
    return api_version.rpartition("/")[0]
