"""ConfigMap and Secret: data by name. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ConfigDict

from reconciler.api import KubeObject, ResourceType
from reconciler.kinds.fields import Base64

__all__ = ["ConfigMap", "Secret"]


class ConfigMap(KubeObject):
    """
    Data that is no secret. Mirrors: `corev1.ConfigMap`.

    Attributes:
        data: Texts by name.
        binary_data: Bytes by name; base64 on the wire only.
        immutable: Whether the data may no longer change.
    """

    resource = ResourceType("", "v1", "ConfigMap", "configmaps")
    drops_empty = True

    data: dict[str, str] | None = None
    binary_data: dict[str, Base64] | None = None
    immutable: bool | None = None


class Secret(KubeObject):
    """
    Data that is secret: its `repr` shows the names, and neither values nor annotations. Mirrors: `corev1.Secret`.

    Attributes:
        data: Bytes by name; base64 on the wire only. Text that is given for bytes is taken for base64.
        string_data: Texts by name, for writing: the server puts them into `data`, and never returns them.
        type: Such as `Opaque` or `kubernetes.io/tls`.
        immutable: Whether the data may no longer change.
    """

    # An error about a field would quote what was given for it.
    model_config = ConfigDict(hide_input_in_errors=True)

    resource = ResourceType("", "v1", "Secret", "secrets")
    drops_empty = True

    data: dict[str, Base64] | None = None
    string_data: dict[str, str] | None = None
    type: str | None = None
    immutable: bool | None = None

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """
        Yield what may be shown.

        Not the metadata: kubectl keeps what was applied in an annotation, data included. Nor unknown fields.
        """
        yield "key", str(self.key)
        yield "resource_version", self.metadata.resource_version
        yield "type", self.type
        yield "names", sorted({*(self.data or ()), *(self.string_data or ())})
