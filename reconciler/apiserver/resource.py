"""What the server knows about one kind that it serves: names, schema, columns and rules. Pure data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.api import ResourceType
from reconciler.apiserver.exchange import JsonObject
from reconciler.apiserver.printer import Column
from reconciler.apiserver.schema import FieldError, Structural

__all__ = ["ALL_VERBS", "Resource", "Rules", "object_key"]

ALL_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")


def _unchanged(new: JsonObject, old: JsonObject | None) -> JsonObject:
    del old
    return new


def _no_mistakes(new: JsonObject, old: JsonObject | None) -> Sequence[FieldError]:
    del new, old
    return ()


@dataclass(frozen=True, slots=True)
class Rules:
    """
    Where kinds behave differently.

    Attributes:
        has_status: Status is a subresource: writes of the object ignore it, writes of `/status` ignore the rest.
        counts_generation: `metadata.generation` grows with each change outside metadata and status.
        needs_resource_version: A PUT must carry the resourceVersion that it was made from.
        takes_strategic_patch: As the kinds compiled into a real server do.
        name_is_label: Names are DNS labels, not DNS subdomains.
        ttl_seconds: Objects vanish this long after their creation; None for never.
        verbs: What discovery says.
        prepare: Fills in what the kind's defaulting code adds; gets the new and the old object.
        check: Mistakes that the schema cannot see.
    """

    has_status: bool = False
    counts_generation: bool = True
    needs_resource_version: bool = True
    takes_strategic_patch: bool = False
    name_is_label: bool = False
    ttl_seconds: int | None = None
    verbs: tuple[str, ...] = ALL_VERBS
    prepare: Callable[[JsonObject, JsonObject | None], JsonObject] = _unchanged
    check: Callable[[JsonObject, JsonObject | None], Sequence[FieldError]] = _no_mistakes


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """
    One version of a kind, as it is served.

    Attributes:
        type: Group, version, kind, plural, scope.
        singular: Such as `widget`.
        list_kind: Such as `WidgetList`.
        schema: The OpenAPI v3 schema as the CRD has it.
        structural: The same, compiled.
        columns: Of the Table that kubectl prints.
        selectable: Field labels and the path each stands for.
        rules: Where it behaves differently from others.
        stored_api_version: The `apiVersion` under which objects are stored.
        epoch: Grows when the schema changes; 0 for core kinds.
        is_custom: It comes from a CustomResourceDefinition.
        has_rules: Its schema has rules in CEL.
    """

    type: ResourceType
    singular: str
    list_kind: str
    schema: Mapping[str, object]
    structural: Structural
    columns: Sequence[Column]
    selectable: Mapping[str, str]
    rules: Rules = field(default_factory=Rules)
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    stored_api_version: str = ""
    epoch: int = 0
    is_custom: bool = False
    has_rules: bool = False

    @property
    def bucket(self) -> str:
        """The storage's bucket for objects of this kind, whatever their version."""
        return f"{self.type.group}/{self.type.plural}"


def object_key(namespace: str, name: str) -> str:
    """Return the key of an object in its bucket; keys sort as the real server lists."""
    return f"{namespace}/{name}" if namespace else name
