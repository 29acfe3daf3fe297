"""How objects and their kinds are named. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

__all__ = ["CUSTOM_RESOURCE_DEFINITION", "ObjectKey", "ResourceType"]


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
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
        """
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/" + "/".join(quote(part, safe="") for part in parts)

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


CUSTOM_RESOURCE_DEFINITION = ResourceType(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", is_namespaced=False
)
"""The kind that brings other kinds; a dictionary of one is created with `resource=CUSTOM_RESOURCE_DEFINITION`."""
