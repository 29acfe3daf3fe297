"""
The credentials of one configuration, and when they are asked for anew: once a minute, and when a server refuses them.

Whoever gives them may be slow: it is asked in a task of its own, which all who wait share, and which goes on when they
give up. It knows no HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any, cast

from reconciler.client.certificates import CertificateFiles
from reconciler.errors import ConfigurationError
from reconciler.instant import Clock, Instant, seconds

__all__ = ["Credentials", "Refresh", "check_token"]

_log = logging.getLogger("reconciler.client.config")

_REFRESH_SECONDS = 60
_KEY = "BearerToken"

Refresh = Callable[[bool], Awaitable[None]]
"""Asks for the credentials anew; True where the server refused the present ones."""


class Credentials:
    """
    The `Authorization` header, and when it and the certificates are asked for anew.

    Args:
        configuration: kubernetes-asyncio's; it holds the token.
        refresh: Asks for them anew, and ends by itself; None where they never change.
        certificates: Are read again with them.
        clock: Measures the minute.

    Mirrors: client-go `exec.Authenticator`, its `refreshCredsLocked`.
    Differs: who waits may give up, and whoever gives the credentials is not disturbed by that.
    """

    def __init__(
        self, configuration: Any, refresh: Refresh | None, certificates: CertificateFiles, clock: Clock
    ) -> None:
        self._configuration = configuration
        self._refresh = refresh
        self._certificates = certificates
        self._clock = clock
        self._asked_at: Instant | None = None
        # Held here while it runs; it logs its errors, and raises none.
        self._renewal: asyncio.Task[None] | None = None
        self._is_for_refused = False
        # Somebody gave up waiting: who is not refused is not kept waiting any more, and tries the old ones.
        self._is_slow = False

    async def header(self) -> str | None:
        """
        Return the header's value, after a renewal where one is due.

        Cancelled: the renewal goes on, for the others who wait and for the next request.
        """
        is_wanted = self._is_due() if self._renewal is None else not self._is_slow
        if is_wanted:
            await self._renew(is_refused=False)
        return await self._shown()

    async def header_instead_of(self, refused: str | None, version: bytes) -> str | None:
        """
        Return the header's value after a server refused the value `refused`, shown with certificates of `version`.

        They are asked for anew only where they are still those that were refused.

        Cancelled: as in `header`.
        """
        is_over = False
        while not is_over and await self._shown() == refused and self._certificates.version == version:
            is_over = await self._renew(is_refused=True)
        return await self._shown()

    async def aclose(self) -> None:
        """End a renewal that is under way; who waits for it goes on with the old credentials."""
        renewal = self._renewal
        if renewal is not None:
            renewal.cancel()
            await asyncio.wait({renewal})

    def _is_due(self) -> bool:
        now = self._clock.now()
        if self._asked_at is None:
            self._asked_at = now  # loading the configuration was the first time
        return now - self._asked_at >= seconds(_REFRESH_SECONDS)

    async def _shown(self) -> str | None:
        if _KEY not in self._configuration.api_key:
            return None
        value = cast("str | None", await self._configuration.get_api_key_with_prefix(_KEY))
        # A token file written with an editor or `echo` ends in a line end, which no header may hold.
        return value.strip() if value is not None else None

    async def _renew(self, *, is_refused: bool) -> bool:
        """Wait for the renewal under way, or a new one; return False if it took refused credentials for good ones."""
        if self._renewal is None:
            self._is_slow = False
            self._is_for_refused = is_refused
            # In a context of its own: it belongs to no reconciler's pass, and outlives the one that asked first.
            self._renewal = asyncio.get_running_loop().create_task(
                self._ask(is_refused=is_refused), name="renew credentials", context=Context()
            )
            self._renewal.add_done_callback(self._forget)
        renewal = self._renewal
        is_enough = self._is_for_refused or not is_refused
        await self._wait_for(renewal)
        return is_enough or renewal.cancelled()

    async def _wait_for(self, renewal: asyncio.Task[None]) -> None:
        try:
            # It leaves the task alone when this is cancelled.
            await asyncio.wait({renewal})
        except asyncio.CancelledError:
            self._is_slow = True
            raise

    def _forget(self, renewal: asyncio.Task[None]) -> None:
        if self._renewal is renewal:
            self._renewal = None

    async def _ask(self, *, is_refused: bool) -> None:
        before = self._configuration.api_key.get(_KEY)
        try:
            if self._refresh is not None:
                await self._refresh(is_refused)
                check_token(self._configuration.api_key.get(_KEY))
        except ConfigurationError as error:
            _log.warning("credentials could not be renewed: %s; the old ones stay", error)
            self._restore(before)
        except Exception as error:
            # The loader makes OIDC requests: anything may come. Its texts may hold secrets.
            _log.warning("credentials could not be renewed (%s); the old ones stay", type(error).__name__)
            self._restore(before)
        # Not when it was cancelled: nobody has answered then.
        self._asked_at = self._clock.now()
        # Only a version that a session was made of can be outdated.
        if self._certificates.version:
            self._certificates.read()

    def _restore(self, token: str | None) -> None:
        if token is None:
            self._configuration.api_key.pop(_KEY, None)
        else:
            self._configuration.api_key[_KEY] = token


def check_token(value: str | None, source: str = "") -> None:
    """Raise `ConfigurationError` where a token cannot stand in a header; its text is not in the error."""
    if value is not None and any(ord(letter) < 32 or ord(letter) == 127 for letter in value.strip()):
        raise ConfigurationError(
            f"{source}: " * bool(source) + "the token has a line end or another control character in it; write it anew"
        )
