"""
`/healthz` and `/readyz` over plain HTTP, with named checks.

Mirrors: controller-runtime `pkg/healthz`: 200 `ok`, or 500 with one line for each check; `?verbose` always lists
them; `/readyz/NAME` asks one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from aiohttp import web

from reconciler.errors import ConfigurationError

__all__ = ["Check", "HealthServer", "parse_address"]

_log = logging.getLogger("reconciler.health")

Check = Callable[[], str | None]
"""Returns what is wrong in words that may be shown to anyone, or None."""


def parse_address(address: str) -> tuple[str | None, int]:
    """
    Return host (None for all interfaces) and port of a Go listen address: `:8081`, `127.0.0.1:0`, `[::1]:80`.

    Raises:
        ConfigurationError: It is none.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigurationError(f"listen address {address!r}: expected HOST:PORT or :PORT, such as :8081")
    return host.removeprefix("[").removesuffix("]") or None, int(port)


class HealthServer:
    """Answers `/healthz` and `/readyz` from the given checks."""

    def __init__(self, address: str, *, live: Mapping[str, Check], ready: Mapping[str, Check]) -> None:
        """
        Take the address and the checks; nothing listens before `run`.

        Args:
            address: As Go writes listen addresses; port 0 picks a free one.
            live: The checks of `/healthz`.
            ready: The checks of `/readyz`.

        Raises:
            ConfigurationError: The address cannot be parsed.
        """
        self._host, self._port = parse_address(address)
        self._address = address
        self._checks = {"healthz": live, "readyz": ready}
        self._bound: int | None = None

    @property
    def port(self) -> int | None:
        """The port it listens on; None before it does."""
        return self._bound

    async def run(self, stopping: asyncio.Event) -> None:
        """
        Listen until `stopping` is set.

        Raises:
            ConfigurationError: The address is taken or not ours.
        """
        app = web.Application()
        app.router.add_get("/{kind:healthz|readyz}", self._answer)
        app.router.add_get("/{kind:healthz|readyz}/{name}", self._answer)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._host, self._port)
            try:
                await site.start()
            except OSError as error:
                raise ConfigurationError(f"health address {self._address}: {error.strerror or error}") from error
            self._bound = runner.addresses[0][1]
            _log.info("health on http://%s:%s/healthz and /readyz", self._host or "0.0.0.0", self._bound)
            await stopping.wait()
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        checks = self._checks[request.match_info["kind"]]
        name = request.match_info.get("name")
        if name is not None:
            if name not in checks:
                return web.Response(status=404, text=f"no check is named {name!r}; there are: {', '.join(checks)}\n")
            checks = {name: checks[name]}
        results = {each: check() for each, check in checks.items()}
        is_ok = not any(results.values())
        if is_ok and "verbose" not in request.query:
            return web.Response(text="ok")
        lines = [f"[-]{each} failed: {wrong}" if wrong else f"[+]{each} ok" for each, wrong in results.items()]
        return web.Response(status=200 if is_ok else 500, text="\n".join(lines) + "\n")
