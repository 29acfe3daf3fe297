"""What goes into the server and what comes out of it: one request, one response. No sockets."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["JsonObject", "ServerRequest", "ServerResponse"]

JsonObject = dict[str, Any]
"""A JSON object, as it travels. Objects that came out of the storage are read-only."""


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """
    One HTTP request.

    Attributes:
        method: In capitals.
        path: Still percent-encoded, without the query.
        query: Names and values, decoded, in the order of the URL.
        headers: Names in any case.
        body: Empty where there is none.
    """

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""

    def header(self, name: str) -> str:
        """Return the value of a header, or "" where the request has none."""
        wanted = name.lower()
        return next((value for key, value in self.headers.items() if key.lower() == wanted), "")

    def parameter(self, name: str) -> str:
        """Return the first value of a query parameter, or ""."""
        return next((value for key, value in self.query if key == name), "")

    def parameters(self, name: str) -> list[str]:
        """Return all values of a query parameter."""
        return [value for key, value in self.query if key == name]


@dataclass(frozen=True, slots=True)
class ServerResponse:
    """
    One HTTP response.

    Attributes:
        status: The HTTP status.
        headers: Several warnings stand in one header, separated by commas.
        body: All of it, or a stream of chunks, each of whole lines. Whoever takes a stream must close it
            (`aclose`), since an open one holds a watch.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes | AsyncGenerator[bytes]
