"""
The NotificationRequest controller: delivers notifications to channels, and retries without losing one.

`setup` puts it into a manager; `load_routing` and `build_channels` make what it needs from files. So far the channels
are console and file; routing matches attributes exactly. Metrics, audit, circuit breaker and sanitization are not here.
"""

from reconciler.controllers.notification.config import NotificationConfig, load_notification_config
from reconciler.controllers.notification.delivery import (
    Channel,
    ConsoleChannel,
    ConsoleRecord,
    Delivery,
    FileChannel,
    Promise,
    build_channels,
    check_directories,
)
from reconciler.controllers.notification.phases import TABLE, Phase
from reconciler.controllers.notification.policy import Policy
from reconciler.controllers.notification.reconciler import NotificationReconciler, Router
from reconciler.controllers.notification.routing import Resolution, Routing, load_routing
from reconciler.controllers.notification.setup import CONTROLLER_NAME, setup
from reconciler.controllers.notification.types import NotificationRequest, custom_resource_definition

__all__ = [
    "CONTROLLER_NAME",
    "TABLE",
    "Channel",
    "ConsoleChannel",
    "ConsoleRecord",
    "Delivery",
    "FileChannel",
    "NotificationConfig",
    "NotificationReconciler",
    "NotificationRequest",
    "Phase",
    "Policy",
    "Promise",
    "Resolution",
    "Router",
    "Routing",
    "build_channels",
    "check_directories",
    "custom_resource_definition",
    "load_notification_config",
    "load_routing",
    "setup",
]
