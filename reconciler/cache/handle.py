"""A counted hold on an informer."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from reconciler.cache.informer import Informer

__all__ = ["InformerHandle"]


class InformerHandle:
    """
    One user's hold on an informer; also a context manager.

    Attributes:
        informer: What is held.
    """

    def __init__(self, informer: Informer, let_go: Callable[[Informer], None]) -> None:
        """Made by `Cache.acquire`."""
        self.informer = informer
        self._let_go = let_go
        self._is_held = True

    def release(self) -> None:
        """Let go; a second call does nothing. Remove your handlers before."""
        if self._is_held:
            self._is_held = False
            self._let_go(self.informer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<InformerHandle of {self.informer.resource}, {'held' if self._is_held else 'released'}>"
