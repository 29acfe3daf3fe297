"""
What a server says about the kinds it serves, and how one of them is found by a name. Pure.

Both of the server's forms are read: the aggregated one, which tells all in two documents, and the older one, with a
document for each group and version.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

import msgspec

from reconciler.api import ResourceType
from reconciler.client.codec import UNREADABLE
from reconciler.errors import MalformedObjectError

__all__ = ["ApiResource", "Discovered", "GroupVersion", "Wanted", "read_groups", "read_resources", "wanted"]

_NEAR_MAX = 3
_SHOWN_MAX = 5


@dataclass(frozen=True, slots=True)
class ApiResource:
    """
    One kind in one version, as the server describes it.

    Attributes:
        type: What requests are made with.
        singular: The word for one of them, in lower case.
        short_names: Such as `deploy`.
        categories: Groups of kinds that it is in, such as `all`.
        verbs: What the server does with it, such as `list` and `watch`; not what you are allowed to.
        subresources: Such as `status` and `scale`.

    Mirrors: apimachinery `metav1.APIResource`, with its subresources.
    """

    type: ResourceType
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupVersion:
    """A group and version that the server names; `resources` is None while they are not known, `failure` says why."""

    group: str
    version: str
    resources: tuple[ApiResource, ...] | None = None
    failure: str = ""

    def __str__(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(frozen=True, slots=True)
class Wanted:
    """A kind, plural, singular or short name, and where to look; None stands for any."""

    word: str
    group: str | None = None
    version: str | None = None

    def __str__(self) -> str:
        where = "any group" if self.group is None else self.group or "the core group"
        return f"kind or resource {self.word} in {where}" + (f", version {self.version}" if self.version else "")

    def fits(self, group: str, version: str) -> bool:
        """Return whether this is a place to look."""
        return self.group in (None, group) and self.version in (None, version)


def wanted(word: str, group: str | None, version: str | None) -> Sequence[Wanted]:
    """
    Return what `word` may mean, the likeliest first.

    Without a group the word may hold one, and a version: `deployments.apps`, `deployments.v1.apps`.

    Mirrors: apimachinery `schema.ParseResourceArg`.
    """
    name, dot, rest = word.partition(".")
    if group is not None or not dot:
        return [Wanted(word, group, version)]
    found = [Wanted(name, rest, version)]
    inner, second_dot, outer = rest.partition(".")
    if second_dot and version is None:
        found.insert(0, Wanted(name, outer, inner))
    return found


@dataclass(frozen=True)
class Discovered:
    """
    Everything that a server serves, at one moment.

    Attributes:
        versions: In the server's order of groups, in each group the preferred version first.
    """

    versions: tuple[GroupVersion, ...]
    _names: Mapping[str, list[ApiResource]] = field(init=False, repr=False)
    _short_names: Mapping[str, list[ApiResource]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Index the names."""
        names: dict[str, list[ApiResource]] = {}
        short_names: dict[str, list[ApiResource]] = {}
        for resource in self.resources:
            for name in {resource.type.kind.lower(), resource.type.plural, resource.singular} - {""}:
                names.setdefault(name, []).append(resource)
            for name in resource.short_names:
                short_names.setdefault(name, []).append(resource)
        object.__setattr__(self, "_names", MappingProxyType(names))
        object.__setattr__(self, "_short_names", MappingProxyType(short_names))

    @property
    def resources(self) -> tuple[ApiResource, ...]:
        """Every resource, in the order in which the first that fits is taken."""
        return tuple(resource for version in self.versions for resource in version.resources or ())

    @property
    def failures(self) -> Mapping[str, str]:
        """The groups and versions that could not be read, and why."""
        return {str(version): version.failure for version in self.versions if version.failure}

    def find(self, sought: Wanted) -> ApiResource | None:
        """
        Return the first resource that fits; a short name counts only where no other name fits.

        Mirrors: client-go `restmapper.NewDiscoveryRESTMapper` and `NewShortcutExpander`.
        Differs: an unknown short name is not taken for the beginning of a group's name.
        """
        for index in (self._names, self._short_names):
            for resource in index.get(sought.word.lower(), ()):
                if sought.fits(resource.type.group, resource.type.version):
                    return resource
        return None

    def failures_of(self, sought: Wanted) -> Sequence[str]:
        """Return in words what could not be read where `sought` may be."""
        return [
            f"{version} could not be read ({version.failure})"
            for version in self.versions
            if version.failure and sought.fits(version.group, version.version)
        ]

    def near(self, sought: Wanted) -> str:
        """Return in words where else the name is served, or which names are like it; empty if none is."""
        word = sought.word.lower()
        elsewhere = self._names.get(word) or self._short_names.get(word)
        if elsewhere:
            return "it is served as " + _listed(elsewhere)
        words = [*self._names, *self._short_names]
        like = [
            resource
            for name in difflib.get_close_matches(word, words, n=_NEAR_MAX)
            for resource in self._names.get(name) or self._short_names[name]
        ]
        return "near names: " + _listed(dict.fromkeys(like)) if like else ""

    def or_as_before(self, before: Discovered | None) -> Discovered:
        """Return the same with the resources that `before` knows of versions that could not be read now."""
        known = {} if before is None else {str(version): version.resources for version in before.versions}
        return Discovered(
            tuple(
                GroupVersion(found.group, found.version, known.get(str(found)), found.failure)
                if found.resources is None
                else found
                for found in self.versions
            )
        )


def _listed(resources: Iterable[ApiResource]) -> str:
    shown = [f"{found.type.kind} ({found.type.plural}, {found.type.api_version})" for found in resources]
    return ", ".join(shown[:_SHOWN_MAX]) + (f" and {len(shown) - _SHOWN_MAX} more" if len(shown) > _SHOWN_MAX else "")


# --- the server's documents -------------------------------------------------------------------------------------------


class _Kind(msgspec.Struct):
    kind: str = ""


class _Subresource(msgspec.Struct):
    subresource: str


class _Resource(msgspec.Struct, rename="camel"):
    resource: str
    scope: str = ""
    response_kind: _Kind | None = None
    singular_resource: str = ""
    verbs: list[str] | None = None
    short_names: list[str] | None = None
    categories: list[str] | None = None
    subresources: list[_Subresource] | None = None


class _VersionOfGroup(msgspec.Struct):
    version: str
    resources: list[_Resource] | None = None
    freshness: str = ""


class _Name(msgspec.Struct, frozen=True):
    name: str = ""


class _Group(msgspec.Struct):
    metadata: _Name = _Name()
    versions: list[_VersionOfGroup] | None = None


class _Preferred(msgspec.Struct):
    version: str = ""


class _OldGroup(msgspec.Struct, rename="camel"):
    name: str
    versions: list[_Preferred] | None = None
    preferred_version: _Preferred | None = None


class _Groups(msgspec.Struct):
    """`APIGroupDiscoveryList`, `APIGroupList` or `APIVersions`; each fills its own field."""

    kind: str
    items: list[_Group] | None = None
    groups: list[_OldGroup] | None = None
    versions: list[str] | None = None


class _OldResource(msgspec.Struct, rename="camel"):
    name: str
    kind: str = ""
    namespaced: bool = False
    singular_name: str = ""
    verbs: list[str] | None = None
    short_names: list[str] | None = None
    categories: list[str] | None = None


class _OldResources(msgspec.Struct):
    resources: list[_OldResource] | None = None


DocumentT = TypeVar("DocumentT")


def read_groups(path: str, body: bytes) -> list[GroupVersion]:
    """
    Return what `/api` or `/apis` answered; resources are None where they have documents of their own.

    Raises:
        MalformedObjectError: It is none of the documents that are known.
    """
    document = _decode(path, body, _Groups)
    if document.kind == "APIGroupDiscoveryList":
        return [
            _aggregated(group.metadata.name, found) for group in document.items or () for found in group.versions or ()
        ]
    if document.kind == "APIVersions":
        return [GroupVersion("", version) for version in document.versions or ()]
    if document.kind == "APIGroupList":
        return [GroupVersion(group.name, version) for group in document.groups or () for version in _ordered(group)]
    raise MalformedObjectError(
        f"the answer is no list of groups but {document.kind or 'nothing known'}", f"discover {path}"
    )


def _ordered(group: _OldGroup) -> list[str]:
    preferred = group.preferred_version.version if group.preferred_version else ""
    versions = [found.version for found in group.versions or ()]
    return sorted(versions, key=lambda version: version != preferred)


def _aggregated(group: str, found: _VersionOfGroup) -> GroupVersion:
    if found.freshness == "Stale":
        # The server behind it does not answer; what stands here may be old, or nothing.
        return GroupVersion(group, found.version, failure="the server behind it does not answer")
    resources = tuple(
        ApiResource(
            type=ResourceType(
                group, found.version, item.response_kind.kind, item.resource, is_namespaced=item.scope == "Namespaced"
            ),
            singular=item.singular_resource or item.response_kind.kind.lower(),
            short_names=tuple(item.short_names or ()),
            categories=tuple(item.categories or ()),
            verbs=tuple(item.verbs or ()),
            subresources=tuple(inner.subresource for inner in item.subresources or ()),
        )
        for item in found.resources or ()
        # One without a kind only bears subresources.
        if item.response_kind is not None and item.response_kind.kind
    )
    return GroupVersion(group, found.version, resources)


def read_resources(path: str, body: bytes, of: GroupVersion) -> GroupVersion:
    """
    Return `of` with the resources that its own document names.

    Raises:
        MalformedObjectError: It is not such a document.
    """
    items = _decode(path, body, _OldResources).resources or ()
    subresources: dict[str, list[str]] = {}
    for item in items:
        name, slash, subresource = item.name.partition("/")
        if slash:
            subresources.setdefault(name, []).append(subresource)
    resources = tuple(
        ApiResource(
            type=ResourceType(of.group, of.version, item.kind, item.name, is_namespaced=item.namespaced),
            singular=item.singular_name or item.kind.lower(),
            short_names=tuple(item.short_names or ()),
            categories=tuple(item.categories or ()),
            verbs=tuple(item.verbs or ()),
            subresources=tuple(subresources.get(item.name, ())),
        )
        for item in items
        if "/" not in item.name
    )
    return GroupVersion(of.group, of.version, resources)


def _decode(path: str, body: bytes, form: type[DocumentT]) -> DocumentT:
    try:
        return msgspec.json.decode(body, type=form)
    except UNREADABLE as error:
        raise MalformedObjectError(f"the answer is not a discovery document: {error}", f"discover {path}") from None
