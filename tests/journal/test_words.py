from __future__ import annotations

from reconciler.control_loop import EFFECTS, Again, Ending
from reconciler.journal import words
from reconciler.workqueue import Verdict


def test_the_words_of_verdicts_are_those_of_the_queue() -> None:
    assert {verdict.name: verdict.value for verdict in Verdict} == {
        name: getattr(words, name) for name in Verdict.__members__
    }


def test_the_words_of_endings_and_askers_are_those_of_the_control_loop() -> None:
    comes_back = {ending.value for ending, effect in EFFECTS.items() if effect.again is not Again.NEVER}
    assert comes_back == words.WANTS_BACK
    assert Ending.DONE.value == words.DONE
    assert {effect.by for effect in EFFECTS.values() if effect.by} == words.RETRIES
