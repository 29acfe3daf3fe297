"""Pod, and the parts that templates of pods share with it. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from reconciler.api import ApiModel, KubeObject, ResourceType
from reconciler.kinds.fields import KindCondition, LocalObjectReference, TemplateMeta
from reconciler.kinds.quantity import Quantity

__all__ = [
    "Container",
    "ContainerPort",
    "ContainerState",
    "ContainerStateRunning",
    "ContainerStateTerminated",
    "ContainerStateWaiting",
    "ContainerStatus",
    "EnvVar",
    "Pod",
    "PodSpec",
    "PodStatus",
    "PodTemplateSpec",
    "ResourceRequirements",
    "Volume",
    "VolumeMount",
]


class ContainerPort(ApiModel):
    """A port that a container listens on. Mirrors: `corev1.ContainerPort`."""

    container_port: int
    name: str | None = None
    protocol: str | None = None
    host_port: int | None = None


class EnvVar(ApiModel):
    """One variable of a container's environment. Mirrors: `corev1.EnvVar`."""

    name: str
    value: str | None = None
    value_from: dict[str, Any] | None = None


class ResourceRequirements(ApiModel):
    """
    What a container asks for, and may use at most.

    Mirrors: `corev1.ResourceRequirements`.
    """

    requests: dict[str, Quantity] | None = None
    limits: dict[str, Quantity] | None = None


class VolumeMount(ApiModel):
    """Where a container sees a volume. Mirrors: `corev1.VolumeMount`."""

    name: str
    mount_path: str
    sub_path: str | None = None
    read_only: bool | None = None


class Volume(ApiModel):
    """
    A volume of a pod; further sources are kept, as fields without a type.

    Mirrors: `corev1.Volume`.
    """

    name: str
    config_map: dict[str, Any] | None = None
    secret: dict[str, Any] | None = None
    empty_dir: dict[str, Any] | None = None
    persistent_volume_claim: dict[str, Any] | None = None
    projected: dict[str, Any] | None = None


class Container(ApiModel):
    """One container of a pod. Mirrors: `corev1.Container`."""

    name: str
    image: str | None = None
    command: list[str] | None = None
    args: list[str] | None = None
    working_dir: str | None = None
    ports: list[ContainerPort] | None = None
    env: list[EnvVar] | None = None
    env_from: list[dict[str, Any]] | None = None
    resources: ResourceRequirements | None = None
    volume_mounts: list[VolumeMount] | None = None
    liveness_probe: dict[str, Any] | None = None
    readiness_probe: dict[str, Any] | None = None
    startup_probe: dict[str, Any] | None = None
    image_pull_policy: str | None = None
    security_context: dict[str, Any] | None = None


class PodSpec(ApiModel):
    """What runs, and where. Mirrors: `corev1.PodSpec`."""

    containers: list[Container] = Field(default_factory=list[Container])
    init_containers: list[Container] | None = None
    volumes: list[Volume] | None = None
    restart_policy: str | None = None
    service_account_name: str | None = None
    automount_service_account_token: bool | None = None
    image_pull_secrets: list[LocalObjectReference] | None = None
    node_name: str | None = None
    node_selector: dict[str, str] | None = None
    tolerations: list[dict[str, Any]] | None = None
    affinity: dict[str, Any] | None = None
    security_context: dict[str, Any] | None = None
    priority_class_name: str | None = None
    termination_grace_period_seconds: int | None = None
    active_deadline_seconds: int | None = None


class ContainerStateWaiting(ApiModel):
    """A container that does not run yet, and why. Mirrors: `corev1.ContainerStateWaiting`."""

    reason: str | None = None
    message: str | None = None


class ContainerStateRunning(ApiModel):
    """A container that runs. Mirrors: `corev1.ContainerStateRunning`."""

    started_at: datetime | None = None


class ContainerStateTerminated(ApiModel):
    """A container that ended, and how. Mirrors: `corev1.ContainerStateTerminated`."""

    exit_code: int
    signal: int | None = None
    reason: str | None = None
    message: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class ContainerState(ApiModel):
    """One of the three is set. Mirrors: `corev1.ContainerState`."""

    waiting: ContainerStateWaiting | None = None
    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None


class ContainerStatus(ApiModel):
    """What became of one container. Mirrors: `corev1.ContainerStatus`."""

    name: str
    ready: bool = False
    restart_count: int = 0
    started: bool | None = None
    state: ContainerState | None = None
    last_state: ContainerState | None = None
    image: str = ""
    image_id: str = Field(default="", validation_alias="imageID", serialization_alias="imageID")
    container_id: str | None = Field(default=None, validation_alias="containerID", serialization_alias="containerID")


class PodStatus(ApiModel):
    """What became of the pod. Mirrors: `corev1.PodStatus`."""

    phase: str | None = None
    reason: str | None = None
    message: str | None = None
    conditions: list[KindCondition] | None = None
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None
    host_ip: str | None = Field(default=None, validation_alias="hostIP", serialization_alias="hostIP")
    pod_ip: str | None = Field(default=None, validation_alias="podIP", serialization_alias="podIP")
    start_time: datetime | None = None
    qos_class: str | None = None


class Pod(KubeObject):
    """Containers that run together on one node. Mirrors: `corev1.Pod`."""

    resource = ResourceType("", "v1", "Pod", "pods")
    drops_empty = True

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class PodTemplateSpec(ApiModel):
    """The pods that another kind makes. Mirrors: `corev1.PodTemplateSpec`."""

    metadata: TemplateMeta = TemplateMeta()
    spec: PodSpec = PodSpec()
