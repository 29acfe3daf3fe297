"""How objects and their kinds are named. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

import msgspec

__all__ = ["CUSTOM_RESOURCE_DEFINITION", "ObjectKey", "ResourceType"]

_OTHER_PLACES = frozenset({".", ".."})


# Not a dataclass: a key is made and hashed several times for each event, and each costs a third of that (57 and 53 ns
# instead of 346 and 138); without the garbage collector's header it is a third smaller.
class ObjectKey(msgspec.Struct, frozen=True, order=True, gc=False):
    """
    Namespace and name of an object; `namespace` is empty for cluster-scoped ones.

    Mirrors: apimachinery `types.NamespacedName`.
    """

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class ResourceType:
    """
    One kind as the API server serves it: what discovery would say about it.

    Attributes:
        group: Empty for the core group.
        version: Such as `v1alpha1`.
        kind: Such as `NotificationRequest`.
        plural: The word in URLs, such as `notificationrequests`.
        is_namespaced: Whether its objects live in namespaces.

    Mirrors: apimachinery `schema.GroupVersionKind` together with `meta.RESTMapping`.
    """

    group: str
    version: str
    kind: str
    plural: str
    is_namespaced: bool = True

    @property
    def api_version(self) -> str:
        """The `apiVersion` that objects of this kind carry."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """
        Return the URL path; an empty `namespace` means all namespaces, or cluster scope.

        Each part is percent-encoded, so a name can never reach into another path.

        Raises:
            ValueError: A namespace, name or subresource is `.` or `..`, or has `/` or `%` in it.

        Mirrors: client-go `rest.IsValidPathSegmentName`.
        """
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        for part in (namespace, name, subresource):
            # A server or a proxy may resolve dots, and undo the encoding of a slash, before it looks at the path.
            if part in _OTHER_PLACES or "/" in part or "%" in part:
                raise ValueError(f"{part!r} is no name for {self}: it is '.' or '..', or has '/' or '%' in it")
        return "/" + "/".join(quote(part, safe="") for part in parts)

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


CUSTOM_RESOURCE_DEFINITION = ResourceType(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", is_namespaced=False
)
"""The kind that brings other kinds; a dictionary of one is created with `resource=CUSTOM_RESOURCE_DEFINITION`."""
