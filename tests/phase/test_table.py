from __future__ import annotations

from enum import StrEnum

import pytest

from reconciler.errors import ConfigurationError, PhaseError
from reconciler.phase import PhaseTable


class Light(StrEnum):
    RED = "red"
    GREEN = "green"
    BROKEN = "broken"


TABLE = PhaseTable(
    Light, {Light.RED: {Light.GREEN, Light.BROKEN}, Light.GREEN: {Light.RED, Light.BROKEN}, Light.BROKEN: ()}
)


def test_terminal_phases_are_those_that_nothing_follows() -> None:
    assert TABLE.terminal == {Light.BROKEN}
    assert TABLE.is_terminal(Light.BROKEN)
    assert not TABLE.is_terminal(Light.RED)


def test_a_phase_without_a_row_is_refused_when_the_table_is_built() -> None:
    with pytest.raises(ConfigurationError, match="no row for BROKEN"):
        PhaseTable(Light, {Light.RED: (), Light.GREEN: ()})


def test_a_move_that_is_not_in_the_table_is_refused_and_names_those_that_are() -> None:
    TABLE.check(Light.RED, Light.GREEN)
    with pytest.raises(PhaseError, match=r"'red' cannot follow 'red'; what can: 'broken', 'green'"):
        TABLE.check(Light.RED, Light.RED)
    with pytest.raises(PhaseError, match="what can: nothing: it is terminal"):
        TABLE.check(Light.BROKEN, Light.RED)


def test_the_diagram_has_an_arrow_for_each_move() -> None:
    assert list(TABLE.diagram()) == [
        "stateDiagram-v2",
        "    red --> broken",
        "    red --> green",
        "    green --> broken",
        "    green --> red",
        "    broken --> [*]",
    ]
