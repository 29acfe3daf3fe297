"""The settings that the tests of behaviour share: one client, on the embedded server and on the real one."""

from __future__ import annotations

from .test_servers import server, setting

__all__ = ["server", "setting"]
