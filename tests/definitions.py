"""CustomResourceDefinitions of the kinds that tests make up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.api import ResourceType


def definition(resource: ResourceType, *, spec: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Any]:
    """Return the definition of a namespaced kind with a status subresource; `spec` and `status` hold properties."""
    properties = {
        "spec": {"type": "object", "properties": dict(spec)},
        "status": {"type": "object", "properties": dict(status)},
    }
    names = {
        "plural": resource.plural,
        "singular": resource.kind.lower(),
        "kind": resource.kind,
        "listKind": f"{resource.kind}List",
    }
    version = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{resource.group}"},
        "spec": {"group": resource.group, "scope": "Namespaced", "names": names, "versions": [version]},
    }
