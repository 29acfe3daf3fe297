"""Namespace and ServiceAccount. Pure."""

from __future__ import annotations

from reconciler.api import ApiModel, KubeObject, ResourceType
from reconciler.kinds.fields import KindCondition, LocalObjectReference, ObjectReference

__all__ = ["Namespace", "NamespaceSpec", "NamespaceStatus", "ServiceAccount"]


class NamespaceSpec(ApiModel):
    """What must be done before the namespace may go. Mirrors: `corev1.NamespaceSpec`."""

    finalizers: list[str] | None = None


class NamespaceStatus(ApiModel):
    """`Active` or `Terminating`, and what keeps it. Mirrors: `corev1.NamespaceStatus`."""

    phase: str | None = None
    conditions: list[KindCondition] | None = None


class Namespace(KubeObject):
    """A place for objects; cluster-scoped itself. Mirrors: `corev1.Namespace`."""

    resource = ResourceType("", "v1", "Namespace", "namespaces", is_namespaced=False)
    drops_empty = True

    spec: NamespaceSpec = NamespaceSpec()
    status: NamespaceStatus = NamespaceStatus()


class ServiceAccount(KubeObject):
    """Who a pod is to the API server. Mirrors: `corev1.ServiceAccount`."""

    resource = ResourceType("", "v1", "ServiceAccount", "serviceaccounts")
    drops_empty = True

    secrets: list[ObjectReference] | None = None
    image_pull_secrets: list[LocalObjectReference] | None = None
    automount_service_account_token: bool | None = None
