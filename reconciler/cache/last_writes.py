"""
Which writes of this process's controllers the cache has not seen yet, told by the clients. No waiting here.

A write counts from its answer on. One whose answer was lost is not known here: nobody knows whether it happened.

Invariants:
    L1  An object whose write was stored is unseen until the cache has seen every change up to that version.
    L2  An object that we know to be gone is unseen while the cache shows it. Nobody says the version of a deletion, so
        this is all that can be waited for; it is remembered also while the cache shows nothing, since what it has not
        seen at all may still come.
    L3  An object that the cache's selectors leave out brings no event where the cache did not show it. It is waited for
        only while the cache shows an older version.
    L4  The answer to a deletion of a collection shows what was there just before, so L1 holds for that, too: what a
        finalizer keeps is still there.
    L5  What changes no labels (`scale`) leaves an object where it was: in the selection if the cache shows it, or if a
        write of ours that is not seen yet put it there; else it is taken for left out.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from reconciler.api import EncodedObject, ObjectKey, ResourceType
from reconciler.cache.answers import Fate, Outcome, outcomes
from reconciler.cache.informer import Informer
from reconciler.cache.selection import selection
from reconciler.client import Written

__all__ = ["LastWrites"]

WRITES_MAX = 10_000
DELETIONS_MAX = 1_000


class LastWrites:
    """
    The last write of each object by each controller, until a cache has seen it.

    Args:
        writes_max: Writes kept for each kind and controller; the oldest goes first, and is not waited for.
        deletions_max: The same of deletions.
    """

    def __init__(self, *, writes_max: int = WRITES_MAX, deletions_max: int = DELETIONS_MAX) -> None:
        self._writes_max = writes_max
        self._deletions_max = deletions_max
        # Without the API version: all versions of a kind are one set of objects, with one count of their versions.
        self._last: dict[tuple[str, str, str], _OfOneKind] = {}

    def take(self, written: Written) -> None:
        """Learn of a write that was just answered."""
        found = outcomes(written)
        if not found:
            return
        place = _place(written.scope, written.resource)
        of_kind = self._last.get(place)
        if of_kind is None:
            of_kind = self._last[place] = _OfOneKind(self._writes_max, self._deletions_max)
        for outcome in found:
            of_kind.put(outcome)

    def unseen(self, informer: Informer, scope: str, *, key: ObjectKey | None, namespace: str = "") -> str:
        """
        Return a write of `scope` that is not in the informer's store yet, in words; empty text where there is none.

        Args:
            informer: Of the kind.
            scope: Whose writes.
            key: Of this object alone; None for all of the namespace.
            namespace: Empty for all.
        """
        written = self._last.get(_place(scope, informer.resource))
        return "" if written is None else written.unseen(informer, key, namespace)

    def keys(self, resource: ResourceType, scope: str, namespace: str = "") -> frozenset[ObjectKey]:
        """Return the objects of which a stored write is remembered: it was not seen, or could not be read."""
        written = self._last.get(_place(scope, resource))
        if written is None:
            return frozenset()
        return frozenset(key for key in written.stored if not namespace or key.namespace == namespace)

    def __len__(self) -> int:
        return sum(len(each.stored.keys() | each.gone.keys()) for each in self._last.values())

    def __repr__(self) -> str:
        return f"<LastWrites: {len(self)} not known to be seen>"


class _OfOneKind:
    """The last writes of one kind by one controller: those that were stored, and those that ended the object."""

    __slots__ = ("_deletions_max", "_writes_max", "gone", "stored")

    def __init__(self, writes_max: int, deletions_max: int) -> None:
        self._writes_max = writes_max
        self._deletions_max = deletions_max
        # An object is in one of them, or in both if it was found by the deletion of a collection.
        self.stored: OrderedDict[ObjectKey, Outcome] = OrderedDict()
        self.gone: OrderedDict[ObjectKey, Outcome] = OrderedDict()

    def put(self, outcome: Outcome) -> None:
        key = outcome.key
        stored, gone = self.stored.pop(key, None), self.gone.pop(key, None)
        before = stored or gone
        if outcome.fate is Fate.STORED:
            if outcome.labels is None and stored is not None and stored.uid == outcome.uid:
                outcome = replace(outcome, labels=stored.labels, labels_from=stored.labels_from or stored.version)
            _keep(self.stored, outcome, self._writes_max)
            return
        if outcome.fate is Fate.GONE_OR_MARKED:
            # A write that was answered while the collection was being deleted may be newer than what was found.
            is_newer = stored is not None and _is_version_older(outcome.version, stored.version)
            _keep(self.stored, stored if stored is not None and is_newer else outcome, self._writes_max)
        elif before is not None and not outcome.version:
            # Older than the deletion, whichever object of the name it was; so what the cache shows of then is gone.
            outcome = replace(outcome, version=before.version)
        _keep(self.gone, outcome, self._deletions_max)

    def unseen(self, informer: Informer, key: ObjectKey | None, namespace: str) -> str:
        plural = informer.resource.plural
        get = informer.store.get
        for each in (key,) if key is not None else self.gone:
            # First what costs least: mostly the cache shows nothing.
            if (held := get(each)) is None or (last := self.gone.get(each)) is None:
                continue
            if _is_asked(each, informer, namespace) and not _is_gone(last, held):
                return f"the deletion of {plural} {each}"
        for each in (key,) if key is not None else tuple(self.stored):
            last = self.stored.get(each)
            if last is None or not _is_asked(each, informer, namespace):
                continue
            if informer.has_seen(last.version, each):
                # It leaves, so the next look has less to do; one that could not be read is asked about again.
                if all(item.key != each for item in informer.store.unreadable):
                    del self.stored[each]
            elif _may_come(last, informer):
                what = "write" if last.fate is Fate.STORED else "state before the deletion"
                return f"the {what} (version {last.version}) of {plural} {each}{_doubt(informer)}"
        return ""


def _place(scope: str, resource: ResourceType) -> tuple[str, str, str]:
    return scope, resource.group, resource.plural


def _keep(kept: OrderedDict[ObjectKey, Outcome], outcome: Outcome, most: int) -> None:
    kept[outcome.key] = outcome
    if len(kept) > most:
        kept.popitem(last=False)


def _may_come(last: Outcome, informer: Informer) -> bool:
    """Whether the watch is yet to bring something of a write that it has not come to."""
    options = informer.options
    held = informer.store.get(last.key)
    if held is None and options.labels and (last.labels is None or _is_seen(last.labels_from, last.key, informer)):
        return False
    if not selection(options.labels, options.fields).leaves_out(last.key, last.labels):
        return True
    return _is_older(held, last.version)


def _is_seen(version: str, key: ObjectKey, informer: Informer) -> bool:
    return bool(version) and informer.has_seen(version, key)


def _doubt(informer: Informer) -> str:
    unknown = selection(informer.options.labels, informer.options.fields).unknown
    if not unknown:
        return ""
    return (
        f"; whether its selector over {', '.join(unknown)} leaves the object out, the answer to a write does not show"
    )


def _is_asked(key: ObjectKey, informer: Informer, namespace: str) -> bool:
    return key.namespace == namespace if namespace else not informer.namespaces or key.namespace in informer.namespaces


def _is_gone(last: Outcome, held: EncodedObject) -> bool:
    if held.uid == last.uid:
        return last.fate is Fate.GONE_OR_MARKED and held.is_being_deleted
    return not _is_older(held, last.version)


def _is_older(held: EncodedObject | None, version: str) -> bool:
    """Whether the cache shows an object from before `version`."""
    return held is not None and _is_version_older(held.resource_version, version)


def _is_version_older(one: str, other: str) -> bool:
    return one.isdecimal() and other.isdecimal() and int(one) < int(other)
