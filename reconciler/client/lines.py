"""Lines of a stream, however the network cuts them. It knows no connection."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable

__all__ = ["lines_in"]

_LINE_BYTES_MAX = 64 * 1024 * 1024


async def lines_in(
    read: Callable[[], Awaitable[bytes]], too_long: Callable[[str], Exception]
) -> AsyncGenerator[bytes, None]:
    """
    Yield the lines of what `read` returns piece by piece until it is empty, without line ends and empty lines.

    Args:
        read: Its errors are passed on.
        too_long: Makes the error, of a text, where a line has more than 64 MiB.
    """
    # aiohttp's own readline refuses lines longer than twice its buffer, and takes one call for each line.
    pending: list[bytes] = []
    pending_bytes = 0
    while piece := await read():
        *complete, rest = piece.split(b"\n")
        for part in complete:
            line = b"".join([*pending, part]) if pending else part
            pending.clear()
            pending_bytes = 0
            if line:
                yield line
        if rest:
            pending.append(rest)
            pending_bytes += len(rest)
        if pending_bytes > _LINE_BYTES_MAX:
            raise too_long(f"a line is longer than {_LINE_BYTES_MAX} bytes")
    if pending:
        yield b"".join(pending)
