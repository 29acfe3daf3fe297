"""The table of what is served: core kinds, and kinds that definitions bring and take away."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.apiserver.core_kinds import EVENTS, NAMESPACES
from reconciler.apiserver.crds import CRDS, is_established, resources_of
from reconciler.apiserver.exchange import JsonObject
from reconciler.apiserver.resource import Resource

__all__ = ["Kinds"]


class Kinds:
    """Finds a resource by group, version and plural. Changes only through `install` and `remove`."""

    def __init__(self) -> None:
        """Only the core kinds are there."""
        self._core = (NAMESPACES, EVENTS, CRDS)
        self._custom: dict[str, list[Resource]] = {}
        self._definition_of: dict[str, str] = {}

    def __iter__(self) -> Iterator[Resource]:
        yield from self._core
        for name in sorted(self._custom):
            yield from self._custom[name]

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """Return the resource that is served there, or None."""
        wanted = (group, version, plural)
        return next((held for held in self if (held.type.group, held.type.version, held.type.plural) == wanted), None)

    def is_current(self, resource: Resource) -> bool:
        """Return whether `resource` is still served, and as it was."""
        return self.find(resource.type.group, resource.type.version, resource.type.plural) is resource

    def definition_of(self, resource: Resource) -> str | None:
        """Return the name of the definition that the resource comes from; None for core kinds."""
        return self._definition_of.get(resource.bucket)

    def install(self, crd: JsonObject) -> None:
        """Serve what `crd` defines, in place of what it defined before; nothing while its names are not accepted."""
        name = crd["metadata"]["name"]
        self.remove(name)
        if not is_established(crd):
            return
        self._custom[name] = resources_of(crd)
        for resource in self._custom[name]:
            self._definition_of[resource.bucket] = name

    def remove(self, name: str) -> None:
        """Serve nothing any more of what the definition called `name` brought."""
        for resource in self._custom.pop(name, []):
            self._definition_of.pop(resource.bucket, None)

    def of_definition(self, name: str) -> list[Resource]:
        """Return what the definition called `name` brought."""
        return list(self._custom.get(name, []))
