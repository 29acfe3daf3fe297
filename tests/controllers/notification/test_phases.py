from __future__ import annotations

from itertools import product

from reconciler.controllers.notification.phases import TABLE, Phase

ALLOWED = {
    ("", "Pending"),
    ("Pending", "Sending"),
    ("Pending", "Failed"),
    ("Sending", "Sent"),
    ("Sending", "Retrying"),
    ("Sending", "PartiallySent"),
    ("Sending", "Failed"),
    ("Retrying", "Sent"),
    ("Retrying", "Retrying"),
    ("Retrying", "PartiallySent"),
    ("Retrying", "Failed"),
}


def test_exactly_the_moves_of_the_original_are_allowed() -> None:
    assert {(a.value, b.value) for a, b in product(Phase, Phase) if TABLE.allows(a, b)} == ALLOWED


def test_sent_partially_sent_and_failed_are_terminal() -> None:
    assert TABLE.terminal == {Phase.SENT, Phase.PARTIALLY_SENT, Phase.FAILED}
