"""
Detectors: what looks wrong in the records of one key. Pure.

A detector says what it saw and names the records. It is certain, or it has a suspicion: records show what was asked
and what ran, and not whether the work was finished.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from reconciler.journal.hotloop import Round, longest_loop
from reconciler.journal.lost import Loss, find_loss
from reconciler.journal.present import Present
from reconciler.journal.records import Asked, EventSeen, Record
from reconciler.journal.sentence import Sentence, event_in_words, seconds_in_words

__all__ = ["Finding", "FindingKind", "findings_of", "hot_loop", "lost_wake_up"]

_FIELDS_SHOWN = 4


class FindingKind(Enum):
    """What is wrong."""

    LOST_WAKE_UP = "lost wake-up"
    HOT_LOOP = "hot loop"


@dataclass(frozen=True, slots=True)
class Finding:
    """
    Something that looks wrong.

    Attributes:
        said: What happened; `sentence` is the same as text.
        record_ids: The records that show it, oldest first.
        is_certain: False if it is a fault only where the work was not finished.
        due_at: When the lost wake-up would have come; None for other kinds.
        fields: The fields that changed in every round of a hot loop.
        rounds: Rounds of a hot loop.
    """

    kind: FindingKind
    said: Sentence
    record_ids: tuple[int, ...]
    is_certain: bool = True
    due_at: int | None = None
    fields: tuple[str, ...] = ()
    rounds: int = 0

    @property
    def sentence(self) -> str:
        """What happened, with moments in seconds of the monotonic clock."""
        return str(self.said)


_ROUNDS_CERTAIN = 5


def findings_of(records: Sequence[Record], present: Present, links: Mapping[int, int]) -> tuple[Finding, ...]:
    """Return what all detectors say of one key's records; `links` leads from own events to the writes that did them."""
    found = (lost_wake_up(records, present, links), hot_loop(records, links))
    return tuple(finding for finding in found if finding is not None)


def lost_wake_up(
    records: Sequence[Record], present: Present | None = None, links: Mapping[int, int] | None = None
) -> Finding | None:
    """
    Say whether a pass asked for a retry that is not coming: nothing is pending for the key, and none came since.

    It is certain if no pass ended well since. If one did, and asked for nothing, that was right if the work was
    finished; once a pass that somebody else's event started ends well, nothing is said any more. A stop of the process
    loses no wake-up, nor does a delayed ask whose time came when the key was ready already.

    Args:
        records: Of one key, oldest first.
        present: What stands after them; None derives it from them.
        links: From own events to the writes that did them.
    """
    if present is None:
        present = Present()
        present.follow(records)
    if present.has_pending or present.is_shut_down:
        return None
    loss = find_loss(records, links or {})
    if loss is None:
        return None
    parts = (*_asking(loss), *_beating(loss, links or {}), *_since(loss))
    return Finding(FindingKind.LOST_WAKE_UP, Sentence(parts), loss.record_ids(), loss.is_certain, loss.due_at)


def hot_loop(records: Sequence[Record], links: Mapping[int, int]) -> Finding | None:
    """
    Say whether the controller keeps itself busy: its own write comes back as an event, whose pass writes again.

    At least 3 rounds in a row, with no foreign event, no change of generation and no waiting in between. The longest
    run is told, the latest of equals. It is certain from 5 rounds on, unless it is known that no field changed in every
    round: fewer can be the steps of a state machine.

    Args:
        records: Of one key, oldest first.
        links: From own events to the writes that did them.
    """
    rounds = longest_loop(records, links)
    if not rounds:
        return None
    fields = _fields_in_all(rounds)
    is_known = all(one.fields for one in rounds)
    span = rounds[-1].started.at - rounds[0].wrote.at
    text = (
        f"{len(rounds)} rounds in {seconds_in_words(span)}, from ",
        rounds[0].wrote.at,
        f": each pass wrote ({rounds[-1].wrote.verb} {rounds[-1].wrote.target}), and that write alone brought the next "
        f"pass; {_flipping(fields, is_known=is_known)}",
    )
    ids = {record.id for one in rounds for record in (one.wrote, one.event, one.started)}
    return Finding(
        FindingKind.HOT_LOOP,
        Sentence(text),
        tuple(sorted(ids)),
        is_certain=len(rounds) >= _ROUNDS_CERTAIN and (bool(fields) or not is_known),
        fields=fields,
        rounds=len(rounds),
    )


def _fields_in_all(rounds: Sequence[Round]) -> tuple[str, ...]:
    named = {field for one in rounds for field in one.fields}
    return tuple(sorted(field for field in named if all(_names(one, field) for one in rounds)))


def _names(one: Round, field: str) -> bool:
    # The write that makes `status` names `status`, and with it all that is in it.
    return any(field == path or field.startswith(f"{path}.") for path in one.fields)


def _flipping(fields: Sequence[str], *, is_known: bool) -> str:
    if fields:
        more = f" and {len(fields) - _FIELDS_SHOWN} more" if len(fields) > _FIELDS_SHOWN else ""
        return f"changed each time: {', '.join(fields[:_FIELDS_SHOWN])}{more}"
    return "no field changed in every round" if is_known else "which fields changed is not recorded"


def _asking(loss: Loss) -> tuple[str | int, ...]:
    asker = f"pass #{loss.started.id}" if loss.started else "a pass whose start is no longer kept"
    if loss.ask is None:
        ended = f"#{loss.ended.id}" if loss.ended else "it"
        return (f"{asker} wanted to come back ({ended}), and nobody asked the queue for it",)
    return (f"{asker} asked for a retry ({loss.ask.by}, #{loss.ask.id}) at ", loss.due_at)


def _beating(loss: Loss, links: Mapping[int, int]) -> tuple[str | int, ...]:
    if loss.ask is None:
        return ()
    if loss.beater is None:
        return ("; what beat it is no longer kept",)
    return ("; ", *_beater_in_words(loss.beater, loss.events, links), " beat it")


def _beater_in_words(beater: Asked, events: Sequence[EventSeen], links: Mapping[int, int]) -> tuple[str | int, ...]:
    if beater.by != "event":
        return (f"the sooner {beater.by} #{beater.id} at ", beater.ready_at)
    if not events:
        return (f"an event that is no longer kept (its ask is #{beater.id})",)
    said = " and ".join(
        f"event #{event.id} ({event_in_words(event, is_linked=event.id in links)}"
        + (f" #{links[event.id]})" if event.id in links else ")")
        for event in events
    )
    return (f"{said} at ", events[0].at)


def _since(loss: Loss) -> tuple[str | int, ...]:
    if loss.ended_well:
        last = loss.ended_well[-1]
        number = last.causes[0] if last.causes else last.id
        return (
            f"; nothing is asked for now. Pass #{number} ended well since and asked for nothing: "
            "right if the work is finished, otherwise the reconciler forgot to ask again",
        )
    return ("; nothing is asked for now, and no pass has ended well since",)
