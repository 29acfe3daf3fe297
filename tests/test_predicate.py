from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from reconciler.api import FieldSelector, LabelSelector
from reconciler.errors import ConfigurationError
from reconciler.event import CreateEvent, DeleteEvent, Event, GenericEvent, UpdateEvent
from reconciler.predicate import (
    AndPredicate,
    AnnotationChangedPredicate,
    Combinable,
    GenerationChangedPredicate,
    LabelChangedPredicate,
    LabelSelectorPredicate,
    NotPredicate,
    OrPredicate,
    Predicate,
    PredicateFuncs,
    ResourceVersionChangedPredicate,
    UIDChangedPredicate,
    check_predicates,
    new_predicate_funcs,
    predicate_name,
)
from tests.cache.objects import encoded

BEFORE = encoded("a", 1, generation=1, labels={"app": "web"}, annotations={"note": "x"})
AGAIN = UpdateEvent(BEFORE, BEFORE)
MOVED = UpdateEvent(BEFORE, encoded("a", 2, generation=1, labels={"app": "web"}, annotations={"note": "x"}))
RESIZED = UpdateEvent(BEFORE, encoded("a", 2, generation=2, labels={"app": "web"}, annotations={"note": "x"}))
LABELLED = UpdateEvent(BEFORE, encoded("a", 2, generation=1, labels={"app": "db"}, annotations={"note": "x"}))
NOTED = UpdateEvent(BEFORE, encoded("a", 2, generation=1, labels={"app": "web"}, annotations={"note": "y"}))
REMADE = UpdateEvent(
    BEFORE, encoded("a", 2, uid="another", generation=1, labels={"app": "web"}, annotations={"note": "x"})
)
UPDATES = {
    "again": AGAIN,
    "moved": MOVED,
    "resized": RESIZED,
    "labelled": LABELLED,
    "noted": NOTED,
    "remade": REMADE,
}
OTHERS: tuple[Event, ...] = (CreateEvent(BEFORE), DeleteEvent(BEFORE), GenericEvent(BEFORE.key))


@pytest.mark.parametrize(
    ("predicate", "passed"),
    [
        pytest.param(GenerationChangedPredicate(), {"resized"}, id="generation"),
        pytest.param(ResourceVersionChangedPredicate(), UPDATES.keys() - {"again"}, id="resource version"),
        pytest.param(LabelChangedPredicate(), {"labelled"}, id="labels"),
        pytest.param(AnnotationChangedPredicate(), {"noted"}, id="annotations"),
        pytest.param(UIDChangedPredicate(), {"remade"}, id="uid"),
    ],
)
def test_a_predicate_of_change_drops_updates_without_that_change_and_nothing_else(
    predicate: Combinable, passed: set[str]
) -> None:
    assert {name for name, event in UPDATES.items() if predicate.lets_through(event)} == passed
    assert all(predicate.lets_through(event) for event in OTHERS)
    assert repr(predicate) == predicate_name(predicate) == type(predicate).__name__


@pytest.mark.parametrize(
    ("selector", "fits"),
    [
        pytest.param({"app": "web"}, True, id="equal label"),
        pytest.param({"app": "web", "tier": "db"}, False, id="a label that is missing"),
        pytest.param({}, True, id="no label"),
        pytest.param("app=web,!canary", True, id="kubectl's notation"),
        pytest.param("app!=web", False, id="not equal"),
        pytest.param("", True, id="empty text"),
        pytest.param(LabelSelector().in_("app", ["web"]), True, id="a selector"),
    ],
)
def test_a_label_selector_goes_by_the_labels_of_the_object(selector: Mapping[str, str] | object, fits: bool) -> None:
    predicate = LabelSelectorPredicate(selector)
    assert [predicate.lets_through(event) for event in (CreateEvent(BEFORE), DeleteEvent(BEFORE))] == [fits, fits]


def test_a_label_selector_goes_by_the_new_labels_of_an_update_and_lets_an_event_without_labels_through() -> None:
    predicate = LabelSelectorPredicate({"app": "web"})
    assert not predicate.lets_through(LABELLED)
    assert predicate.lets_through(UpdateEvent(LABELLED.new, BEFORE))
    assert predicate.lets_through(GenericEvent(BEFORE.key))
    assert not predicate.lets_through(GenericEvent(BEFORE.key, LABELLED.new))


YES, NO = PredicateFuncs(name="Yes"), PredicateFuncs(create=lambda event: event.is_initial, name="No")
CREATED = CreateEvent(BEFORE)


def test_an_object_that_was_made_anew_unseen_is_let_through_by_a_predicate_of_change_and_the_uid() -> None:
    predicate = GenerationChangedPredicate() | UIDChangedPredicate()
    assert {name for name, event in UPDATES.items() if predicate.lets_through(event)} == {"resized", "remade"}
    assert predicate.name == "(GenerationChangedPredicate | UIDChangedPredicate)"


class Foreign:
    """A predicate that knows nothing of operators."""

    def lets_through(self, event: Event) -> bool:
        return event.key.name == "a"


@pytest.mark.parametrize(
    ("predicate", "passes", "name"),
    [
        pytest.param(YES & YES, True, "(Yes & Yes)", id="both"),
        pytest.param(YES & NO, False, "(Yes & No)", id="one of two where both are asked for"),
        pytest.param(NO | YES, True, "(No | Yes)", id="one of two where one is enough"),
        pytest.param(NO | NO, False, "(No | No)", id="neither"),
        pytest.param(~NO, True, "~No", id="the opposite of no"),
        pytest.param(~YES, False, "~Yes", id="the opposite of yes"),
        pytest.param(~(YES & ~NO) | NO, False, "(~(Yes & ~No) | No)", id="nested"),
        pytest.param(AndPredicate(YES, YES, NO), False, "(Yes & Yes & No)", id="three, all"),
        pytest.param(OrPredicate(NO, NO, YES), True, "(No | No | Yes)", id="three, any"),
        pytest.param(NotPredicate(Foreign()), False, "~Foreign", id="the opposite of a foreign one"),
        pytest.param(Foreign() & YES, True, "(Foreign & Yes)", id="a foreign one on the left of and"),
        pytest.param(NO & Foreign(), False, "(No & Foreign)", id="a foreign one on the right of and"),
        pytest.param(Foreign() | NO, True, "(Foreign | No)", id="a foreign one on the left of or"),
        pytest.param(NO | Foreign(), True, "(No | Foreign)", id="a foreign one on the right of or"),
    ],
)
def test_predicates_combine_and_the_combination_is_named_by_its_parts(
    predicate: Combinable, passes: bool, name: str
) -> None:
    assert predicate.lets_through(CREATED) is passes
    assert predicate_name(predicate) == repr(predicate) == name


def test_what_a_combination_does_not_need_to_know_is_not_asked() -> None:
    def explode(event: CreateEvent) -> bool:
        raise AssertionError(event)

    bomb = PredicateFuncs(create=explode)
    assert not (NO & bomb).lets_through(CREATED)
    assert (YES | bomb).lets_through(CREATED)


def test_a_name_never_gets_long() -> None:
    predicate: Combinable = GenerationChangedPredicate()
    for _ in range(20):
        predicate = predicate | LabelChangedPredicate()
    name = predicate_name(predicate)
    assert (len(name), name[-3:]) == (120, "...")
    assert len(predicate_name(~predicate)) == 120


def test_functions_are_asked_about_their_own_event_and_the_rest_is_let_through() -> None:
    predicate = PredicateFuncs(update=lambda event: event.old.generation == 7)
    assert not predicate.lets_through(RESIZED)
    assert all(predicate.lets_through(event) for event in OTHERS)
    nothing = PredicateFuncs(
        create=lambda event: event.is_initial,
        update=lambda event: event.old is event.new,
        delete=lambda event: not event.is_final_state_known,
        generic=lambda event: event.new is not None,
    )
    assert not any(nothing.lets_through(event) for event in (*OTHERS, RESIZED))
    assert predicate_name(nothing) == "PredicateFuncs"


def test_one_function_may_judge_the_newest_object_of_every_event() -> None:
    predicate = new_predicate_funcs(lambda obj: obj.generation == 2, name="SecondGeneration")
    new = RESIZED.new
    old_ones = (CreateEvent(BEFORE), DeleteEvent(BEFORE), GenericEvent(BEFORE.key, BEFORE), UpdateEvent(new, BEFORE))
    assert not any(predicate.lets_through(event) for event in old_ones)
    new_ones = (CreateEvent(new), DeleteEvent(new), GenericEvent(new.key, new), RESIZED, GenericEvent(new.key))
    assert all(predicate.lets_through(event) for event in new_ones)
    assert predicate_name(predicate) == "SecondGeneration"


def test_a_predicate_without_a_name_of_its_own_is_named_by_its_class() -> None:
    assert predicate_name(Foreign()) == "Foreign"


def test_predicates_that_are_some_are_returned_in_their_order() -> None:
    found: list[Predicate] = [Foreign(), GenerationChangedPredicate()]
    assert check_predicates(iter(found)) == tuple(found)


async def decides(event: object) -> bool:
    return bool(event)


class Waiting:
    async def lets_through(self, event: Event) -> bool:
        return bool(event)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda: check_predicates([Waiting()]), id="a method"),  # type: ignore[list-item]  # the error is the test
        pytest.param(lambda: NotPredicate(Waiting()), id="combined"),  # type: ignore[arg-type]  # the error is the test
        pytest.param(lambda: PredicateFuncs(delete=decides), id="one of four"),  # type: ignore[arg-type]  # the error is the test
        pytest.param(lambda: new_predicate_funcs(decides), id="one for all"),  # type: ignore[arg-type]  # the error is the test
    ],
)
def test_an_async_predicate_which_would_let_everything_through_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError, match=r"a predicate is called where nothing may wait.*is async"):
        wrong()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        pytest.param(AndPredicate, r"AndPredicate\(\) combines nothing", id="and of nothing"),
        pytest.param(OrPredicate, r"OrPredicate\(\) combines nothing", id="or of nothing"),
        pytest.param(
            lambda: check_predicates([GenerationChangedPredicate]),  # type: ignore[list-item]  # the error is the test
            r"write GenerationChangedPredicate\(\)",
            id="a class",
        ),
        pytest.param(
            lambda: check_predicates(GenerationChangedPredicate()),  # type: ignore[arg-type]  # the error is the test
            r"write \[GenerationChangedPredicate\(\.\.\.\)\]",
            id="one instead of a list",
        ),
        pytest.param(
            lambda: check_predicates([len]),  # type: ignore[list-item]  # the error is the test
            "no method lets_through",
            id="a function",
        ),
        pytest.param(
            lambda: NotPredicate(LabelChangedPredicate),  # type: ignore[arg-type]  # the error is the test
            r"write LabelChangedPredicate\(\)",
            id="the opposite of a class",
        ),
        pytest.param(lambda: LabelSelectorPredicate("a=b=c"), "a=b=c", id="a text that is no selector"),
        pytest.param(lambda: LabelSelectorPredicate({"a": 1}), "label a: the value 1 is no text", id="a number"),
        pytest.param(lambda: LabelSelectorPredicate(None), "leave the predicate out", id="None"),
        pytest.param(
            lambda: LabelSelectorPredicate(FieldSelector({"a": "b"})), "takes a LabelSelector", id="a field selector"
        ),
    ],
)
def test_what_is_no_predicate_is_refused_when_it_is_given(wrong: Callable[[], Predicate], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        wrong()
