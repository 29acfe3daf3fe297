"""
The built-in kinds that controllers meet most, as thin typed models.

A model has the fields that controllers read and write; every other field is kept as it came, so that writing an object
back loses nothing. The models check shapes, not meaning: what a Deployment may hold is for the server to say. They set
no defaults; a field that the server fills in is None until then.
"""

from reconciler.kinds.config import (
    ConfigMap,
    Secret,
)
from reconciler.kinds.core import (
    Namespace,
    NamespaceSpec,
    NamespaceStatus,
    ServiceAccount,
)
from reconciler.kinds.definition import (
    CustomResourceColumnDefinition,
    CustomResourceDefinition,
    CustomResourceDefinitionNames,
    CustomResourceDefinitionSpec,
    CustomResourceDefinitionStatus,
    CustomResourceDefinitionVersion,
    CustomResourceSubresources,
    CustomResourceValidation,
)
from reconciler.kinds.deployment import (
    Deployment,
    DeploymentSpec,
    DeploymentStatus,
    DeploymentStrategy,
    RollingUpdateDeployment,
)
from reconciler.kinds.event import (
    CoreV1Event,
    EventSeries,
    EventSource,
    EventsV1Event,
)
from reconciler.kinds.fields import (
    Base64,
    IntOrString,
    KindCondition,
    LabelSelectorRequirement,
    LocalObjectReference,
    MicroTime,
    ObjectReference,
    PodSelector,
    TemplateMeta,
    label_selector_of,
)
from reconciler.kinds.lease import (
    Lease,
    LeaseSpec,
)
from reconciler.kinds.pod import (
    Container,
    ContainerPort,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    EnvVar,
    Pod,
    PodSpec,
    PodStatus,
    PodTemplateSpec,
    ResourceRequirements,
    Volume,
    VolumeMount,
)
from reconciler.kinds.quantity import (
    Quantity,
    amount_of,
)

__all__ = [
    "Base64",
    "ConfigMap",
    "Container",
    "ContainerPort",
    "ContainerState",
    "ContainerStateRunning",
    "ContainerStateTerminated",
    "ContainerStateWaiting",
    "ContainerStatus",
    "CoreV1Event",
    "CustomResourceColumnDefinition",
    "CustomResourceDefinition",
    "CustomResourceDefinitionNames",
    "CustomResourceDefinitionSpec",
    "CustomResourceDefinitionStatus",
    "CustomResourceDefinitionVersion",
    "CustomResourceSubresources",
    "CustomResourceValidation",
    "Deployment",
    "DeploymentSpec",
    "DeploymentStatus",
    "DeploymentStrategy",
    "EnvVar",
    "EventSeries",
    "EventSource",
    "EventsV1Event",
    "IntOrString",
    "KindCondition",
    "LabelSelectorRequirement",
    "Lease",
    "LeaseSpec",
    "LocalObjectReference",
    "MicroTime",
    "Namespace",
    "NamespaceSpec",
    "NamespaceStatus",
    "ObjectReference",
    "Pod",
    "PodSelector",
    "PodSpec",
    "PodStatus",
    "PodTemplateSpec",
    "Quantity",
    "ResourceRequirements",
    "RollingUpdateDeployment",
    "Secret",
    "ServiceAccount",
    "TemplateMeta",
    "Volume",
    "VolumeMount",
    "amount_of",
    "label_selector_of",
]
