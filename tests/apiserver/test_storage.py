from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from reconciler.apiserver.storage import ChangeType, CompactedError, Storage


def obj(value: int = 0) -> dict[str, Any]:
    return {"metadata": {}, "value": value}


def test_each_write_takes_the_next_revision_over_all_buckets() -> None:
    storage = Storage()
    first = storage.put("a", "x", obj())
    second = storage.put("b", "x", obj())
    gone = storage.remove("a", "x")
    assert [first.revision, second.revision, gone.revision] == [2, 3, 4]
    assert second.obj["metadata"]["resourceVersion"] == "3"
    assert gone.obj["metadata"]["resourceVersion"] == "4"


def test_a_change_says_what_was_there_before() -> None:
    storage = Storage()
    old = storage.put("a", "x", obj(1))
    new = storage.put("a", "x", obj(2))
    storage.remove("a", "x")
    added, modified, deleted = storage.since("a", 1)
    assert (added.type, added.previous) == (ChangeType.ADDED, None)
    assert (modified.type, modified.previous, modified.entry) == (ChangeType.MODIFIED, old, new)
    assert (deleted.type, deleted.previous, deleted.entry.obj["value"]) == (ChangeType.DELETED, new, 2)


def test_an_old_revision_shows_what_stood_then() -> None:
    storage = Storage()
    storage.put("a", "x", obj(1))
    then = storage.put("a", "y", obj(1)).revision
    storage.put("a", "x", obj(2))
    storage.put("a", "z", obj(1))
    storage.remove("a", "y")
    assert [(key, entry.obj["value"]) for key, entry in storage.list("a", revision=then)] == [("x", 1), ("y", 1)]


def test_a_bounded_history_forgets_its_oldest_change_and_says_so() -> None:
    storage = Storage(history_max=2)
    for value in range(4):
        storage.put("a", "x", obj(value))
    assert [change.revision for change in storage.since("a", 3)] == [4, 5]
    with pytest.raises(CompactedError, match=r"too old resource version: 2 \(3\)"):
        storage.since("a", 2)
    with pytest.raises(CompactedError):
        storage.list("a", revision=2)


def test_another_bucket_keeps_its_history() -> None:
    storage = Storage(history_max=1)
    storage.put("quiet", "x", obj())
    for value in range(3):
        storage.put("loud", "x", obj(value))
    assert len(storage.since("quiet", 1)) == 1


def test_compaction_leaves_the_present_revision_to_go_on_from() -> None:
    storage = Storage()
    storage.put("a", "x", obj())
    storage.compact()
    assert storage.since("a", storage.revision) == []
    with pytest.raises(CompactedError):
        storage.since("a", storage.revision - 1)


def test_a_listener_is_woken_by_its_bucket_until_it_leaves() -> None:
    storage = Storage()
    woken: list[int] = []
    leave = storage.listen("a", lambda: woken.append(storage.revision))
    storage.put("a", "x", obj())
    storage.put("b", "x", obj())
    leave()
    storage.put("a", "x", obj(1))
    assert (woken, storage.listener_count) == ([2], 0)


def test_a_history_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="history_max must be at least 1"):
        Storage(history_max=0)


class StorageMachine(RuleBasedStateMachine):
    """Every kept revision reads as it stood, and replaying the history from it gives the present."""

    def __init__(self) -> None:
        super().__init__()
        self.storage = Storage(history_max=5)
        self.states: dict[int, dict[str, int]] = {1: {}}

    def present(self) -> dict[str, int]:
        return {key: entry.obj["value"] for key, entry in self.storage.list("a")}

    @rule(key=st.sampled_from("xyz"), value=st.integers(0, 9))
    def put(self, key: str, value: int) -> None:
        self.storage.put("a", key, obj(value))
        self.states[self.storage.revision] = self.present()

    @rule(key=st.sampled_from("xyz"))
    def remove(self, key: str) -> None:
        if self.storage.get("a", key) is not None:
            self.storage.remove("a", key)
            self.states[self.storage.revision] = self.present()

    @rule()
    def write_elsewhere(self) -> None:
        self.storage.put("b", "x", obj())
        self.states[self.storage.revision] = self.present()

    @rule()
    def compact(self) -> None:
        self.storage.compact()

    @invariant()
    def the_past_is_told_truly_or_not_at_all(self) -> None:
        for revision, state in self.states.items():
            try:
                listed = self.storage.list("a", revision=revision)
                replayed = dict(state)
                for change in self.storage.since("a", revision):
                    if change.type is ChangeType.DELETED:
                        del replayed[change.key]
                    else:
                        replayed[change.key] = change.entry.obj["value"]
            except CompactedError:
                continue
            if revision == self.storage.revision:
                assert {key: entry.obj["value"] for key, entry in listed} == self.present()
            else:
                assert {key: entry.obj["value"] for key, entry in listed} == state
            assert replayed == self.present()


TestStorage = StorageMachine.TestCase
