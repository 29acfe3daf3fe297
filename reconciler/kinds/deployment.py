"""Deployment. Pure."""

from __future__ import annotations

from reconciler.api import ApiModel, KubeObject, ResourceType
from reconciler.kinds.fields import IntOrString, KindCondition, PodSelector
from reconciler.kinds.pod import PodTemplateSpec

__all__ = ["Deployment", "DeploymentSpec", "DeploymentStatus", "DeploymentStrategy", "RollingUpdateDeployment"]


class RollingUpdateDeployment(ApiModel):
    """How far a rolling update may go from the wanted count. Mirrors: `appsv1.RollingUpdateDeployment`."""

    max_surge: IntOrString | None = None
    max_unavailable: IntOrString | None = None


class DeploymentStrategy(ApiModel):
    """How pods are replaced: `RollingUpdate` or `Recreate`. Mirrors: `appsv1.DeploymentStrategy`."""

    type: str | None = None
    rolling_update: RollingUpdateDeployment | None = None


class DeploymentSpec(ApiModel):
    """Which pods there should be, and how many. Mirrors: `appsv1.DeploymentSpec`."""

    replicas: int | None = None
    selector: PodSelector = PodSelector()
    template: PodTemplateSpec = PodTemplateSpec()
    strategy: DeploymentStrategy | None = None
    paused: bool | None = None
    min_ready_seconds: int | None = None
    revision_history_limit: int | None = None
    progress_deadline_seconds: int | None = None


class DeploymentStatus(ApiModel):
    """
    How far the deployment has come; a count that is None is 0.

    Mirrors: `appsv1.DeploymentStatus`.
    """

    observed_generation: int | None = None
    replicas: int | None = None
    updated_replicas: int | None = None
    ready_replicas: int | None = None
    available_replicas: int | None = None
    unavailable_replicas: int | None = None
    terminating_replicas: int | None = None
    conditions: list[KindCondition] | None = None
    collision_count: int | None = None


class Deployment(KubeObject):
    """Equal pods, replaced step by step when their template changes. Mirrors: `appsv1.Deployment`."""

    resource = ResourceType("apps", "v1", "Deployment", "deployments")
    drops_empty = True

    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()
