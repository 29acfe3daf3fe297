"""Objects, pages and watch lines as a server would send them."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from reconciler.api import ApiModel, EncodedObject, KubeObject, ResourceType

WIDGETS = ResourceType("example.com", "v1", "Widget", "widgets")


class WidgetSpec(ApiModel):
    size: int = 0


class Widget(KubeObject):
    resource: ClassVar[ResourceType] = WIDGETS

    spec: WidgetSpec = WidgetSpec()


def wire(name: str, version: int, *, size: int = 0, uid: str = "", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": uid or f"uid-{name}",
            "resourceVersion": str(version),
            **metadata,
        },
        "spec": {"size": size},
    }


def encoded(name: str, version: int, *, size: int = 0, uid: str = "", **metadata: Any) -> EncodedObject:
    return EncodedObject.from_json(msgspec.json.encode(wire(name, version, size=size, uid=uid, **metadata)))


def line(type_: str, object_: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"type": type_, "object": object_})


def bookmark(version: int) -> dict[str, Any]:
    return {"kind": "Widget", "apiVersion": "example.com/v1", "metadata": {"resourceVersion": str(version)}}


def status(code: int, reason: str = "", message: str = "") -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }
