"""
A client-side rate limit: so many requests a second, and a few more at once.

It is an option; the server's own limit (429) is waited out without it. It knows nothing of verbs and answers.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from reconciler.client.transport import HttpRequest, HttpResponse, HttpStream, Transport
from reconciler.clock import LoopClock
from reconciler.instant import Clock, Instant

__all__ = ["RateLimitedTransport", "TokenBucket"]

_log = logging.getLogger(__name__)

_NS_PER_S = 1_000_000_000
_LONG_NS = _NS_PER_S
"""A longer wait is logged, at most once in that time."""


class TokenBucket:
    """
    A bucket of `burst` tokens that `qps` new ones a second fill again. Pure.

    Args:
        qps: More than 0.
        burst: At least 1; the bucket is full at first.

    Raises:
        ValueError: An argument is outside of its bounds.

    Mirrors: client-go `flowcontrol.NewTokenBucketRateLimiter`.
    Differs: integers of nanoseconds, so that equal times give equal answers; a token can be given back.
    """

    def __init__(self, *, qps: float, burst: int) -> None:
        if not (qps > 0 and math.isfinite(qps)):
            raise ValueError(f"qps must be more than 0 and finite, is {qps}")
        if not burst >= 1:
            raise ValueError(f"burst must be at least 1, is {burst}")
        self.qps = qps
        self.burst = burst
        self._interval_ns = max(round(_NS_PER_S / qps), 1)
        # When the bucket is full again. Each token that is taken moves it by one interval: no sum of fractions drifts.
        self._full_at = Instant(0)

    def take(self, now: Instant) -> bool:
        """Take a token; return False where there is none."""
        if now < self.ready_at(now):
            return False
        self._full_at = Instant(max(self._full_at, now) + self._interval_ns)
        return True

    def ready_at(self, now: Instant) -> Instant:
        """Return when the next token is there: `now`, or later."""
        return Instant(max(now, self._full_at - (self.burst - 1) * self._interval_ns))

    def give_back(self) -> None:
        """Put a token back that was taken and not used."""
        self._full_at = Instant(self._full_at - self._interval_ns)


class RateLimitedTransport:
    """
    A transport that lets `qps` requests a second through, and `burst` at once; the others wait in line.

    First come, first served. A watch counts once, when it is opened, and a repeated request counts again. The wait is
    no part of a request's time-out. Give each client one of its own, or several clients the same one.

    Args:
        transport: Carries the requests; `aclose` closes it.
        qps: Requests a second; more than 0.
        burst: Requests at once after a quiet time; at least 1.
        clock: Measures the waits.

    Raises:
        ValueError: An argument is outside of its bounds.

    Mirrors: client-go `rest.Config.QPS` and `Burst`; 20 and 30 are controller-runtime's from when it limited requests.
    Differs: strictly in line; whoever is cancelled while waiting takes no token.
    """

    def __init__(self, transport: Transport, *, qps: float = 20.0, burst: int = 30, clock: Clock | None = None) -> None:
        self._transport = transport
        self._bucket = TokenBucket(qps=qps, burst=burst)
        self._clock = clock or LoopClock()
        self._line: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._logged_at: Instant | None = None
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """How many requests wait in line."""
        return sum(not turn.done() for turn in self._line)

    async def send(self, request: HttpRequest) -> HttpResponse:
        """
        Return the answer, whatever its status.

        Cancelled while waiting: nothing was sent, and those behind move up.
        """
        await self._turn(request)
        return await self._transport.send(request)

    @asynccontextmanager
    async def stream(self, request: HttpRequest) -> AsyncGenerator[HttpStream, None]:
        """Open a stream; leaving the context closes it."""
        await self._turn(request)
        async with self._transport.stream(request) as stream:
            yield stream

    async def aclose(self) -> None:
        """Close the transport; those in line are not kept waiting, and fail as it does."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._line:
            _call(self._line.popleft())
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _turn(self, request: HttpRequest) -> None:
        if self._is_closed:
            return  # the transport has the words for it
        now = self._clock.now()
        if not self._line and self._bucket.take(now):
            return
        turn = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        self._call_next()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                # Called and cancelled in one moment: the token goes to the next.
                self._bucket.give_back()
                self._call_next()
            raise
        self._say(request, now)

    def _call_next(self) -> None:
        now = self._clock.now()
        while self._line and (self._line[0].done() or self._bucket.take(now)):
            _call(self._line.popleft())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._line:
            wait_seconds = (self._bucket.ready_at(now) - now) / _NS_PER_S
            self._timer = asyncio.get_running_loop().call_later(wait_seconds, self._call_next)

    def _say(self, request: HttpRequest, asked_at: Instant) -> None:
        now = self._clock.now()
        if now - asked_at < _LONG_NS or (self._logged_at is not None and now - self._logged_at < _LONG_NS):
            return
        self._logged_at = now
        _log.info(
            "%s %s waited %.1f s for the client's own limit of %g requests a second; %d more wait",
            request.method, request.path, (now - asked_at) / _NS_PER_S, self._bucket.qps, self.waiting,
        )  # fmt: skip


def _call(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
