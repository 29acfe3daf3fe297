"""How the demonstration looks: a table that redraws on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from reconciler.controllers.notification import NotificationRequest

__all__ = ["Show"]

_COLOUR = MappingProxyType({"Sent": "green", "PartiallySent": "yellow", "Failed": "red", "Retrying": "cyan"})


class Show:
    """
    Shows what becomes of each object.

    On a terminal one table is redrawn; elsewhere each change is one line. Colour follows the terminal and `NO_COLOR`.
    """

    def __init__(self, console: Console, *, elapsed: Callable[[], float], now: Callable[[], datetime]) -> None:
        """`elapsed` gives seconds since the start, `now` the wall time that due times are compared with."""
        self._console = console
        self._elapsed = elapsed
        self._now = now
        self._objects: dict[str, NotificationRequest] = {}
        self._last: dict[str, str] = {}
        self._live: Live | None = None

    def __enter__(self) -> Show:
        if self._console.is_terminal:
            # Redrawn by the event loop, not by a thread of its own: the clock belongs to the loop.
            self._live = Live(get_renderable=self._table, console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def redraw(self) -> None:
        """Draw the table again, so that the time left counts down; elsewhere than on a terminal, nothing."""
        if self._live is not None:
            self._live.refresh()

    def say(self, text: str) -> None:
        """Say something beside the objects."""
        self._console.print(Text(f"{self._elapsed():6.2f}s  {text}"), highlight=False, soft_wrap=True)

    def update(self, obj: NotificationRequest) -> None:
        """Show an object as it is now."""
        name = obj.metadata.name
        self._objects[name] = obj
        if self._live is not None or not obj.status.phase:
            return
        line = f"{name:<20} {obj.status.phase:<14} {self._channels(obj)}"
        if self._last.get(name) != line:
            self._last[name] = line
            self.say(line)

    def _table(self) -> Table:
        table = Table(title=f"NotificationRequests after {self._elapsed():.1f} s", title_justify="left")
        for heading in ("name", "phase", "channels and attempts", "next attempt in"):
            table.add_column(heading, no_wrap=heading != "channels and attempts")
        for name, obj in sorted(self._objects.items()):
            phase = Text(obj.status.phase or "-", style=_COLOUR.get(obj.status.phase, ""))
            table.add_row(name, phase, self._channels(obj), self._next(obj))
        return table

    def _channels(self, obj: NotificationRequest) -> str:
        marks: dict[str, str] = {}
        for attempt in obj.status.delivery_attempts:
            mark = "ok" if attempt.status == "success" else "x"
            marks[attempt.channel] = f"{marks.get(attempt.channel, '')} {mark}"
        return ", ".join(f"{channel}:{mark}" for channel, mark in _in_order(obj, marks).items()) or "-"

    def _next(self, obj: NotificationRequest) -> str:
        channels = obj.status.delivery.channels if obj.status.delivery else []
        due = min((channel.next_attempt_at for channel in channels if channel.next_attempt_at), default=None)
        return f"{max(0.0, (due - self._now()).total_seconds()):.1f} s" if due else ""


def _in_order(obj: NotificationRequest, marks: Mapping[str, str]) -> dict[str, str]:
    channels = [channel.name for channel in obj.status.delivery.channels] if obj.status.delivery else []
    return {name: marks[name] for name in [*channels, *marks] if name in marks}
