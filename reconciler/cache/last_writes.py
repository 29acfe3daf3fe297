"""
Which writes of this process's controllers the cache has not seen yet, told by the journal. No waiting here.

A write counts from its answer on. One whose answer was lost is not known here: nobody knows whether it happened.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from reconciler.api import ObjectKey
from reconciler.cache.informer import Informer
from reconciler.journal import Journal, Record, Wrote

__all__ = ["LastWrites"]

WRITES_MAX = 10_000


@dataclass(slots=True)
class _Last:
    """The newest version that was written; and whether a deletion came after it, of which no version is known."""

    version: str = ""
    is_deleted: bool = False
    uid: str = ""


class LastWrites:
    """
    The last write of each object by each controller, until a cache has seen it.

    The journal names a kind by its plural, so kinds of two groups with one plural are not told apart; a read may then
    wait for more than it needs.

    Args:
        informers: Returns those that are read from.
        writes_max: Writes kept for each kind and controller; the oldest goes first, and is not waited for.
    """

    def __init__(self, informers: Callable[[], Iterable[Informer]], *, writes_max: int = WRITES_MAX) -> None:
        self._informers = informers
        self._writes_max = writes_max
        # By controller and kind, then by object.
        self._last: dict[tuple[str, str], OrderedDict[str, _Last]] = {}

    def follow(self, journal: Journal) -> None:
        """Learn of each write from now on."""
        journal.subscribe(self._take)

    def unseen(self, informer: Informer, scope: str, *, key: ObjectKey | None, namespace: str = "") -> str:
        """
        Return a write of `scope` that is not in the informer's store yet, in words; empty text where there is none.

        Args:
            informer: Of the kind.
            scope: Whose writes.
            key: Of this object alone; None for all of the namespace.
            namespace: Empty for all.
        """
        plural = informer.resource.plural
        written: dict[str, _Last] = self._last.get((scope, plural)) or {}
        # Those that were seen leave, so the next look has less to do.
        for name in [each for each in self._asked(written, informer, key, namespace) if each in written]:
            last = written[name]
            if not self._is_seen(last, informer, _key(name)):
                what = "deletion" if last.is_deleted else f"write (version {last.version})"
                return f"the {what} of {plural} {name}"
            del written[name]
        return ""

    def _asked(
        self, written: Mapping[str, _Last], informer: Informer, key: ObjectKey | None, namespace: str
    ) -> Iterable[str]:
        if key is not None:
            return (str(key),)
        namespaces = (namespace,) if namespace else informer.namespaces
        if not namespaces:
            return tuple(written)
        return [name for name in written if _key(name).namespace in namespaces]

    def _is_seen(self, last: _Last, informer: Informer, key: ObjectKey) -> bool:
        if last.version and not informer.has_seen(last.version, key):
            return False
        held = informer.store.get(key)
        if not last.is_deleted or held is None or held.is_being_deleted:
            return True
        # It was not held when we deleted it, so the first one seen since is the one; another uid came after it.
        last.uid = last.uid or held.uid
        return held.uid != last.uid

    def _take(self, record: Record) -> None:
        if not isinstance(record, Wrote) or not 200 <= record.code < 300 or record.verb.startswith("dry-run "):
            return
        what, _, key = record.target.partition(" ")
        plural, _, subresource = what.partition("/")
        is_deleted = record.verb == "delete" and not subresource
        if not record.new_version and not is_deleted:
            return
        written = self._last.setdefault((record.scope, plural), OrderedDict())
        last = written.pop(key, _Last())
        last = _Last(record.new_version or last.version, is_deleted)
        if is_deleted and not self._is_awaited(last, plural, _key(key)):
            return
        written[key] = last
        if len(written) > self._writes_max:
            written.popitem(last=False)

    def _is_awaited(self, deletion: _Last, plural: str, key: ObjectKey) -> bool:
        """Whether some informer is yet to hear of a deletion that was just answered; notes whom it was."""
        is_awaited = False
        for informer in self._informers():
            if informer.resource.plural != plural:
                continue
            held = informer.store.get(key)
            if held is not None:
                deletion.uid, is_awaited = held.uid, True
            elif not informer.is_synced or (deletion.version and not informer.has_seen(deletion.version, key)):
                is_awaited = True
        return is_awaited

    def __len__(self) -> int:
        return sum(map(len, self._last.values()))

    def __repr__(self) -> str:
        return f"<LastWrites: {len(self)} not seen yet>"


def _key(text: str) -> ObjectKey:
    namespace, _, name = text.rpartition("/")
    return ObjectKey(namespace, name)
