"""CustomResourceDefinition. Pure."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ApiModel, KubeObject
from reconciler.kinds.fields import KindCondition

__all__ = [
    "CustomResourceColumnDefinition",
    "CustomResourceDefinition",
    "CustomResourceDefinitionNames",
    "CustomResourceDefinitionSpec",
    "CustomResourceDefinitionStatus",
    "CustomResourceDefinitionVersion",
    "CustomResourceSubresources",
    "CustomResourceValidation",
]


class CustomResourceDefinitionNames(ApiModel):
    """What the kind is called. Mirrors: `apiextensionsv1.CustomResourceDefinitionNames`."""

    plural: str = ""
    kind: str = ""
    singular: str | None = None
    list_kind: str | None = None
    short_names: list[str] | None = None
    categories: list[str] | None = None


class CustomResourceValidation(ApiModel):
    """The schema, as a dictionary. Mirrors: `apiextensionsv1.CustomResourceValidation`."""

    open_api_v3_schema: dict[str, Any] | None = Field(
        default=None, validation_alias="openAPIV3Schema", serialization_alias="openAPIV3Schema"
    )


class CustomResourceSubresources(ApiModel):
    """
    Which subresources there are; an empty dictionary switches `status` on.

    Mirrors: `apiextensionsv1.CustomResourceSubresources`.
    """

    status: dict[str, Any] | None = None
    scale: dict[str, Any] | None = None


class CustomResourceColumnDefinition(ApiModel):
    """A column that `kubectl get` prints. Mirrors: `apiextensionsv1.CustomResourceColumnDefinition`."""

    name: str
    type: str
    json_path: str
    format: str | None = None
    description: str | None = None
    priority: int | None = None


class CustomResourceDefinitionVersion(ApiModel):
    """
    One version of the kind. Mirrors: `apiextensionsv1.CustomResourceDefinitionVersion`.

    Attributes:
        name: Such as `v1alpha1`.
        served: Whether it can be read and written.
        storage: Whether objects are kept in this version; exactly one is.
        schema_: `schema` on the wire, which is a word of pydantic.
        subresources: Which there are.
        additional_printer_columns: What `kubectl get` prints.
        deprecated: Whether requests get a warning.
        deprecation_warning: Its text.
        selectable_fields: Which fields a field selector may name.
    """

    name: str
    served: bool
    storage: bool
    schema_: CustomResourceValidation | None = Field(
        default=None, validation_alias="schema", serialization_alias="schema"
    )
    subresources: CustomResourceSubresources | None = None
    additional_printer_columns: list[CustomResourceColumnDefinition] | None = None
    deprecated: bool | None = None
    deprecation_warning: str | None = None
    selectable_fields: list[dict[str, Any]] | None = None


class CustomResourceDefinitionSpec(ApiModel):
    """What the kind is, in each version. Mirrors: `apiextensionsv1.CustomResourceDefinitionSpec`."""

    group: str = ""
    scope: str = ""
    names: CustomResourceDefinitionNames = CustomResourceDefinitionNames()
    versions: list[CustomResourceDefinitionVersion] = Field(default_factory=list[CustomResourceDefinitionVersion])
    conversion: dict[str, Any] | None = None
    preserve_unknown_fields: bool | None = None


class CustomResourceDefinitionStatus(ApiModel):
    """Whether the kind is served. Mirrors: `apiextensionsv1.CustomResourceDefinitionStatus`."""

    conditions: list[KindCondition] | None = None
    accepted_names: CustomResourceDefinitionNames | None = None
    stored_versions: list[str] | None = None


class CustomResourceDefinition(KubeObject):
    """The object that brings a kind. Mirrors: `apiextensionsv1.CustomResourceDefinition`."""

    resource = CUSTOM_RESOURCE_DEFINITION
    drops_empty = True

    spec: CustomResourceDefinitionSpec = CustomResourceDefinitionSpec()
    status: CustomResourceDefinitionStatus | None = None
