from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.client import OwnWrites
from reconciler.journal import Origin

ME = "notification"


def _wrote(ledger: OwnWrites, old: str, new: str, *, scope: str = ME, uid: str = "u") -> None:
    ledger.finished(ledger.started(scope, old, uid=uid), uid=uid, new_version=new)


def test_a_change_that_one_own_write_made_is_own() -> None:
    ledger = OwnWrites()
    _wrote(ledger, "1", "2")
    assert ledger.origin(ME, "u", "1", "2") is Origin.OWN


def test_a_change_over_several_own_writes_without_a_gap_is_own() -> None:
    ledger = OwnWrites()
    _wrote(ledger, "1", "2")
    _wrote(ledger, "2", "5")
    assert ledger.origin(ME, "u", "1", "5") is Origin.OWN


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("1", "6", id="goes further than the links"),
        pytest.param("1", "7", id="hides a foreign write between two own ones"),
        pytest.param("0", "2", id="begins before the links"),
        pytest.param("2", "2", id="is no change"),
        pytest.param("2", "1", id="goes back"),
        pytest.param("", "2", id="has no old version"),
    ],
)
def test_a_change_is_foreign_where_it(old: str, new: str) -> None:
    ledger = OwnWrites()
    _wrote(ledger, "1", "2")
    _wrote(ledger, "2", "5")
    _wrote(ledger, "6", "7")
    assert ledger.origin(ME, "u", old, new) is Origin.FOREIGN


def test_another_controllers_write_and_another_objects_write_are_foreign() -> None:
    ledger = OwnWrites()
    _wrote(ledger, "1", "2")
    assert ledger.origin("other", "u", "1", "2") is Origin.FOREIGN
    assert ledger.origin(ME, "v", "1", "2") is Origin.FOREIGN


def test_a_write_that_changed_nothing_leaves_no_link() -> None:
    ledger = OwnWrites()
    _wrote(ledger, "1", "1")
    assert len(ledger) == 0


@pytest.mark.parametrize(
    ("uid", "new"),
    [
        pytest.param("u", "", id="refused or lost: no new version"),
        pytest.param("", "2", id="an answer without a uid"),
    ],
)
def test_a_write_without_a_usable_answer_leaves_no_link(uid: str, new: str) -> None:
    ledger = OwnWrites()
    ledger.finished(ledger.started(ME, "1", uid="u"), uid=uid, new_version=new)
    assert len(ledger) == 0
    assert ledger.origin(ME, "u", "1", "2") is Origin.FOREIGN


def test_an_event_that_beats_its_writes_answer_is_undetermined_until_the_answer() -> None:
    # Given a write under way,
    ledger = OwnWrites()
    write = ledger.started(ME, "1", uid="u")
    # when its event comes first, nobody can say yet;
    assert ledger.origin(ME, "u", "1", "2") is Origin.UNDETERMINED
    # and the answer decides.
    ledger.finished(write, uid="u", new_version="2")
    assert ledger.origin(ME, "u", "1", "2") is Origin.OWN


def test_an_undetermined_event_becomes_foreign_when_the_write_is_refused() -> None:
    ledger = OwnWrites()
    write = ledger.started(ME, "1", uid="u")
    assert ledger.origin(ME, "u", "1", "2") is Origin.UNDETERMINED
    ledger.finished(write)
    assert ledger.origin(ME, "u", "1", "2") is Origin.FOREIGN


def test_a_write_under_way_counts_at_the_end_of_the_known_links() -> None:
    ledger = OwnWrites()
    _wrote(ledger, "1", "2")
    ledger.started(ME, "2", uid="u")
    assert ledger.origin(ME, "u", "1", "3") is Origin.UNDETERMINED
    assert ledger.origin(ME, "u", "4", "5") is Origin.FOREIGN


def test_a_write_of_another_object_or_controller_leaves_nothing_undetermined() -> None:
    ledger = OwnWrites()
    ledger.started(ME, "1", uid="other object")
    ledger.started("other controller", "1", uid="u")
    assert ledger.origin(ME, "u", "1", "2") is Origin.FOREIGN


def test_a_write_that_does_not_know_its_uid_may_be_any_objects() -> None:
    ledger = OwnWrites()
    ledger.started(ME, "1")
    assert ledger.origin(ME, "u", "1", "2") is Origin.UNDETERMINED


def test_of_two_writes_from_the_same_version_one_refusal_leaves_the_other_under_way() -> None:
    ledger = OwnWrites()
    refused, answered = ledger.started(ME, "1", uid="u"), ledger.started(ME, "1", uid="u")
    ledger.finished(refused)
    assert ledger.origin(ME, "u", "1", "2") is Origin.UNDETERMINED
    ledger.finished(answered, uid="u", new_version="2")
    assert ledger.origin(ME, "u", "1", "2") is Origin.OWN


def test_finishing_twice_changes_nothing() -> None:
    ledger = OwnWrites()
    write = ledger.started(ME, "1", uid="u")
    ledger.finished(write)
    ledger.finished(write, uid="u", new_version="2")
    assert len(ledger) == 0


def test_the_oldest_link_goes_first_and_then_reads_as_foreign() -> None:
    ledger = OwnWrites(links_max=2)
    for old, new in (("1", "2"), ("2", "3"), ("3", "4")):
        _wrote(ledger, old, new)
    assert list(ledger.snapshot().values()) == ["3", "4"]
    assert ledger.origin(ME, "u", "2", "4") is Origin.OWN
    assert ledger.origin(ME, "u", "1", "4") is Origin.FOREIGN


def test_a_server_that_repeats_versions_cannot_hold_the_ledger_in_a_circle() -> None:
    ledger = OwnWrites()
    _wrote(ledger, "1", "2")
    _wrote(ledger, "2", "1")
    assert ledger.origin(ME, "u", "1", "9") is Origin.FOREIGN


def test_a_write_without_a_precondition_has_no_place_in_the_ledger() -> None:
    with pytest.raises(ValueError, match="precondition"):
        OwnWrites().started(ME, "")


def test_repr_says_what_is_kept() -> None:
    ledger = OwnWrites()
    _wrote(ledger, "1", "2")
    ledger.started(ME, "2")
    assert repr(ledger) == "<OwnWrites 1 links, 1 writes under way>"


@dataclass
class _Server:
    """One object, its versions, and which of them the ledger may know as own."""

    ledger: OwnWrites
    version: int = 1
    linked: dict[int, int] = field(default_factory=dict[int, int])

    def write(self, kind: str) -> None:
        old, new = self.version, self.version + 1
        match kind:
            case "own":
                self.version = self.linked[old] = new
                _wrote(self.ledger, str(old), str(new))
            case "own, answer lost":
                self.version = new
                self.ledger.finished(self.ledger.started(ME, str(old), uid="u"))
            case "own, nothing changed":
                _wrote(self.ledger, str(old), str(old))
            case "own, refused":
                self.ledger.finished(self.ledger.started(ME, str(max(old - 1, 1)), uid="u"))
            case "other controller":
                self.version = new
                _wrote(self.ledger, str(old), str(new), scope="other")
            case _:
                self.version = new


KINDS = ["own", "own", "own, answer lost", "own, nothing changed", "own, refused", "other controller", "foreign"]


@given(st.lists(st.sampled_from(KINDS), max_size=30), st.data())
def test_a_change_is_own_exactly_where_every_step_of_it_is_a_known_own_write(
    kinds: list[str], data: st.DataObject
) -> None:
    ledger = OwnWrites()
    server = _Server(ledger)
    for kind in kinds:
        server.write(kind)
    old = data.draw(st.integers(1, server.version))
    new = data.draw(st.integers(old, server.version))
    is_own = old < new and all(server.linked.get(step) == step + 1 for step in range(old, new))
    assert ledger.origin(ME, "u", str(old), str(new)) is (Origin.OWN if is_own else Origin.FOREIGN)


@given(st.lists(st.sampled_from(KINDS), max_size=60), st.integers(1, 10))
def test_eviction_keeps_the_bound_and_only_ever_turns_own_into_foreign(kinds: list[str], links_max: int) -> None:
    bounded, whole = OwnWrites(links_max=links_max), OwnWrites()
    for ledger in (bounded, whole):
        server = _Server(ledger)
        for kind in kinds:
            server.write(kind)
    assert len(bounded) <= links_max
    assert list(bounded.snapshot().items()) == list(whole.snapshot().items())[-links_max:]
    for old in range(1, server.version):
        if bounded.origin(ME, "u", str(old), str(old + 1)) is Origin.OWN:
            assert whole.origin(ME, "u", str(old), str(old + 1)) is Origin.OWN
