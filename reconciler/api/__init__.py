"""
The vocabulary of Kubernetes objects: names, kinds, metadata, conditions, owner references.

Models are pydantic and stand at the door of user code; nothing here talks to a server, and nothing here caches.
Untyped objects are plain dictionaries, as JSON gives them.
"""

from reconciler.api.condition import (
    Condition,
    find_condition,
    is_condition_true,
    remove_condition,
    set_condition,
)
from reconciler.api.encoded import EncodedObject, EncodedOwner, PartialMetadata
from reconciler.api.identity import CUSTOM_RESOURCE_DEFINITION, ObjectKey, ResourceType
from reconciler.api.meta import ApiModel, KubeObject, ModelError, ObjectMeta, OwnerReference
from reconciler.api.one_form import InOneForm, in_one_form
from reconciler.api.owner import (
    AlreadyOwnedError,
    OwnerError,
    add_finalizer,
    contains_finalizer,
    controller_of,
    has_owner_reference,
    is_controlled_by,
    remove_finalizer,
    remove_owner_reference,
    set_controller_reference,
    set_owner_reference,
)
from reconciler.api.selectors import (
    FieldSelector,
    LabelSelector,
    field_selector_text,
    label_selector_text,
    pinned_namespace,
)

__all__ = [
    "CUSTOM_RESOURCE_DEFINITION",
    "AlreadyOwnedError",
    "ApiModel",
    "Condition",
    "EncodedObject",
    "EncodedOwner",
    "FieldSelector",
    "InOneForm",
    "KubeObject",
    "LabelSelector",
    "ModelError",
    "ObjectKey",
    "ObjectMeta",
    "OwnerError",
    "OwnerReference",
    "PartialMetadata",
    "ResourceType",
    "add_finalizer",
    "contains_finalizer",
    "controller_of",
    "field_selector_text",
    "find_condition",
    "has_owner_reference",
    "in_one_form",
    "is_condition_true",
    "is_controlled_by",
    "label_selector_text",
    "pinned_namespace",
    "remove_condition",
    "remove_finalizer",
    "remove_owner_reference",
    "set_condition",
    "set_controller_reference",
    "set_owner_reference",
]
