"""The phases of a NotificationRequest. `TABLE` is the only list of them; whatever is terminal follows from it."""

from __future__ import annotations

from enum import StrEnum

from reconciler.phase import PhaseTable

__all__ = ["TABLE", "Phase"]


class Phase(StrEnum):
    """Where a notification stands; the values are what `status.phase` holds."""

    UNSET = ""
    PENDING = "Pending"
    SENDING = "Sending"
    RETRYING = "Retrying"
    SENT = "Sent"
    PARTIALLY_SENT = "PartiallySent"
    FAILED = "Failed"


_DECIDED = {Phase.SENT, Phase.RETRYING, Phase.PARTIALLY_SENT, Phase.FAILED}

TABLE = PhaseTable(Phase, {
    Phase.UNSET:          {Phase.PENDING},
    Phase.PENDING:        {Phase.SENDING, Phase.FAILED},
    Phase.SENDING:        _DECIDED,
    Phase.RETRYING:       _DECIDED,
    Phase.SENT:           (),
    Phase.PARTIALLY_SENT: (),
    Phase.FAILED:         (),
})  # fmt: skip
"""The moves between phases; a phase with an empty row is terminal."""
