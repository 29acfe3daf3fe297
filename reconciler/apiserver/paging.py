"""Lists: selection, pages that share one snapshot, and the resource versions that a client may ask for. Synchronous."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.apiserver.exchange import JsonObject
from reconciler.apiserver.failure import StatusError, bad_request, expired, too_large_resource_version
from reconciler.apiserver.options import ContinueToken, ListOptions
from reconciler.apiserver.registry import Registry
from reconciler.apiserver.resource import Resource
from reconciler.apiserver.selector import FieldSelector, LabelSelector, parse_fields, parse_labels
from reconciler.apiserver.storage import CompactedError, Entry

__all__ = ["Page", "Selection", "list_page", "parse_version"]

_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a kind a client wants: a namespace (empty for all), labels, fields."""

    namespace: str
    labels: LabelSelector
    fields: FieldSelector

    @classmethod
    def parse(cls, resource: Resource, namespace: str, options: ListOptions) -> Selection:
        """Read the selectors of a request. Raises 400 as StatusError."""
        fields = parse_fields(options.field_selector, resource.selectable)
        return cls(namespace, parse_labels(options.label_selector), fields)

    def matches(self, obj: JsonObject) -> bool:
        """Return whether `obj` is wanted."""
        if self.namespace and obj["metadata"].get("namespace") != self.namespace:
            return False
        return self.labels.matches(obj) and self.fields.matches(obj)

    @property
    def is_selective(self) -> bool:
        """Whether labels or fields are selected by, so that the number of what remains is unknown."""
        return bool(self.labels) or bool(self.fields)


@dataclass(frozen=True, slots=True)
class Page:
    """
    Part of a list.

    `continue_token` is empty on the last page; `remaining` is how many objects follow, None where it is not told.
    """

    entries: Sequence[Entry]
    revision: int
    continue_token: str = ""
    remaining: int | None = None


def parse_version(text: str) -> int:
    """Return a resource version as a number; "" is 0. Raises ValueError with the real server's words."""
    if not text:
        return 0
    if not text.isdecimal():
        reason = f'strconv.ParseUint: parsing "{text}": invalid syntax'
        raise ValueError(f'resourceVersion: Invalid value: "{text}": {reason}')
    return int(text)


def list_page(registry: Registry, resource: Resource, namespace: str, options: ListOptions) -> Page:
    """
    Return one page of a list.

    Raises:
        StatusError: 400 for a selector or version that is not understood; 410 where the snapshot is gone; 504 for a
            version from the future.
    """
    selection = Selection.parse(resource, namespace, options)
    revision = _revision(registry, options)
    start = options.token.start if options.token else ""
    try:
        stored = registry.storage.list(resource.bucket, revision=revision)
    except CompactedError as error:
        raise _gone(registry, options) from error
    wanted = [
        (key, entry)
        for key, entry in ((key, registry.present(resource, held)) for key, held in stored if key > start)
        if selection.matches(entry.obj)
    ]
    if not options.limit or len(wanted) <= options.limit:
        return Page([entry for _, entry in wanted], revision)
    shown = wanted[: options.limit]
    token = ContinueToken(revision, shown[-1][0]).encode()
    remaining = None if selection.is_selective else len(wanted) - len(shown)
    return Page([entry for _, entry in shown], revision, token, remaining)


def _revision(registry: Registry, options: ListOptions) -> int:
    """Return the revision to read at, as the API conventions' table of `resourceVersionMatch` has it."""
    current = registry.storage.revision
    if options.token:
        return current if options.token.revision < 0 else options.token.revision
    try:
        asked = parse_version(options.resource_version)
    except ValueError as error:
        raise bad_request(f"invalid resource version: {error}") from error
    if asked > current:
        raise too_large_resource_version(asked, current)
    is_exact = options.match == "Exact" or (not options.match and options.limit > 0)
    return asked if asked and is_exact else current


def _gone(registry: Registry, options: ListOptions) -> StatusError:
    if options.token is None:
        return expired("The resourceVersion for the provided list is too old.")
    return expired(_TOO_OLD, continue_token=ContinueToken(-1, options.token.start).encode())
