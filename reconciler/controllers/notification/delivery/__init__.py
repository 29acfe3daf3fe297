"""
The delivery channels of notifications: console and file.

A channel sends one notification once and says whether that worked. It keeps no state between sends, does not retry,
does not know other channels, and writes nothing to the API server.
"""

from reconciler.controllers.notification.delivery.build import build_channels, check_directories
from reconciler.controllers.notification.delivery.channel import Channel, Delivery, Promise
from reconciler.controllers.notification.delivery.console import ConsoleChannel, ConsoleRecord
from reconciler.controllers.notification.delivery.error_text import error_text
from reconciler.controllers.notification.delivery.file import FileChannel, check_directory

__all__ = [
    "Channel",
    "ConsoleChannel",
    "ConsoleRecord",
    "Delivery",
    "FileChannel",
    "Promise",
    "build_channels",
    "check_directories",
    "check_directory",
    "error_text",
]
