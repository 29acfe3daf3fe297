"""What the server says about itself: versions, groups, resources. Pure: each function returns a JSON document."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from reconciler.apiserver.exchange import JsonObject
from reconciler.apiserver.openapi import KindSchema
from reconciler.apiserver.resource import Resource

__all__ = [
    "VERSION",
    "aggregated",
    "core_versions",
    "group",
    "group_list",
    "kind_schemas",
    "paths",
    "resource_list",
    "wants_aggregated",
]

VERSION: JsonObject = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.0+reconciler",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "python",
}
"""The API level that clients may expect, spoken by the embedded server."""

_STATUS_VERBS = ("get", "patch", "update")


def _version_rank(version: str) -> tuple[int, int, int]:
    """Order versions as Kubernetes does: v2 before v1 before v1beta1 before v1alpha1."""
    match = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if match is None:
        return (0, 0, 0)
    maturity = {None: 3, "beta": 2, "alpha": 1}[match[2]]
    return (maturity, int(match[1]), int(match[3] or 0))


def _versions_of(name: str, resources: Iterable[Resource]) -> list[str]:
    found = {resource.type.version for resource in resources if resource.type.group == name}
    return sorted(found, key=_version_rank, reverse=True)


def core_versions() -> JsonObject:
    """What `/api` answers."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def _group_body(name: str, versions: Sequence[str]) -> JsonObject:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def group(name: str, resources: Sequence[Resource]) -> JsonObject | None:
    """What `/apis/GROUP` answers; None where nothing of the group is served."""
    versions = _versions_of(name, resources)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group_body(name, versions)} if versions else None


def _groups(resources: Iterable[Resource]) -> list[str]:
    return list(dict.fromkeys(resource.type.group for resource in resources if resource.type.group))


def group_list(resources: Sequence[Resource]) -> JsonObject:
    """What `/apis` answers."""
    groups = [_group_body(name, _versions_of(name, resources)) for name in _groups(resources)]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _optional(resource: Resource) -> JsonObject:
    words: JsonObject = {}
    if resource.short_names:
        words["shortNames"] = list(resource.short_names)
    if resource.categories:
        words["categories"] = list(resource.categories)
    return words


def resource_list(group_name: str, version: str, resources: Sequence[Resource]) -> JsonObject | None:
    """What `/api/v1` and `/apis/GROUP/VERSION` answer; None where nothing is served there."""
    listed: list[JsonObject] = []
    for resource in resources:
        type_ = resource.type
        if (type_.group, type_.version) != (group_name, version):
            continue
        common: JsonObject = {"namespaced": type_.is_namespaced, "kind": type_.kind}
        listed.append(
            {"name": type_.plural, "singularName": resource.singular, **common,
             "verbs": list(resource.rules.verbs), **_optional(resource)}
        )  # fmt: skip
        if resource.rules.has_status:
            status = {"name": f"{type_.plural}/status", "singularName": "", **common, "verbs": list(_STATUS_VERBS)}
            listed.append(status)
    if not listed:
        return None
    api_version = f"{group_name}/{version}" if group_name else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": listed}


# --- aggregated discovery ---------------------------------------------------------------------------------------------


def wants_aggregated(accept: str) -> bool:
    """Return whether a client takes the document that lists every resource at once (`APIGroupDiscoveryList`, v2)."""
    return any(
        "as=APIGroupDiscoveryList" in clause and "v=v2" in [part.strip() for part in clause.split(";")]
        for clause in accept.split(",")
    )


def aggregated(resources: Sequence[Resource], *, is_core: bool) -> JsonObject:
    """What `/api` (`is_core`) and `/apis` answer to a client that wants all of discovery at once."""
    names = [""] if is_core else _groups(resources)
    items = [
        {
            "metadata": {"name": name, "creationTimestamp": None} if name else {"creationTimestamp": None},
            "versions": [
                {"version": version, "resources": _discovered(name, version, resources), "freshness": "Current"}
                for version in _versions_of(name, resources)
            ],
        }
        for name in names
    ]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _discovered(group_name: str, version: str, resources: Sequence[Resource]) -> list[JsonObject]:
    found: list[JsonObject] = []
    for resource in resources:
        type_ = resource.type
        if (type_.group, type_.version) != (group_name, version):
            continue
        kind = {"group": type_.group, "version": type_.version, "kind": type_.kind}
        item: JsonObject = {
            "resource": type_.plural,
            "responseKind": kind,
            "scope": "Namespaced" if type_.is_namespaced else "Cluster",
            "singularResource": resource.singular,
            "verbs": list(resource.rules.verbs),
            **_optional(resource),
        }
        if resource.rules.has_status:
            item["subresources"] = [{"subresource": "status", "responseKind": kind, "verbs": list(_STATUS_VERBS)}]
        found.append(item)
    return found


def paths(resources: Sequence[Resource]) -> JsonObject:
    """What `/` answers."""
    found = ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
    for name in _groups(resources):
        found.append(f"/apis/{name}")
        found += [f"/apis/{name}/{version}" for version in _versions_of(name, resources)]
    return {"paths": sorted(found)}


def kind_schemas(resources: Iterable[Resource]) -> list[KindSchema]:
    """Return what the OpenAPI documents are made from."""
    return [
        KindSchema(
            group=resource.type.group, version=resource.type.version, kind=resource.type.kind,
            list_kind=resource.list_kind, plural=resource.type.plural, is_namespaced=resource.type.is_namespaced,
            has_status=resource.rules.has_status, schema=resource.schema,
        )
        for resource in resources
    ]  # fmt: skip
