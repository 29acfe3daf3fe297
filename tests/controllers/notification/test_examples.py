from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from reconciler.controllers.notification.config import load_notification_config
from reconciler.controllers.notification.delivery import build_channels
from reconciler.controllers.notification.routing import attributes, load_routing
from reconciler.controllers.notification.types import NotificationRequest

EXAMPLES = Path(__file__).parents[3] / "examples"

# What each example shows: its channels, and its attempts for each channel.
SHOWN = {
    "01-console-only.yaml": (("console",), None),
    "02-repaired-directory.yaml": (("console", "file:repaired"), 5),
    "03-broken-directory.yaml": (("console", "file:broken"), 5),
    "04-only-channel-fails.yaml": (("file:broken-only",), 4),
}


def test_the_example_files_are_accepted_without_a_warning() -> None:
    config = load_notification_config(EXAMPLES / "notification-config.yaml")
    routing = load_routing(EXAMPLES / "notification-routing.yaml")
    assert (config.warnings, routing.warnings) == ((), ())
    assert len(build_channels(config, routing)) == 4


def test_every_example_notification_is_shown() -> None:
    assert sorted(path.name for path in (EXAMPLES / "notifications").iterdir()) == sorted(SHOWN)


@pytest.mark.parametrize("file", SHOWN)
def test_an_example_notification_goes_where_it_says(file: str) -> None:
    channels, attempts = SHOWN[file]
    request = NotificationRequest.model_validate(yaml.safe_load((EXAMPLES / "notifications" / file).read_text()))
    routing = load_routing(EXAMPLES / "notification-routing.yaml")
    assert routing.resolve(attributes(request)).channels == channels
    policy = request.spec.retry_policy
    assert (policy and policy.max_attempts) == attempts
    if policy:
        assert (policy.initial_backoff_seconds, policy.backoff_multiplier, policy.max_backoff_seconds) == (1, 2, 60)


def test_the_directories_of_the_example_can_be_moved_by_replacing_one_text() -> None:
    text = (EXAMPLES / "notification-routing.yaml").read_text()
    destinations = load_routing(EXAMPLES / "notification-routing.yaml").destinations().values()
    directories = [destination.directory for destination in destinations if destination.kind == "file"]
    assert all(directory.startswith("/tmp/notifications/") for directory in directories)
    assert all(directory in text for directory in directories)
