"""
Which events are let through to the handler. Pure.

What is dropped asks for no pass; the journal names the predicate that dropped it. Predicates combine:
`GenerationChangedPredicate() | LabelChangedPredicate()`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from reconciler.api import EncodedObject, label_selector_text
from reconciler.cache.functions import check_plain
from reconciler.cache.selector import LabelTest, parse_label_selector
from reconciler.errors import ConfigurationError
from reconciler.event import CreateEvent, DeleteEvent, Event, GenericEvent, UpdateEvent

__all__ = [
    "AndPredicate",
    "AnnotationChangedPredicate",
    "Combinable",
    "GenerationChangedPredicate",
    "LabelChangedPredicate",
    "LabelSelectorPredicate",
    "NotPredicate",
    "OrPredicate",
    "Predicate",
    "PredicateFuncs",
    "ResourceVersionChangedPredicate",
    "UIDChangedPredicate",
    "check_predicates",
    "new_predicate_funcs",
    "predicate_name",
]

E = TypeVar("E", CreateEvent, UpdateEvent, DeleteEvent, GenericEvent)

_NAME_LENGTH_MAX = 120
"""The journal keeps a combination's name with each event that it drops."""


class Predicate(Protocol):
    """
    Lets an event through, or drops it.

    Mirrors: controller-runtime `predicate.Predicate`.
    Differs: one method for all four events.
    """

    def lets_through(self, event: Event) -> bool:
        """Return whether `event` may ask for a pass; must not wait. What it raises ends the cache and the manager."""
        ...


class Combinable(ABC):
    """
    Gives a predicate `&`, `|` and `~`; derive from it for predicates of your own. A name for the journal comes along.

    The other side of `&` and `|` may be any predicate.
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        """What the journal calls it; here the name of its class."""
        return type(self).__name__

    @abstractmethod
    def lets_through(self, event: Event) -> bool:
        """See `Predicate.lets_through`."""

    def __and__(self, other: Predicate) -> AndPredicate:
        return AndPredicate(self, other)

    def __rand__(self, other: Predicate) -> AndPredicate:
        return AndPredicate(other, self)

    def __or__(self, other: Predicate) -> OrPredicate:
        return OrPredicate(self, other)

    def __ror__(self, other: Predicate) -> OrPredicate:
        return OrPredicate(other, self)

    def __invert__(self) -> NotPredicate:
        return NotPredicate(self)

    def __repr__(self) -> str:
        return self.name


class GenerationChangedPredicate(Combinable):
    """
    Drops updates that left `metadata.generation` as it was: those of `status` and of other metadata.

    A controller that computes its next wake-up from `status` loses nothing by it, as long as every pass asks for it.
    An object that was deleted and made again while the watch was away is one update, here as in Go, and both have
    generation 1: add `| UIDChangedPredicate()` where that must not be missed.

    Mirrors: controller-runtime `predicate.GenerationChangedPredicate`.
    """

    __slots__ = ()

    def lets_through(self, event: Event) -> bool:
        """Return False for an update with an equal generation, else True."""
        return not isinstance(event, UpdateEvent) or event.old.generation != event.new.generation


class ResourceVersionChangedPredicate(Combinable):
    """
    Drops updates to one and the same version: what a relist shows again.

    Mirrors: controller-runtime `predicate.ResourceVersionChangedPredicate`.
    """

    __slots__ = ()

    def lets_through(self, event: Event) -> bool:
        """Return False for an update with an equal resource version, else True."""
        return not isinstance(event, UpdateEvent) or event.old.resource_version != event.new.resource_version


class LabelChangedPredicate(Combinable):
    """
    Drops updates that left `metadata.labels` as they were.

    Mirrors: controller-runtime `predicate.LabelChangedPredicate`.
    """

    __slots__ = ()

    def lets_through(self, event: Event) -> bool:
        """Return False for an update with equal labels, else True."""
        return not isinstance(event, UpdateEvent) or event.old.metadata.labels != event.new.metadata.labels


class AnnotationChangedPredicate(Combinable):
    """
    Drops updates that left `metadata.annotations` as they were.

    Mirrors: controller-runtime `predicate.AnnotationChangedPredicate`.
    """

    __slots__ = ()

    def lets_through(self, event: Event) -> bool:
        """Return False for an update with equal annotations, else True."""
        return not isinstance(event, UpdateEvent) or event.old.metadata.annotations != event.new.metadata.annotations


class UIDChangedPredicate(Combinable):
    """
    Drops updates of one and the same object; lets through that another one has taken its name.

    That is an update where the watch missed both the deletion and the creation. The other predicates of change see only
    what they compare, so combine: `GenerationChangedPredicate() | UIDChangedPredicate()`.

    Differs: controller-runtime has none.
    """

    __slots__ = ()

    def lets_through(self, event: Event) -> bool:
        """Return False for an update with an equal uid, else True."""
        return not isinstance(event, UpdateEvent) or event.old.uid != event.new.uid


class LabelSelectorPredicate(Combinable):
    """
    Drops events of objects whose labels do not fit a selector; an update goes by the new labels alone.

    So a controller is not told when an object loses its label. A generic event without an object is let through.

    Args:
        selector: Labels and their values, all of which must be there; a `LabelSelector`; or its text as `kubectl -l`
            takes it, such as `app=web,tier!=db,zone in (a,b),!canary`. Nothing at all fits all.

    Raises:
        ConfigurationError: It is no selector.

    Mirrors: controller-runtime `predicate.LabelSelectorPredicate`.
    Differs: takes Python values or kubectl's notation where Go takes a `metav1.LabelSelector`.
    """

    __slots__ = ("_fits",)

    def __init__(self, selector: Mapping[str, str] | object) -> None:
        self._fits = _label_test(selector)

    def lets_through(self, event: Event) -> bool:
        """Return whether the labels of the newest known state fit."""
        return event.latest is None or self._fits(event.latest.metadata.labels)


class AndPredicate(Combinable):
    """
    Lets through what each of several predicates lets through; the first that does not is the last that is asked.

    Raises:
        ConfigurationError: There is none, or one is no predicate.

    Mirrors: controller-runtime `predicate.And`.
    Differs: refuses to combine none, which in Go lets all events through.
    """

    __slots__ = ("_all", "_name")

    def __init__(self, *predicates: Predicate) -> None:
        self._all = _several(predicates, "AndPredicate")
        self._name = _joined(self._all, " & ")

    @property
    def name(self) -> str:
        """Names all of them."""
        return self._name

    def lets_through(self, event: Event) -> bool:
        """Return whether all let it through."""
        return all(each.lets_through(event) for each in self._all)


class OrPredicate(Combinable):
    """
    Lets through what one of several predicates lets through; the first that does is the last that is asked.

    Raises:
        ConfigurationError: There is none, or one is no predicate.

    Mirrors: controller-runtime `predicate.Or`.
    Differs: refuses to combine none, which in Go drops all events.
    """

    __slots__ = ("_any", "_name")

    def __init__(self, *predicates: Predicate) -> None:
        self._any = _several(predicates, "OrPredicate")
        self._name = _joined(self._any, " | ")

    @property
    def name(self) -> str:
        """Names all of them."""
        return self._name

    def lets_through(self, event: Event) -> bool:
        """Return whether one lets it through."""
        return any(each.lets_through(event) for each in self._any)


class NotPredicate(Combinable):
    """
    Lets through what another predicate drops, and drops what that one lets through.

    Most predicates let all creations and deletions through, so their opposite drops all of these.

    Raises:
        ConfigurationError: It is given no predicate.

    Mirrors: controller-runtime `predicate.Not`.
    """

    __slots__ = ("_name", "_opposite")

    def __init__(self, predicate: Predicate) -> None:
        (self._opposite,) = check_predicates((predicate,))
        self._name = _short(f"~{predicate_name(predicate)}")

    @property
    def name(self) -> str:
        """Names the opposite."""
        return self._name

    def lets_through(self, event: Event) -> bool:
        """Return whether the other one does not."""
        return not self._opposite.lets_through(event)


class PredicateFuncs(Combinable):
    """
    A predicate of up to four functions, one for each event; an event without a function is let through.

    Args:
        create: Of an object that appears.
        update: Of an object that changes.
        delete: Of an object that is gone.
        generic: Of what no watch reported.
        name: What the journal says.

    Raises:
        ConfigurationError: One of the functions is async.

    Mirrors: controller-runtime `predicate.Funcs`.
    """

    __slots__ = ("_create", "_delete", "_generic", "_name", "_update")

    def __init__(
        self,
        *,
        create: Callable[[CreateEvent], bool] | None = None,
        update: Callable[[UpdateEvent], bool] | None = None,
        delete: Callable[[DeleteEvent], bool] | None = None,
        generic: Callable[[GenericEvent], bool] | None = None,
        name: str = "PredicateFuncs",
    ) -> None:
        for function in (create, update, delete, generic):
            check_plain(function, "a predicate", _NO_ASYNC)
        self._create = create
        self._update = update
        self._delete = delete
        self._generic = generic
        self._name = _short(name)

    @property
    def name(self) -> str:
        """The name that it was given."""
        return self._name

    def lets_through(self, event: Event) -> bool:
        """Return what the function for this event says."""
        match event:
            case CreateEvent():
                return _says(self._create, event)
            case UpdateEvent():
                return _says(self._update, event)
            case DeleteEvent():
                return _says(self._delete, event)
            case GenericEvent():
                return _says(self._generic, event)


def new_predicate_funcs(fits: Callable[[EncodedObject], bool], *, name: str = "PredicateFuncs") -> PredicateFuncs:
    """
    Return a predicate that asks one function about the object of each event; of an update, about the new one.

    A generic event without an object is let through.

    Raises:
        ConfigurationError: The function is async.

    Mirrors: controller-runtime `predicate.NewPredicateFuncs`.
    """
    check_plain(fits, "a predicate", _NO_ASYNC)

    def newest(event: Event) -> bool:
        return event.latest is None or fits(event.latest)

    return PredicateFuncs(create=newest, update=newest, delete=newest, generic=newest, name=name)


def predicate_name(predicate: Predicate) -> str:
    """Return what the journal calls a predicate: the name of its class, or of a combination that of its parts."""
    return predicate.name if isinstance(predicate, Combinable) else type(predicate).__name__


def check_predicates(predicates: Iterable[Predicate]) -> tuple[Predicate, ...]:
    """
    Return the predicates as a tuple.

    Raises:
        ConfigurationError: One of them is no predicate, or is async, or they are no list of them.
    """
    if hasattr(predicates, "lets_through"):
        raise ConfigurationError(f"predicates must be a list: write [{_called(predicates)}]")
    found = tuple(predicates)
    for each in found:
        if isinstance(each, type):
            raise ConfigurationError(f"{each.__name__} is a class: write {each.__name__}() for a predicate of it")
        if not callable(getattr(each, "lets_through", None)):
            raise ConfigurationError(f"{each!r} is no predicate: it has no method lets_through(event)")
        check_plain(each.lets_through, "a predicate", _NO_ASYNC)
    return found


_NO_ASYNC = "decide by the event alone"


def _says(function: Callable[[E], bool] | None, event: E) -> bool:
    return function is None or function(event)


def _label_test(selector: object) -> LabelTest:
    if selector is None:
        # Elsewhere it selects everything, but a predicate of everything is no predicate.
        raise ConfigurationError("label selector: None; leave the predicate out to let everything through")
    try:
        return parse_label_selector(label_selector_text(selector))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(str(error)) from error


def _several(predicates: tuple[Predicate, ...], what: str) -> tuple[Predicate, ...]:
    if not predicates:
        raise ConfigurationError(f"{what}() combines nothing: give it at least one predicate")
    return check_predicates(predicates)


def _joined(predicates: Iterable[Predicate], sign: str) -> str:
    return _short(f"({sign.join(predicate_name(each) for each in predicates)})")


def _short(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH_MAX else name[: _NAME_LENGTH_MAX - 3] + "..."


def _called(predicate: object) -> str:
    return predicate.__name__ + "()" if isinstance(predicate, type) else type(predicate).__name__ + "(...)"
