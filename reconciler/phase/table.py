"""The phase table. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Generic, TypeVar

from reconciler.errors import ConfigurationError, PhaseError

__all__ = ["PhaseTable"]

P = TypeVar("P", bound=StrEnum)


class PhaseTable(Generic[P]):
    """
    The allowed moves between phases: each phase has a row, and a phase with an empty row is terminal.

    Raises:
        ConfigurationError: A phase of the enum has no row.
    """

    __slots__ = ("_moves", "terminal")

    def __init__(self, phases: type[P], moves: Mapping[P, Collection[P]]) -> None:
        """`moves` gives for each phase those that may follow it."""
        missing = [phase.name for phase in phases if phase not in moves]
        if missing:
            raise ConfigurationError(f"phase table of {phases.__name__}: no row for {', '.join(missing)}")
        self._moves = MappingProxyType({phase: frozenset(after) for phase, after in moves.items()})
        self.terminal = frozenset(phase for phase, after in self._moves.items() if not after)

    def is_terminal(self, phase: P) -> bool:
        """Whether nothing follows `phase`."""
        return phase in self.terminal

    def allows(self, old: P, new: P) -> bool:
        """Whether the table has the move; staying is a move like any other."""
        return new in self._moves[old]

    def check(self, old: P, new: P) -> None:
        """
        Accept a move, or say why not.

        Raises:
            PhaseError: The table has no such move; the message lists those it has.
        """
        if self.allows(old, new):
            return
        allowed = ", ".join(sorted(repr(str(phase)) for phase in self._moves[old])) or "nothing: it is terminal"
        raise PhaseError(f"phase {str(new)!r} cannot follow {str(old)!r}; what can: {allowed}")

    def diagram(self) -> Iterator[str]:
        """Yield the table as the lines of a Mermaid state diagram."""
        yield "stateDiagram-v2"
        for old, after in self._moves.items():
            for new in sorted(after):
                yield f"    {_state(old)} --> {_state(new)}"
            if not after:
                yield f"    {_state(old)} --> [*]"


def _state(phase: StrEnum) -> str:
    return str(phase) or "[*]"
