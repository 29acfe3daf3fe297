from __future__ import annotations

from reconciler.api import ObjectKey
from reconciler.cache.store import Put, Removed, Replaced, Store
from reconciler.event import CreateEvent, DeleteEvent, UpdateEvent

from .objects import encoded


def test_the_first_list_gives_initial_creates() -> None:
    store = Store()
    a = encoded("a", 1)

    assert store.apply(Replaced((a,))) == [CreateEvent(a, is_initial=True)]
    assert store.get(ObjectKey("default", "a")) is a


def test_an_object_put_for_the_first_time_is_created_whatever_the_watch_called_it() -> None:
    store = Store()
    a = encoded("a", 1)
    assert store.apply(Put(a)) == [CreateEvent(a, is_initial=False)]


def test_an_object_put_again_is_updated_from_the_state_before() -> None:
    store = Store()
    old, new = encoded("a", 1), encoded("a", 2)
    store.apply(Replaced((old,)))

    assert store.apply(Put(new)) == [UpdateEvent(old, new)]
    assert store.get(new.key) is new


def test_a_removed_object_is_gone_with_the_state_that_the_watch_named() -> None:
    store = Store()
    store.apply(Replaced((encoded("a", 1),)))
    last = encoded("a", 5)

    assert store.apply(Removed(last)) == [DeleteEvent(last)]
    assert len(store) == 0


def test_removing_what_is_not_there_is_no_event() -> None:
    assert Store().apply(Removed(encoded("a", 5))) == []


def test_a_relist_gives_creates_updates_and_deletes_with_the_last_known_state() -> None:
    store = Store()
    same, old, gone = encoded("same", 1), encoded("changed", 2), encoded("gone", 3)
    store.apply(Replaced((same, old, gone)))
    same_again, new, late = encoded("same", 1), encoded("changed", 7), encoded("late", 8)

    events = store.apply(Replaced((same_again, new, late)))

    assert events == [
        UpdateEvent(same, same_again),
        UpdateEvent(old, new),
        CreateEvent(late, is_initial=False),
        DeleteEvent(gone, is_final_state_known=False),
    ]
    assert sorted(item.key.name for item in store) == ["changed", "late", "same"]


def test_a_recreated_object_that_a_relist_shows_is_an_update_to_another_uid() -> None:
    store = Store()
    old, new = encoded("a", 1, uid="one"), encoded("a", 9, uid="two")
    store.apply(Replaced((old,)))
    assert store.apply(Replaced((new,))) == [UpdateEvent(old, new)]


def test_a_list_after_an_empty_one_is_no_longer_initial() -> None:
    store = Store()
    store.apply(Replaced(()))
    a = encoded("a", 1)
    assert store.apply(Replaced((a,))) == [CreateEvent(a, is_initial=False)]


def test_iterating_is_not_disturbed_by_changes_meanwhile() -> None:
    store = Store()
    store.apply(Replaced((encoded("a", 1), encoded("b", 1))))
    seen = []
    for item in store:
        seen.append(item.key.name)
        store.apply(Removed(item))
        store.apply(Put(encoded(f"{item.key.name}2", 3)))
    assert sorted(seen) == ["a", "b"]
