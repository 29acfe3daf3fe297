"""What an informer's selectors leave out, as far as an object's name and labels tell. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

from reconciler.api import ObjectKey
from reconciler.cache.selector import FieldRequirement, LabelTest, parse_field_selector, parse_label_selector

__all__ = ["FIELDS_OF_THE_KEY", "Selection", "selection"]

FIELDS_OF_THE_KEY: Mapping[str, Callable[[ObjectKey], str]] = MappingProxyType({
    "metadata.name":      lambda key: key.name,
    "metadata.namespace": lambda key: key.namespace,
})  # fmt: skip


class Selection:
    """
    A label selector and a field selector, as tests.

    Args:
        labels: Tests labels.
        fields: Those over name and namespace are tested; of others nothing is known here.

    Attributes:
        unknown: The fields that cannot be tested, in order.
    """

    __slots__ = ("_fields", "_labels", "unknown")

    def __init__(self, labels: LabelTest, fields: tuple[FieldRequirement, ...]) -> None:
        self._labels = labels
        self._fields = [each for each in fields if each.field in FIELDS_OF_THE_KEY]
        self.unknown = tuple(sorted({each.field for each in fields} - set(FIELDS_OF_THE_KEY)))

    def leaves_out(self, key: ObjectKey, labels: Mapping[str, str] | None) -> bool:
        """Whether an object is surely not among those that are selected; `labels` is None where nobody knows them."""
        if labels is not None and not self._labels(labels):
            return True
        return any((FIELDS_OF_THE_KEY[each.field](key) == each.value) is not each.is_equal for each in self._fields)


@lru_cache(maxsize=256)
def selection(labels: str, fields: str) -> Selection:
    """Return what two selectors select; of one that is not understood here nothing is known to be left out."""
    return Selection(_labels(labels), _fields(fields))


def _labels(text: str) -> LabelTest:
    try:
        return parse_label_selector(text)
    except ValueError:
        return lambda labels: True


def _fields(text: str) -> tuple[FieldRequirement, ...]:
    try:
        return parse_field_selector(text)
    except ValueError:
        return ()
