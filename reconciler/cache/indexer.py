"""
Indexes: which objects have a value, kept up with each change. Pure.

Invariants:
    I1  An object stands under exactly the values that the key function gave for its present version.
    I2  A value without objects has no entry.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from reconciler.api import EncodedObject, ObjectKey

__all__ = ["Index", "KeyFunction"]

KeyFunction = Callable[[EncodedObject], Iterable[str]]
"""Returns the values that an object is found by; none leaves it out of the index."""

_Values = str | tuple[str, ...]
"""The values of one object; mostly there is one, and a tuple around it would cost 56 bytes for each object."""


class Index:
    """
    Objects by the values that a key function gives them.

    The values of each object are remembered beside its header, so a change computes the new ones only.

    Mirrors: one `IndexFunc` of client-go's `cache.Indexer`.
    Differs: a key function that raises leaves the one object out and says why, where Go panics.
    """

    __slots__ = ("_by_value", "_function", "_values")

    def __init__(self, function: KeyFunction) -> None:
        self._function = function
        self._by_value: dict[str, set[ObjectKey]] = {}
        self._values: dict[ObjectKey, _Values] = {}

    def put(self, item: EncodedObject) -> str:
        """Take the object's present version; return why it is in no place of this index, or empty text."""
        key = item.key
        try:
            found = self._function(item)
            if isinstance(found, tuple) and len(found) == 1 and type(found[0]) is str:
                # Nearly all functions give a tuple of one text: two calls less for each change (0.2 microseconds).
                values: _Values = sys.intern(found[0])
            else:
                values = _distinct(found)
        except Exception as error:  # whatever a user's function may raise
            self.remove(key)
            # The type alone: the text may quote the object.
            return f"its key function raised {type(error).__name__}"
        known = self._values.get(key, ())
        if values != known:
            if known != ():
                self.remove(key)
            self._add(key, values)
        return ""

    def remove(self, key: ObjectKey) -> None:
        """Forget the object; one that is not there is none."""
        for value in _each(self._values.pop(key, ())):
            keys = self._by_value[value]
            keys.discard(key)
            if not keys:  # I2
                del self._by_value[value]

    def keys(self, value: str) -> frozenset[ObjectKey]:
        """Return the keys of the objects that have `value`."""
        return frozenset(self._by_value.get(value, ()))

    def values_of(self, key: ObjectKey) -> tuple[str, ...]:
        """Return the values of one object; none where it is not in the index."""
        return _each(self._values.get(key, ()))

    def clear(self) -> None:
        """Forget every object."""
        self._by_value.clear()
        self._values.clear()

    def _add(self, key: ObjectKey, values: _Values) -> None:
        if values != ():
            self._values[key] = values
        for value in (values,) if isinstance(values, str) else values:
            keys = self._by_value.get(value)
            if keys is None:
                keys = self._by_value[value] = set()
            keys.add(key)

    def __repr__(self) -> str:
        return f"<Index of {len(self._values)} objects under {len(self._by_value)} values>"


def _distinct(values: Iterable[str]) -> _Values:
    if isinstance(values, str):
        # Its letters would be indexed, and nothing would ever be found.
        raise TypeError("a key function returns an iterable of texts, not a text")
    found = tuple(values)
    for value in found:
        if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]  (users' code need not be typed)
            raise TypeError(f"a key function returns texts, not {type(value).__name__}")
    # Few values, many objects: one string for all of them.
    distinct = tuple(dict.fromkeys(found))
    return sys.intern(distinct[0]) if len(distinct) == 1 and type(distinct[0]) is str else distinct


def _each(values: _Values) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else values
