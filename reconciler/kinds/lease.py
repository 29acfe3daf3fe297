"""Lease. Pure."""

from __future__ import annotations

from reconciler.api import ApiModel, KubeObject, ResourceType
from reconciler.kinds.fields import MicroTime

__all__ = ["Lease", "LeaseSpec"]


class LeaseSpec(ApiModel):
    """Who holds the lease, since when, and for how long. Mirrors: `coordinationv1.LeaseSpec`."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: MicroTime | None = None
    renew_time: MicroTime | None = None
    lease_transitions: int | None = None
    strategy: str | None = None
    preferred_holder: str | None = None


class Lease(KubeObject):
    """A claim that must be renewed, such as leadership. Mirrors: `coordinationv1.Lease`."""

    resource = ResourceType("coordination.k8s.io", "v1", "Lease", "leases")
    drops_empty = True

    spec: LeaseSpec = LeaseSpec()
