"""
The vocabulary of Kubernetes objects: names, kinds, metadata, conditions, owner references.

Models are pydantic and stand at the door of user code; nothing here talks to a server, and nothing here caches.
Untyped objects are plain dictionaries, as JSON gives them.
"""

from reconciler.api.condition import Condition, find_condition, set_condition
from reconciler.api.encoded import EncodedObject, EncodedOwner, PartialMetadata
from reconciler.api.identity import CUSTOM_RESOURCE_DEFINITION, ObjectKey, ResourceType
from reconciler.api.meta import ApiModel, KubeObject, ObjectMeta, OwnerReference

__all__ = [
    "CUSTOM_RESOURCE_DEFINITION",
    "ApiModel",
    "Condition",
    "EncodedObject",
    "EncodedOwner",
    "KubeObject",
    "ObjectKey",
    "ObjectMeta",
    "OwnerReference",
    "PartialMetadata",
    "ResourceType",
    "find_condition",
    "set_condition",
]
