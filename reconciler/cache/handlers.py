"""Those who are told of a kind's events. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from reconciler.api import EncodedObject
from reconciler.cache.functions import check_plain
from reconciler.event import CreateEvent, Event

__all__ = ["Handler", "Handlers"]

Handler = Callable[[Event], None]
"""
Is told of an event; must not wait. What it raises ends the cache, and with it the manager that runs it.

It shares `event.old` and `event.new` with the cache and with everybody else who is told.
"""


class Handlers:
    """
    The handlers of one kind, in the order in which they were added.

    A handler may add and remove handlers while it is told. `tell` takes those that were there when it was called, just
    after the change was put into the store: who came later began with a store that had all of it.
    """

    def __init__(self, kind: str) -> None:
        """`kind` is its name, for the note on what a handler raises."""
        self._kind = kind
        # By a token each: one function may be added twice, and be removed and added again while it is told.
        self._by_token: dict[object, Handler] = {}
        # The same, as `tell` goes through them: a copy, so that a handler may add and remove handlers.
        self._told: tuple[tuple[object, Handler], ...] = ()

    def __len__(self) -> int:
        return len(self._by_token)

    def add(self, handler: Handler, present: Iterable[EncodedObject]) -> Callable[[], None]:
        """
        Tell `handler` of `present` as initial creates, then take it in; return what removes it.

        Raises:
            ConfigurationError: It is async.
        """
        check_plain(handler, "a handler", "start a task in it, or send the event to a queue")
        for item in present:
            event = CreateEvent(item, is_initial=True)
            try:
                handler(event)
            except Exception as error:  # it goes on, with what its own words may not say
                self._note(error, event)
                raise
        # Not before: a handler sees an object's creation first.
        token = object()
        self._by_token[token] = handler
        self._told = tuple(self._by_token.items())
        return lambda: self._remove(token)

    def tell(self, events: Iterable[Event]) -> None:
        """Tell those who are there now of each event, unless they are gone when it is their turn."""
        told, by_token = self._told, self._by_token
        for event in events:
            for token, handler in told:
                if token not in by_token:
                    continue
                try:
                    handler(event)
                except Exception as error:
                    self._note(error, event)
                    raise

    def clear(self) -> None:
        """Remove all."""
        self._by_token.clear()
        self._told = ()

    def _remove(self, token: object) -> None:
        self._by_token.pop(token, None)
        self._told = tuple(self._by_token.items())

    def _note(self, error: Exception, event: Event) -> None:
        error.add_note(f"raised by a handler of {self._kind} that was told: {event.verb} {event.key}")
