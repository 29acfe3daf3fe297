"""The status manager."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from reconciler.api import KubeObject
from reconciler.client import Client
from reconciler.errors import ApiStatus, ConflictError, NotFoundError

__all__ = ["StatusManager", "StatusWrite"]

T = TypeVar("T", bound=KubeObject)
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class StatusWrite(Generic[T, A]):
    """
    What became of a write.

    Attributes:
        sent: The object as it was meant to be.
        stored: The object as the server has it now; fields that its schema does not know are missing.
        answer: What the change said of the version that was written.
        was_needed: False if nothing would have changed, so that nothing was sent.
    """

    sent: T
    stored: T
    answer: A
    was_needed: bool


class StatusManager:
    """
    Writes status, at most once a call, to the same object that the caller saw.

    Expected flow: the pass collects what it learned, then calls `write` with a function that puts all of it into a
    fresh object. Each write carries the resource version that it was read with, so nothing that another writer did in
    between is overwritten; on conflict the function is called again with what is there now.

    Guarantees:
        - An object of another UID (deleted and made again under the same name) is never touched.
        - A write that would change nothing is not sent.
    """

    def __init__(self, client: Client, *, tries_max: int = 5) -> None:
        """
        Take the client to read and write with.

        Args:
            client: Must read from the API server: a cached read would conflict with our own last write.
            tries_max: Conflicts in a row after which the caller gets the `ConflictError`.
        """
        self._client = client
        self._tries_max = tries_max

    async def write(self, seen: T, change: Callable[[T], A]) -> StatusWrite[T, A]:
        """
        Let `change` work on a fresh copy of the object, and store the status that it leaves.

        Args:
            seen: The object as the caller knows it, for its kind, name and UID; its content is not used.
            change: Changes the fresh object that it is given, and answers with whatever the caller wants to know of
                it. Called once for each try; the answer that counts is that of the version that was written.

        Cancelled while the request is under way: whether the write happened is unknown.

        Raises:
            NotFoundError: The object is gone, or another one has its name.
            ConflictError: Others wrote first, `tries_max` times in a row.
            ApiError, ConnectionFailedError: As the client raises them.
        """
        for tries_left in reversed(range(self._tries_max)):
            fresh = await self._read(seen)
            before = fresh.to_wire()
            answer = change(fresh)
            if fresh.to_wire() == before:
                return StatusWrite(fresh, fresh, answer, was_needed=False)
            try:
                return StatusWrite(fresh, await self._client.status.update(fresh), answer, was_needed=True)
            except ConflictError:
                if not tries_left:
                    raise
        raise AssertionError("unreachable: the last try returns or raises")

    async def _read(self, seen: T) -> T:
        fresh = await self._client.get(type(seen), seen.key)
        if fresh.metadata.uid != seen.metadata.uid:
            message = f"its UID was {seen.metadata.uid}; an object of the same name now has {fresh.metadata.uid}"
            raise NotFoundError(ApiStatus(404, "NotFound", message), f"write status of {seen.resource} {seen.key}")
        return fresh
