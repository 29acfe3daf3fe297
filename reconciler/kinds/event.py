"""
Event, in both of its forms: the server keeps one object, and serves it as `v1` and as `events.k8s.io/v1`.

Pure.
"""

from __future__ import annotations

from datetime import datetime

from reconciler.api import ApiModel, KubeObject, ResourceType
from reconciler.kinds.fields import MicroTime, ObjectReference

__all__ = ["CoreV1Event", "EventSeries", "EventSource", "EventsV1Event"]


class EventSource(ApiModel):
    """Who posted the event. Mirrors: `corev1.EventSource`."""

    component: str | None = None
    host: str | None = None


class EventSeries(ApiModel):
    """How often the event was seen. Mirrors: `corev1.EventSeries`, `eventsv1.EventSeries`."""

    count: int | None = None
    last_observed_time: MicroTime | None = None


class CoreV1Event(KubeObject):
    """A short note on an object, in its older form, which `kubectl describe` reads. Mirrors: `corev1.Event`."""

    resource = ResourceType("", "v1", "Event", "events")
    drops_empty = True

    involved_object: ObjectReference = ObjectReference()
    type: str | None = None
    reason: str | None = None
    message: str | None = None
    source: EventSource = EventSource()
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
    count: int | None = None
    event_time: MicroTime | None = None
    series: EventSeries | None = None
    action: str | None = None
    related: ObjectReference | None = None
    reporting_component: str = ""
    reporting_instance: str = ""


class EventsV1Event(KubeObject):
    """A short note on an object, in its newer form; `event_time` has to be set. Mirrors: `eventsv1.Event`."""

    resource = ResourceType("events.k8s.io", "v1", "Event", "events")
    drops_empty = True

    event_time: MicroTime | None = None
    regarding: ObjectReference | None = None
    related: ObjectReference | None = None
    type: str | None = None
    reason: str | None = None
    action: str | None = None
    note: str | None = None
    reporting_controller: str | None = None
    reporting_instance: str | None = None
    series: EventSeries | None = None
    deprecated_source: EventSource | None = None
    deprecated_first_timestamp: datetime | None = None
    deprecated_last_timestamp: datetime | None = None
    deprecated_count: int | None = None
