"""
Detectors: what looks wrong in the records of one key. Pure.

A detector says what it saw and names the records. It is certain, or it has a suspicion: records show what was asked
and what ran, and not whether the work was finished.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from reconciler.journal.hotloop import ROUNDS_CERTAIN, Loop, Round, longest_loop
from reconciler.journal.lost import Loss, find_loss
from reconciler.journal.present import Present
from reconciler.journal.records import Asked, Changed, EventSeen, Record
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
        others: The controllers, or other keys, whose writes answer this key's in a hot loop; empty if it needs none.
    """

    kind: FindingKind
    said: Sentence
    record_ids: tuple[int, ...]
    is_certain: bool = True
    due_at: int | None = None
    fields: tuple[str, ...] = ()
    rounds: int = 0
    others: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What happened, with moments in seconds of the monotonic clock."""
        return str(self.said)


_PARTS: Mapping[int, str] = {
    int(Changed.GENERATION): "spec",
    int(Changed.LABELS): "labels",
    int(Changed.ANNOTATIONS): "annotations",
    int(Changed.FINALIZERS): "finalizers",
    int(Changed.OWNERS): "owner references",
    int(Changed.OTHER): "status or other",
}
"""What a change of each part is called; a generation moves with the spec."""


def findings_of(
    records: Sequence[Record], present: Present, links: Mapping[int, int], neighbours: Iterable[Record] = ()
) -> tuple[Finding, ...]:
    """
    Return what all detectors say of one key's records.

    Args:
        records: Oldest first.
        present: What stands after them.
        links: From own events to the writes that did them.
        neighbours: Records of other controllers and keys, whose writes may be what the key's events show.
    """
    found = (lost_wake_up(records, present, links), hot_loop(records, links, neighbours))
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


def hot_loop(records: Sequence[Record], links: Mapping[int, int], neighbours: Iterable[Record] = ()) -> Finding | None:
    """
    Say whether the controller keeps itself busy: its own write comes back as an event, whose pass writes again.

    A write is known in an event by the version of its answer, also one that carried no resourceVersion. Another
    controller of the process may stand between the two: it answers the write by one of its own, which starts the pass.

    At least 3 rounds in a row over one object, with no foreign event and no waiting in between. The longest run is
    told, the latest of equals, but first of all one of 5 rounds that is going on. That one is certain, as fewer rounds
    can be the steps of a state machine. It is not where it is known that nothing changed in every round, where the
    other controller writes something else than this one, or where a write carried no resourceVersion: that may have
    changed nothing, and have returned what another process made just then.

    Args:
        records: Of one key, oldest first.
        links: From own events to the writes that did them.
        neighbours: Records of other controllers and keys, whose writes may be what the key's events show.
    """
    loop = longest_loop(records, links, neighbours)
    if loop is None:
        return None
    rounds = loop.rounds
    fields = _fields_in_all(rounds)
    others = sorted({_who(one) for one in rounds if one.answer is not None})
    span = rounds[-1].started.at - rounds[0].wrote.at
    text = (
        f"{len(rounds)} rounds in {seconds_in_words(span)}, from ",
        rounds[0].wrote.at,
        f": each pass wrote ({rounds[-1].wrote.verb} {rounds[-1].wrote.target}), {_brought(rounds, others)}; "
        f"{_resting(loop)}{_flipping(rounds, fields)}{_unknown_to_hold(rounds)}{_unproven(loop)}",
    )
    ids = {record.id for one in rounds for record in (one.wrote, one.event, one.started)}
    return Finding(
        FindingKind.HOT_LOOP,
        Sentence(text),
        tuple(sorted(ids)),
        is_certain=_is_certain(loop, fields),
        fields=fields,
        rounds=len(rounds),
        others=tuple(others),
    )


def _is_certain(loop: Loop, fields: Sequence[str]) -> bool:
    if loop.times < ROUNDS_CERTAIN or not loop.is_going or not loop.is_proven:
        return False
    if any(one.answer is not None and one.answer.target != one.wrote.target for one in loop.rounds):
        return False
    return bool(fields) or (not _is_known(loop.rounds) and bool(_parts_in_all(loop.rounds)))


def _who(one: Round) -> str:
    answer = one.answer
    assert answer is not None
    return answer.scope if answer.scope != one.started.scope else f"{answer.scope} {answer.key}"


def _brought(rounds: Sequence[Round], others: Sequence[str]) -> str:
    if not others:
        return "and that write alone brought the next pass"
    last = next(one.answer for one in reversed(rounds) if one.answer is not None)
    return (
        f"{' and '.join(others)} wrote in return ({last.verb} {last.target}), and nothing but these writes brought the "
        "next pass"
    )


def _resting(loop: Loop) -> str:
    if loop.rest is not None:
        return f"pass #{loop.rest.id} then wrote nothing; "
    return "" if loop.is_going else f"it has ended with pass #{loop.rounds[-1].started.id}; "


def _is_known(rounds: Sequence[Round]) -> bool:
    return all(one.fields for one in rounds)


def _fields_in_all(rounds: Sequence[Round]) -> tuple[str, ...]:
    named = {field for one in rounds for field in one.fields}
    return tuple(sorted(field for field in named if all(_names(one, field) for one in rounds)))


def _parts_in_all(rounds: Sequence[Round]) -> tuple[str, ...]:
    """Return the parts of the object, in words, that changed in every round."""
    return tuple(word for part, word in _PARTS.items() if all(one.changed & part for one in rounds))


def _names(one: Round, field: str) -> bool:
    # The write that makes `status` names `status`, and with it all that is in it.
    return any(field == path or field.startswith(f"{path}.") for path in one.fields)


def _flipping(rounds: Sequence[Round], fields: Sequence[str]) -> str:
    if fields:
        more = f" and {len(fields) - _FIELDS_SHOWN} more" if len(fields) > _FIELDS_SHOWN else ""
        return f"changed each time: {', '.join(fields[:_FIELDS_SHOWN])}{more}"
    if _is_known(rounds):
        return "no field changed in every round"
    parts = _parts_in_all(rounds)
    if not parts:
        return "no part of the object changed in every round"
    return f"changed each time: {', '.join(parts)}; which fields is not recorded"


def _unknown_to_hold(rounds: Sequence[Round]) -> str:
    if any(one.wrote.old_version or one.answer is not None for one in rounds):
        return ""
    return (
        "; the writes carried no resourceVersion, so Result(hold=True) takes them for another's: write what was read "
        "(update, status.update), or nothing where nothing changed"
    )


def _unproven(loop: Loop) -> str:
    if loop.is_proven:
        return ""
    return (
        "; a write without a resourceVersion may have changed nothing, and have returned a version that another "
        "process made: compare what changed with what it sent"
    )


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
