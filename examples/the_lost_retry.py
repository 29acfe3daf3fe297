"""
Tells how a retry was lost, who was suspected, and what it really was: `python examples/the_lost_retry.py`.

Everything runs: the controller with both of its queues, the embedded API server, the journal. Only time is virtual. The
reconciler is in `lost_retry_reconciler.py`; `lost_retry_stage.py` is what it runs on.
"""

import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, pairwise

from lost_retry_reconciler import Gate, Version
from lost_retry_stage import Take, play, play_the_real_one

from reconciler.journal import Asked, FindingKind, Noted, PassEnded, PassStarted, Promoted, Record, Wrote
from reconciler.workqueue import Discipline

QUEUES: tuple[Discipline, ...] = ("classic", "priority")

LIKE_THE_ORIGINAL = Version(knows_transient=False, gate=Gate.NONE, counts_this_pass=False)
TRANSIENT = Version(gate=Gate.NONE, counts_this_pass=False)
GATED_IN_RETRYING = Version(gate=Gate.RETRYING, counts_this_pass=False)
FORGETFUL = Version(asks_again=False)
MENDED = Version()

Takes = dict[Discipline, Take]


def story() -> Iterator[str]:
    yield from prologue()
    takes = on_both(LIKE_THE_ORIGINAL, seconds=180)
    yield from symptom(takes)
    yield from suspects(takes)
    yield from first_that_hid()
    yield from second_that_hid()
    yield from another_way()
    yield from mended()
    yield from promise()


def prologue() -> Iterator[str]:
    yield from heading("The lost retry")
    yield from prose(
        """
        A notice goes to the console and to a file. The console works; the file's directory cannot be written. The
        policy: five attempts, 30 s after the first failure, then 60, 120 and 240 s. The reconciler sends, writes what
        came of it into the status, and asks to come back in 30 s. Three minutes later there still is only one attempt
        at the file. Where did the retry go?
        """
    )
    yield from prose(
        """
        A small reconciler runs here with the faults that the original had. "classic" is client-go's queue, which the
        original ran on; "priority" is the default of today's controller-runtime. A send takes 10 ms, the server answers
        at once. Figures are seconds: when an attempt ended, when a record was written.
        """
    )


def symptom(takes: Takes) -> Iterator[str]:
    yield from heading("1. The symptom")
    yield from summary(takes)
    yield from prose("The journal of the run on the classic queue:")
    yield from journal(takes["classic"], is_telling)


def suspects(takes: Takes) -> Iterator[str]:
    classic, priority = takes["classic"], takes["priority"]
    ended, asked = classic.first(PassEnded), classic.first(Asked, is_asking_for_a_retry)
    came = classic.first(Promoted)
    woken = classic.first(PassStarted, lambda started: started.causes[0] == asked.id)
    yield from heading("2. The suspects")
    yield from question("Did the pass forget to ask?", f"No, on both queues: #{ended.id}, #{asked.id}.")
    yield from question(
        "Did the event of the controller's own status write swallow the wake-up?",
        f"""
        On the classic queue, no. A delayed ask and a ready one stand side by side there: lost wake-ups
        {len(classic.explanation.lost)}. #{came.id} is the time of #{asked.id}, and #{woken.id} the pass that it
        started. On the priority queue, yes. A key has one entry there, with one time, the soonest: lost wake-ups
        {len(priority.explanation.lost)}.
        """,
    )
    yield from journal(priority, is_about_the_loss(priority))
    yield from findings(priority, FindingKind.LOST_WAKE_UP)
    yield from question(
        "So the queue did it, at least there?",
        f"""
        Both queues show the same symptom, and the finding says what to look at: was the work finished? It was.
        {notes_in_words(takes, "nothing to do")}. A wake-up that comes to a finished notice changes nothing, and so does
        one that is lost.
        """,
    )
    decision = classic.first(Noted, lambda note: note.topic == "decided")
    stored = classic.first(Noted, lambda note: note.topic == "sent" and "file" in note.text)
    chain = ", ".join(f"#{record.id}" for record in classic.explanation.chain(decision.id))
    yield from question(
        "Who set that phase, then, with four attempts left?",
        f"""
        #{decision.id} did; the chain of causes that leads there is {chain}. The second pass, brought by the first one's
        write, took the file for finished, since the first one (#{stored.id}) had stored "permanent failure" for a
        directory that may be mended any minute.
        """,
    )
    yield from prose(
        """
        THE CAUSE: the file's error was stored as permanent, so that every channel counted as finished after one
        attempt, and the phase became PartiallySent, which is terminal. Two more faults hid behind it.
        """
    )


def first_that_hid() -> Iterator[str]:
    takes = on_both(TRANSIENT)
    yield from heading("3. Behind it: every attempt at once")
    yield from prose("The error is stored as one that a later attempt may mend. Nothing else changes.")
    yield from summary(takes)
    yield from prose(
        """
        All five in 40 ms; on the original's real server it was about 150 ms. Each status write comes back as an event,
        which starts a pass, and the pass sends: only the queue's delay was to hold it back. On the priority queue:
        """
    )
    yield from journal(takes["priority"], lambda record: is_telling(record) and 11 <= record.id <= 18)
    yield from findings(takes["priority"], FindingKind.HOT_LOOP)
    yield from prose(f"Hot loops found: {count(takes, FindingKind.HOT_LOOP)}.")


def second_that_hid() -> Iterator[str]:
    yield from heading("4. Behind that: every attempt at once, if no channel works")
    yield from prose(
        """
        In phase Retrying, a pass now computes from the stored attempts when the next one is due, and if that is later
        only asks for the time that is left. While only the file is broken, that is enough:
        """
    )
    yield from summary(on_both(GATED_IN_RETRYING))
    yield from prose("With the console broken as well, the phase stays Sending, where no pass looks:")
    takes = on_both(GATED_IN_RETRYING, broken=("console", "file"))
    yield from summary(takes)
    yield from findings(takes["priority"], FindingKind.HOT_LOOP)
    yield from prose(f"Hot loops found: {count(takes, FindingKind.HOT_LOOP)}.")
    yield from prose(
        """
        (The original also drops a record that repeats the one before within a second. So this befell it with errors
        whose text changes from try to try; with a constant text it sent more often than it recorded.)
        """
    )


def another_way() -> Iterator[str]:
    takes = on_both(FORGETFUL)
    yield from heading("5. The suspect's own deed: a second way to the same symptom")
    yield from prose(
        """
        This one was not the original's. All is mended but one line: a pass that comes too early returns nothing,
        trusting that the wake-up which the pass before asked for still stands.
        """
    )
    yield from summary(takes)
    yield from prose("On the priority queue it does not, and nobody asks again:")
    yield from journal(takes["priority"], lambda record: is_telling(record) and record.id >= 7)
    yield from findings(takes["priority"], FindingKind.LOST_WAKE_UP)
    yield from prose(
        f"""
        The finding of 2 once more, and the same symptom. But what the last pass noted is not "nothing to do", it is
        "wait" (#{takes["priority"].last(Noted).id}): the work was not finished. That is how to tell the two apart.
        """
    )


def mended() -> Iterator[str]:
    yield from heading("6. Mended")
    yield from prose(
        """
        When the next attempt is due follows from the stored attempts and the policy, in every phase that is not
        terminal. A pass that comes too early asks for the time that is left. The end is decided in the pass of the last
        attempt. The file broken, then both:
        """
    )
    yield from summary(on_both(MENDED))
    yield from summary(on_both(MENDED, broken=("console", "file")))
    yield from prose(
        """
        This library's own notification controller, with a file where the directory should be. It writes before and
        after each send, and adds up to a tenth to each delay:
        """
    )
    takes: Takes = {queue: play_the_real_one(queue) for queue in QUEUES}
    yield from summary(takes)
    yield f"    gaps     {seconds(gaps(takes['priority'].times('file')))}"
    lost = ", ".join(f"{queue} {len(take.explanation.lost)}" for queue, take in takes.items())
    yield from prose(f"Wake-ups lost on the way: {lost}. Each pass asks again, so none of them was missed:")
    yield from journal(takes["priority"], lambda record: 1e9 < record.at < 31e9 and is_asking_for_a_retry(record))


def promise() -> Iterator[str]:
    takes = on_both(Version(hold=True))
    yield from heading("7. What a promise adds: Result(requeue_after=..., hold=True)")
    yield from prose("The wake-up is owed, and the controller's own events wait with the key until it comes:")
    yield from summary(takes)
    yield from journal(
        takes["priority"],
        lambda record: 0.02e9 <= record.at <= 30.02e9 and not isinstance(record, Noted | PassEnded | Wrote),
    )
    yield from prose("The one of 5, which forgets to ask again, loses nothing any more:")
    yield from summary(on_both(Version(asks_again=False, hold=True)))
    yield from prose(
        """
        It does not replace a look at the stored attempts. Without that, as in 3, all is well only until somebody else
        touches the notice, here at 10 s; the mended one looks, and waits:
        """
    )
    yield from summary(on_both(Version(gate=Gate.NONE, hold=True), touched_at=10))
    yield from summary(on_both(Version(hold=True), touched_at=10))


def on_both(
    version: Version, *, broken: Sequence[str] = ("file",), seconds: float = 1000, touched_at: float | None = None
) -> Takes:
    return {queue: play(version, queue, broken=broken, seconds=seconds, touched_at=touched_at) for queue in QUEUES}


def summary(takes: Takes) -> Iterator[str]:
    """Yield what came of a run; once for both queues where it is the same."""
    for (phase, sends), queues in groupby(QUEUES, lambda queue: (takes[queue].phase, takes[queue].sends)):
        names = list(queues)
        yield f"  {'both queues' if len(names) == len(QUEUES) else names[0]}: {phase}"
        for channel in ("console", "file"):
            yield f"    {channel:<8} {seconds([at for sent_to, at in sends if sent_to == channel])}"
        passes = {name: len(takes[name].passes) for name in names}
        is_same = len(set(passes.values())) == 1
        told = [str(number) + ("" if is_same else f" ({name})") for name, number in passes.items()]
        yield "    passes   " + ", ".join(told[:1] if is_same else told)


def journal(take: Take, is_wanted: Callable[[Record], bool]) -> Iterator[str]:
    yield ""
    yield from folded(take.lines(is_wanted))


def findings(take: Take, kind: FindingKind) -> Iterator[str]:
    yield from folded(line for line in take.verdict() if f"{kind.value}:" in line)


def count(takes: Takes, kind: FindingKind) -> str:
    found = {queue: sum(one.kind is kind for one in take.explanation.findings) for queue, take in takes.items()}
    return ", ".join(f"{queue} {number}" for queue, number in found.items())


def notes_in_words(takes: Takes, topic: str) -> str:
    said = [
        f"{queue} #{record.id}: {record.text}"
        for queue, take in takes.items()
        for record in take.records
        if isinstance(record, Noted) and record.topic == topic
    ]
    return "; ".join(said)


def is_telling(record: Record) -> bool:
    """Tell the records that matter here: all but the endings that ask for nothing."""
    return not isinstance(record, PassEnded) or record.asked_after > 0


def is_asking_for_a_retry(record: Record) -> bool:
    return isinstance(record, Asked) and record.by == "requeue_after"


def is_about_the_loss(take: Take) -> Callable[[Record], bool]:
    """Tell the records of the first lost wake-up: what asked, what beat it, and the event behind that."""
    lost = take.explanation.lost[0]
    beater = next(record for record in take.records if record.id == lost.beaten_by)
    ids = {lost.ask_id, lost.beaten_by, *beater.causes}
    return lambda record: record.id in ids


def heading(text: str) -> Iterator[str]:
    yield from ("", text, "=" * len(text))


def prose(text: str) -> Iterator[str]:
    yield from ("", *textwrap.wrap(" ".join(text.split()), 100), "")


def question(asked: str, answer: str) -> Iterator[str]:
    yield from ("", asked)
    yield from textwrap.wrap(" ".join(answer.split()), 100, initial_indent="  ", subsequent_indent="  ")


def folded(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield from textwrap.wrap(line, 120, subsequent_indent=" " * 19, break_on_hyphens=False)


def seconds(moments: Sequence[float]) -> str:
    return ", ".join(f"{moment:.3f}" for moment in moments)


def gaps(moments: Sequence[float]) -> list[float]:
    return [after - before for before, after in pairwise(moments)]


def one_blank_line(lines: Iterable[str]) -> Iterator[str]:
    before = ""
    for line in lines:
        if line or before:
            yield line
        before = line


if __name__ == "__main__":
    sys.stdout.write("\n".join(one_blank_line(story())).rstrip() + "\n")
