from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from reconciler.api import ObjectKey
from reconciler.cache.listwatch import Backoff, ListPage, ListWatch, OpenWatch, Step, Wait
from reconciler.cache.store import Put, Removed, Replaced, Unread, Unreadable
from reconciler.cache.trouble import RULES, Then, Trouble, rule_for
from reconciler.cache.wire import Bookmark, Change, ChangeType, Page, UnreadableChange
from reconciler.errors import (
    ApiError,
    ApiStatus,
    BadRequestError,
    ConflictError,
    ConnectionFailedError,
    ExpiredError,
    ForbiddenError,
    InvariantError,
    MalformedObjectError,
    NotFoundError,
    ReconcilerError,
    ServerTimeoutError,
    TerminalError,
    TooManyRequestsError,
    UnauthorizedError,
)
from reconciler.instant import Instant, milliseconds, seconds

from .objects import encoded


def at(seconds_: float) -> Instant:
    return Instant(seconds(seconds_))


def listed(version: int = 10) -> ListWatch:
    machine = ListWatch(Random(1))
    machine.page_came(Page((), str(version)))
    return machine


def watching(version: int = 10, *, now: float = 0) -> ListWatch:
    machine = listed(version)
    machine.watch_opened(now=at(now))
    return machine


def test_it_begins_with_the_first_page_of_a_list() -> None:
    assert ListWatch(Random(1)).step == ListPage(limit=500, continue_token="")


def test_pages_are_told_all_at_once_when_the_last_one_is_there() -> None:
    machine = ListWatch(Random(1))
    a, b = encoded("a", 1), encoded("b", 2)

    assert machine.page_came(Page((a,), "10", "token")) is None
    assert machine.step == ListPage(limit=500, continue_token="token")
    assert machine.page_came(Page((b,), "10")) == Replaced((a, b))


def test_after_the_list_it_watches_from_the_lists_version_for_five_to_ten_minutes() -> None:
    times: set[int] = set()
    for seed in range(200):
        machine = ListWatch(Random(seed))
        machine.page_came(Page((), "10"))
        assert isinstance(machine.step, OpenWatch)
        assert machine.step.resource_version == "10"
        times.add(machine.step.timeout_seconds)
    assert 300 <= min(times) < 320
    assert 580 < max(times) <= 600


@pytest.mark.parametrize("type_", [ChangeType.ADDED, ChangeType.MODIFIED])
def test_a_change_is_put_and_moves_the_version(type_: ChangeType) -> None:
    machine = watching()
    a = encoded("a", 12)

    assert machine.line_came(Change(type_, a), now=at(1)) == Put(a)
    assert machine.resource_version == "12"


def test_a_deletion_removes_and_moves_the_version() -> None:
    machine = watching()
    a = encoded("a", 13)

    assert machine.line_came(Change(ChangeType.DELETED, a), now=at(1)) == Removed(a)
    assert machine.resource_version == "13"


def test_a_bookmark_moves_the_version_and_changes_nothing_else() -> None:
    machine = watching()
    step = machine.step

    assert machine.line_came(Bookmark("20"), now=at(1)) is None
    assert machine.resource_version == "20"
    assert machine.step is step


def test_a_bookmark_of_an_earlier_version_leads_to_a_list() -> None:
    # Given a server that was restored from a backup,
    machine = watching(version=500)
    # when it says that it is at 20,
    machine.line_came(Bookmark("20"), now=at(1))
    # then what we know of it is worth nothing.
    assert isinstance(machine.step, Wait)
    machine.waited()
    assert machine.step == ListPage()


def test_a_watch_that_the_server_ends_goes_on_at_once_from_the_last_version() -> None:
    machine = watching()
    machine.line_came(Bookmark("20"), now=at(60))
    machine.stream_ended(now=at(400))

    assert isinstance(machine.step, OpenWatch)
    assert machine.step.resource_version == "20"


def test_a_short_watch_that_brought_something_new_goes_on_at_once() -> None:
    machine = watching()
    machine.line_came(Change(ChangeType.ADDED, encoded("a", 11)), now=at(0))
    machine.stream_ended(now=at(0.1))

    assert isinstance(machine.step, OpenWatch)


@pytest.mark.parametrize("is_told_the_same", [False, True])
def test_a_short_watch_that_brought_nothing_new_waits_and_lists(is_told_the_same: bool) -> None:
    machine = watching()
    if is_told_the_same:
        machine.line_came(Bookmark("10"), now=at(0))
    machine.stream_ended(now=at(0.9))

    assert isinstance(machine.step, Wait)
    machine.waited()
    assert machine.step == ListPage()


def test_watches_that_end_at_once_again_and_again_do_not_spin() -> None:
    machine, now, lists = ListWatch(Random(3)), 0, 0
    while now < seconds(600):
        match machine.step:
            case ListPage():
                lists += 1
                machine.page_came(Page((), "10"))
            case OpenWatch():
                machine.watch_opened(now=Instant(now))
                machine.stream_ended(now=Instant(now))
            case Wait(nanoseconds):
                now += nanoseconds
                machine.waited()
    assert 10 < lists < 30


def test_one_silence_opens_the_watch_again_and_a_second_one_lists() -> None:
    machine = watching()
    machine.fell_silent()
    assert isinstance(machine.step, OpenWatch)
    assert machine.watching_since is None

    machine.watch_opened(now=at(91))
    machine.fell_silent()
    assert machine.step == ListPage()


def test_a_line_between_two_silences_makes_the_second_one_the_first() -> None:
    machine = watching()
    machine.fell_silent()
    machine.watch_opened(now=at(91))
    machine.line_came(Bookmark("11"), now=at(100))
    machine.fell_silent()
    assert isinstance(machine.step, OpenWatch)


def error(kind: type[ApiError], code: int, **options: float) -> ApiError:
    return kind(ApiStatus(code, **options), "doing")


LIST, WATCH = ListPage(), OpenWatch("10", 0)

FAILURES = [
    pytest.param(error(ExpiredError, 410), Trouble.NONE, LIST, id="410"),
    pytest.param(error(NotFoundError, 404), Trouble.NOT_SERVED, LIST, id="404: the CRD is not there"),
    pytest.param(error(ForbiddenError, 403), Trouble.FORBIDDEN, LIST, id="403"),
    pytest.param(error(UnauthorizedError, 401), Trouble.UNAUTHORIZED, LIST, id="401"),
    pytest.param(error(TooManyRequestsError, 429), Trouble.OVERLOADED, WATCH, id="429"),
    pytest.param(error(ServerTimeoutError, 503), Trouble.UNAVAILABLE, LIST, id="503"),
    pytest.param(error(ServerTimeoutError, 504), Trouble.UNAVAILABLE, LIST, id="504: too large version"),
    pytest.param(ConnectionFailedError("refused"), Trouble.UNREACHABLE, WATCH, id="no connection"),
    pytest.param(MalformedObjectError("what"), Trouble.MALFORMED, LIST, id="malformed"),
    pytest.param(error(BadRequestError, 400), Trouble.REFUSED, LIST, id="400"),
    pytest.param(error(ApiError, 500), Trouble.REFUSED, LIST, id="500"),
]


def after_the_wait(machine: ListWatch) -> Step:
    assert isinstance(machine.step, Wait)
    assert milliseconds(800) <= machine.step.nanoseconds < milliseconds(1600)
    machine.waited()
    return machine.step


def same_request(step: Step, other: Step) -> bool:
    if isinstance(step, OpenWatch) and isinstance(other, OpenWatch):
        return step.resource_version == other.resource_version
    return step == other


@pytest.mark.parametrize(("failure", "trouble", "then"), FAILURES)
def test_a_watch_that_cannot_be_opened_waits_then_goes_on_by_the_table(
    failure: ReconcilerError, trouble: Trouble, then: Step
) -> None:
    machine = listed()
    machine.failed(failure, now=at(0))

    assert machine.trouble is trouble
    assert machine.error is (failure if trouble is not Trouble.NONE else None)
    assert same_request(after_the_wait(machine), then)


@pytest.mark.parametrize(("failure", "trouble", "then"), FAILURES)
def test_a_list_that_fails_waits_and_begins_anew_whatever_the_reason(
    failure: ReconcilerError, trouble: Trouble, then: Step
) -> None:
    del then
    machine = ListWatch(Random(1))
    machine.failed(failure, now=at(0))

    assert machine.trouble is trouble
    assert after_the_wait(machine) == ListPage()


@pytest.mark.parametrize(("failure", "trouble", "then"), [f for f in FAILURES if f.id in ("410", "500", "429")])
def test_an_error_event_ends_the_watch_like_the_same_refusal_of_the_request(
    failure: ApiError, trouble: Trouble, then: Step
) -> None:
    machine = watching()
    assert machine.line_came(failure, now=at(0)) is None
    assert machine.trouble is trouble
    assert machine.watching_since is None
    assert same_request(after_the_wait(machine), then)


def test_a_connection_that_breaks_under_an_open_watch_is_the_end_of_a_watch() -> None:
    machine = watching()
    machine.failed(ConnectionFailedError("reset"), now=at(30))

    assert isinstance(machine.step, OpenWatch)
    assert machine.trouble is Trouble.NONE


def test_trouble_is_over_when_a_watch_is_open_not_when_a_list_came() -> None:
    # A list that works beside a watch that is forbidden must not say every few seconds that all is well.
    machine = listed()
    machine.failed(error(ForbiddenError, 403), now=at(0))
    machine.waited()
    machine.page_came(Page((), "11"))
    assert machine.trouble is Trouble.FORBIDDEN

    machine.watch_opened(now=at(2))
    assert machine.trouble is Trouble.NONE
    assert machine.error is None


def test_a_failed_page_drops_the_pages_before_it() -> None:
    machine = ListWatch(Random(1))
    machine.page_came(Page((encoded("a", 1),), "10", "token"))
    machine.failed(ConnectionFailedError("reset"), now=at(0))
    machine.waited()
    b = encoded("b", 2)

    assert machine.page_came(Page((b,), "11")) == Replaced((b,))


def test_a_list_whose_pages_expire_is_asked_for_in_one_piece() -> None:
    machine = ListWatch(Random(1))
    machine.page_came(Page((encoded("a", 1),), "10", "token"))
    machine.failed(error(ExpiredError, 410), now=at(0))
    machine.waited()

    assert machine.step == ListPage(limit=0)


def test_a_version_that_is_gone_again_without_progress_is_trouble_until_a_watch_brings_something() -> None:
    gone = error(ExpiredError, 410)
    machine = listed()
    for number in range(4):
        # Opened, and then told so, as the API server does; or refused at once.
        if number % 2:
            machine.watch_opened(now=at(number))
            machine.line_came(Bookmark(str(10 + number)), now=at(number + 0.1))
            machine.line_came(gone, now=at(number + 0.2))
        else:
            machine.failed(gone, now=at(number))
        assert machine.trouble is (Trouble.EXPIRED if number else Trouble.NONE)
        assert machine.error is (gone if number else None)
        machine.waited()
        # A list that works is no progress, nor is what comes in the first second: the watch went the same way before.
        machine.page_came(Page((), str(11 + number)))
    machine.watch_opened(now=at(10))
    assert machine.trouble is Trouble.EXPIRED
    machine.line_came(Bookmark("20"), now=at(11))
    assert (machine.trouble, machine.error) == (Trouble.NONE, None)
    # The next one is the first of its row.
    machine.line_came(gone, now=at(12))
    assert machine.trouble is Trouble.NONE


@pytest.mark.parametrize(
    "goes_on",
    [
        pytest.param(lambda machine: machine.stream_ended(now=at(20)), id="a watch that lasts"),
        pytest.param(ListWatch.fell_silent, id="a watch that is silent"),
    ],
)
def test_a_watch_that_lasts_shows_as_well_that_its_version_was_good(goes_on: Callable[[ListWatch], None]) -> None:
    machine = listed()
    for number in range(2):
        machine.failed(error(ExpiredError, 410), now=at(number))
        machine.waited()
        machine.page_came(Page((), str(11 + number)))
    machine.watch_opened(now=at(10))
    assert machine.trouble is Trouble.EXPIRED
    goes_on(machine)
    assert (machine.trouble, machine.error) == (Trouble.NONE, None)


def test_watches_that_end_at_once_in_vain_are_trouble_from_the_second_on() -> None:
    machine = listed()
    for number in range(3):
        machine.watch_opened(now=at(10 * number))
        machine.stream_ended(now=at(10 * number + 0.5))
        assert machine.trouble is (Trouble.SHORT if number else Trouble.NONE)
        assert machine.error is None
        machine.waited()
        machine.page_came(Page((), str(11 + number)))
    machine.watch_opened(now=at(40))
    assert machine.trouble is Trouble.SHORT
    machine.line_came(Change(ChangeType.MODIFIED, encoded("a", 20)), now=at(41))
    machine.stream_ended(now=at(41.5))
    assert machine.trouble is Trouble.NONE
    # It brought something; the next one in vain is the first of its row.
    machine.watch_opened(now=at(42))
    machine.stream_ended(now=at(42))
    assert machine.trouble is Trouble.NONE


@pytest.mark.parametrize(("asked", "waited"), [(3.0, 3), (30.0, 30), (86_400.0, 30)])
def test_a_time_that_the_server_asks_for_is_waited_up_to_half_a_minute(asked: float, waited: int) -> None:
    machine = listed()
    machine.failed(error(TooManyRequestsError, 429, retry_after_seconds=asked), now=at(0))
    assert machine.step == Wait(seconds(waited))


def unread(version: str) -> UnreadableChange:
    return UnreadableChange(ChangeType.MODIFIED, Unreadable(ObjectKey("default", "a"), "why"), version)


@pytest.mark.parametrize("line", [Change(ChangeType.MODIFIED, encoded("a", 11)), unread("11")])
def test_an_older_version_after_a_newer_one_is_not_told_and_leads_to_a_list(line: Change | UnreadableChange) -> None:
    # Given a watch that has come to version 12,
    machine = watching(10)
    machine.line_came(Change(ChangeType.MODIFIED, encoded("a", 12)), now=at(1))
    # when version 11 comes after it,
    assert machine.line_came(line, now=at(2)) is None
    # then it is not taken, and said, and the latest state is listed, since more may have got lost on the way.
    assert machine.resource_version == "12"
    assert machine.trouble is Trouble.MALFORMED
    assert str(machine.error) == "the watch names version 11 of default/a after version 12: out of order"
    assert after_the_wait(machine) == ListPage()


@pytest.mark.parametrize(
    ("seen", "next_one"),
    [pytest.param("9", "10", id="one digit more"), pytest.param("12", "12", id="the same"), ("b", "a"), ("10", "a")],
)
def test_versions_that_go_on_or_are_no_numbers_are_taken_as_they_come(seen: str, next_one: str) -> None:
    machine = ListWatch(Random(1))
    machine.page_came(Page((), seen))
    machine.watch_opened(now=at(0))
    said = machine.line_came(unread(next_one), now=at(1))
    assert isinstance(said, Unread)
    assert machine.resource_version == next_one


def test_a_refusal_that_names_a_time_is_given_that_time() -> None:
    machine = listed()
    machine.failed(error(TooManyRequestsError, 429, retry_after_seconds=17), now=at(0))
    assert machine.step == Wait(seconds(17))


def test_the_backoff_doubles_from_800_ms_to_30_s_and_stretches_each_delay_at_most_twofold() -> None:
    backoff, now = Backoff(Random(4)), 0
    for expected in (0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30, 30):
        delay = backoff.delay(now=Instant(now))
        assert seconds(expected) <= delay < 2 * seconds(expected)
        now += delay


def test_the_backoff_begins_anew_two_minutes_after_the_last_delay_began() -> None:
    backoff = Backoff(Random(4))
    for _ in range(6):
        backoff.delay(now=at(0))
    assert backoff.delay(now=at(120)) >= seconds(30)
    assert backoff.delay(now=Instant(at(240) + 1)) < seconds(1.6)


def test_one_seed_gives_one_course_of_events() -> None:
    def course(seed: int) -> list[Step]:
        machine, steps = ListWatch(Random(seed)), []
        for _ in range(5):
            machine.failed(ConnectionFailedError("refused"), now=at(0))
            steps.append(machine.step)
            machine.waited()
        machine.page_came(Page((), "1"))
        return [*steps, machine.step]

    assert course(7) == course(7)
    assert course(7) != course(8)


def test_every_error_that_a_request_can_raise_has_a_rule_and_another_one_is_a_bug() -> None:
    assert rule_for(error(ConflictError, 409)) is RULES[ApiError]
    assert {rule.then for rule in RULES.values()} == set(Then)
    with pytest.raises(InvariantError, match="TerminalError"):
        rule_for(TerminalError("not from a request"))
