"""Deliveries for the tests of the channels."""

from __future__ import annotations

from typing import Any

from reconciler.controllers.notification.delivery import Delivery
from reconciler.controllers.notification.types import NotificationRequest

UID = "0b9ad1b2-3c4d-4e5f-8a6b-7c8d9e0f1a2b"


def a_delivery(
    *, channel: str = "console", attempt: int = 1, name: str = "disk-full", uid: str = UID, **spec: Any
) -> Delivery:
    notification = NotificationRequest.model_validate(
        {
            "metadata": {"name": name, "namespace": "default", "uid": uid},
            "spec": {"type": "Escalation", "priority": "High", "subject": "Disk full", "body": "on `node-7`", **spec},
        }
    )
    return Delivery(notification, channel, attempt)
