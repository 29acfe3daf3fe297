from __future__ import annotations

import pytest

from reconciler.client.lines import lines_in
from reconciler.errors import ConnectionFailedError
from reconciler.testing import run_virtual


def _lines(*pieces: bytes) -> list[bytes]:
    left = [*pieces, b""]

    async def read() -> bytes:
        return left.pop(0)

    async def main() -> list[bytes]:
        return [line async for line in lines_in(read, ConnectionFailedError)]

    return run_virtual(main())


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([b"one\ntwo\nthree"], id="in one piece"),
        pytest.param([b"one\n", b"two\n", b"three\n"], id="at their ends"),
        pytest.param([bytes([byte]) for byte in b"\none\n\ntwo\nthree\n\n"], id="everywhere"),
    ],
)
def test_lines_are_the_same_where_they_are_cut(pieces: list[bytes]) -> None:
    assert _lines(*pieces) == [b"one", b"two", b"three"]


def test_a_line_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.client.lines._LINE_BYTES_MAX", 8)
    assert _lines(b"1234", b"5678", b"\n", b"12345678") == [b"12345678", b"12345678"]
    with pytest.raises(ConnectionFailedError, match=r"^a line is longer than 8 bytes$"):
        _lines(b"1234", b"5678", b"9")
