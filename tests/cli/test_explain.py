"""`reconciler explain`: what it prints, what it refuses, and that `reconciler run --journal` writes what it reads."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ObjectKey
from reconciler.apiserver import ApiServer
from reconciler.apiserver.http import serve
from reconciler.apiserver.kubeconfig import write_kubeconfig
from reconciler.cli import main
from reconciler.client import AiohttpTransport, Client, RestClient, load_config
from reconciler.clock import SystemWallClock
from reconciler.controllers.notification import NotificationRequest, custom_resource_definition
from reconciler.instant import Instant
from reconciler.journal import EventSeen, Journal, JournalWriter, Origin, State, Wrote, read_journal
from reconciler.workqueue import Verdict
from tests.journal.scribe import Scribe

ROOT = Path(__file__).parents[2]


class Clock:
    def now(self) -> Instant:
        return Instant(0)


class Wall:
    def now(self) -> datetime:
        return datetime(2026, 1, 1, 23, 59, 50, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A journal of three controllers: a wake-up that was lost, for good or not; a hot loop; and keys that are well."""
    path = tmp_path / "journal.jsonl"
    journal = Journal()
    journal.subscribe(JournalWriter(path, clock=Clock(), wall=Wall()))
    for name, ending in (("lost", "failed for good"), ("beaten", "done")):
        key = Scribe(journal, f"default/{name}", "widgets")
        late = key.ends_and_asks(key.start(key.ask(cause=key.event())), 30)
        key.at = 15
        event = key.event()
        beat = key.ask(Verdict.MADE_READY, cause=event, lost=late, lost_at=30)
        key.end(key.start(beat, event), ending)
    Scribe(journal, "default/well", "widgets").cycle()
    Scribe(journal, "default/well", "other").cycle()
    pod = Scribe(journal, "kube-system/dns", "pods")
    pod.event(kind="Pod")
    hot = Scribe(journal, "hot", "pods")
    started = hot.start(hot.ask(cause=hot.event(kind="Pod")))
    for version in range(1, 6):
        hot.write(started, str(version), str(version + 1))
        own = hot.event(
            kind="Pod", origin=Origin.OWN, old=str(version), new=str(version + 1), fields=("status.checkedAt",)
        )
        ask = hot.ask(Verdict.PARKED, cause=own)
        hot.end(started)
        started = hot.start(ask, own)
    hot.end(started)
    return path


def explain(file: Path, *words: str) -> int:
    return main(["explain", "--journal", str(file), *words])


def test_the_timeline_has_the_time_of_the_day_and_ends_with_a_verdict(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(file, "Widget", "default/lost") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"journal {file}, begun 2026-01-01 23:59:50 UTC"
    assert lines[1] == "widgets default/lost"
    assert lines[2].startswith("  23:59:50.000  #1     update seen")
    # After midnight the day is told as well.
    assert lines[7].startswith("  2026-01-02 00:00:05.000  #6     update seen")
    assert lines[-2].startswith("  now: idle: the last pass ended: failed for good")
    assert lines[-1].startswith(
        "  wrong: lost wake-up: pass #3 asked for a retry (requeue_after, #5) at 2026-01-02 00:00:20"
    )
    assert "event #6 (update, changed status or other, foreign) at 2026-01-02 00:00:05.000 beat it" in lines[-1]


def test_times_can_be_seconds(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(file, "Widget", "default/lost", "--times", "elapsed") == 0
    assert "     0.000s  #1     update seen" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["Widget", "widget", "WIDGETS", "widgets", "wIdGeT"])
def test_the_kind_or_the_controllers_name_is_matched_in_any_case(
    file: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(file, kind, "default/beaten") == 0
    assert "widgets default/beaten" in capsys.readouterr().out


def test_every_controller_of_the_kind_is_explained(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(file, "Widget", "default/well") == 0
    out = capsys.readouterr().out
    assert out.index("other default/well") < out.index("widgets default/well")
    assert explain(file, "other", "default/well") == 0
    assert "widgets" not in capsys.readouterr().out


def test_an_object_without_a_namespace_has_its_name_alone_and_a_hot_loop_names_its_field(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(file, "pod", "hot") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("  to check: hot loop: 4 rounds")
    assert last.endswith("changed each time: status.checkedAt")


@pytest.mark.parametrize(
    ("key", "code"),
    [("default/lost", 1), ("default/beaten", 0), ("default/well", 0)],
    ids=["wrong", "to check", "well"],
)
def test_a_finding_fails_only_where_asked_and_only_if_it_is_certain(
    file: Path, key: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(file, "Widget", key) == 0
    assert explain(file, "Widget", key, "--fail-on-finding") == code
    capsys.readouterr()


def test_the_data_say_the_same_as_the_lines(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(file, "Widget", "default/lost", "-o", "json") == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["begun_wall"], data["notes"]) == ("2026-01-01T23:59:50Z", [])
    (told,) = data["explanations"]
    assert (told["scope"], told["key"], told["state"], told["standing"]) == ("widgets", "default/lost", "idle", None)
    assert told["wakes"] == [{"by": "only an event", "at": None, "ask": 0, "sentence": "only an event"}]
    (found,) = told["findings"]
    assert (found["kind"], found["is_certain"], found["due_at"]) == ("lost wake-up", True, 30_000_000_000)
    assert told["verdict"][1] == f"wrong: lost wake-up: {found['sentence']}"
    assert told["lost"] == [{"due_at": 30_000_000_000, "ask": 5, "beaten_by": 7}]
    assert [record["id"] for record in told["records"]] == list(range(1, 10))
    assert (told["records"][5]["record"], told["records"][5]["wall"]) == ("EventSeen", "2026-01-02T00:00:05Z")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["Gadget", "default/lost"], "holds nothing of a kind Gadget; it holds Widget, Pod (controllers: widgets, "),
        (["Widgt", "default/lost"], "holds nothing of a kind Widgt; it holds Widget, Pod"),
        (["Widget", "default/lots"], "holds no Widget default/lots; it holds default/lost, "),
        (["Widget", "hot"], "holds no Widget hot; it holds "),
    ],
)
def test_what_the_file_does_not_hold_ends_with_2_and_the_nearest_names(
    file: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(file, *words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"reconciler explain: {file}: {said}"), err
    assert err.count("\n") == 1


def test_of_many_names_the_nearest_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "journal"
    journal = Journal()
    journal.subscribe(JournalWriter(path, clock=Clock(), wall=Wall()))
    for number in range(50):
        Scribe(journal, f"default/object-{number}").event()
    assert explain(path, "widget", "default/objekt-49") == 2
    err = capsys.readouterr().err
    assert "it holds default/object-49, " in err
    assert err.endswith(" and 42 more\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty or cut in its first line"),
        (b"a: b\n", "is no journal"),
        (b'{"format":"reconciler-journal","version":9,"at":0}\n', "is a journal of version 9"),
    ],
)
def test_a_file_that_cannot_be_read_ends_with_2_and_one_sentence(
    tmp_path: Path, content: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert explain(path, "Widget", "default/a") == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_journal_without_records_and_one_with_a_cut_line_say_so(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    JournalWriter(empty, clock=Clock(), wall=Wall()).close()
    assert explain(empty, "Widget", "default/a") == 2
    assert "holds no records yet" in capsys.readouterr().err
    file.write_bytes(file.read_bytes()[:-5])
    assert explain(file, "Widget", "default/lost") == 0
    assert "note: " in capsys.readouterr().out.splitlines()[1]


def test_the_help_teaches_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--help"]) == 0
    out = capsys.readouterr().out
    assert "$ reconciler explain --journal journal.jsonl NotificationRequest default/seed" in out
    assert "Exit codes" in out
    assert main(["--help"]) == 0
    assert "explain" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("is_terminal", "environment", "is_coloured"),
    [(True, {}, True), (True, {"NO_COLOR": "1"}, False), (False, {}, False)],
)
def test_colour_is_for_terminals_alone_and_not_with_no_color(
    file: Path, is_terminal: bool, environment: dict[str, str], is_coloured: bool
) -> None:
    command = [sys.executable, "-m", "reconciler.cli", "explain", "--journal", str(file), "Widget", "default/lost"]
    inherited = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    whole = {**inherited, "TERM": "xterm-256color", **environment}
    if not is_terminal:
        out = subprocess.run(command, env=whole, check=True, capture_output=True).stdout
    else:
        out = on_a_terminal(command, whole)
    assert b"lost wake-up" in out
    # Bold stays with NO_COLOR: it is no colour.
    assert bool(re.search(rb"\x1b\[[0-9;]*3[0-9]m", out)) is is_coloured


def on_a_terminal(command: list[str], environment: dict[str, str]) -> bytes:
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, env=environment, stdout=theirs) as process:
        os.close(theirs)
        out = b""
        try:
            while more := os.read(ours, 65_536):
                out += more
        except OSError:
            pass  # the other side is closed: Linux says so with an error
        finally:
            os.close(ours)
        assert process.wait() == 0
    return out


ROUTING = "route: {receiver: console}\nreceivers:\n- name: console\n  consoleConfigs: [{enabled: true}]\n"


@pytest.mark.asyncio
async def test_what_run_writes_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kubeconfig, routing, file = (tmp_path / name for name in ("kubeconfig", "routing.yaml", "journal"))
    routing.write_text(ROUTING)
    async with serve(ApiServer(wall=SystemWallClock())) as address:
        write_kubeconfig(kubeconfig, address)
        async with AiohttpTransport(await load_config(kubeconfig)) as transport:
            client = Client(RestClient(transport))
            await client.create(custom_resource_definition(), resource=CUSTOM_RESOURCE_DEFINITION)
            words = ["--kubeconfig", kubeconfig, "--routing", routing, "--namespace", "default", "--journal", file]
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "reconciler.cli", "run", "notification", *map(str, words),
                cwd=ROOT, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            try:
                await deliver(client, file)
            finally:
                process.send_signal(signal.SIGTERM)
                _, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_journal(file).notes == ()
    assert explain(file, "notificationrequest", "default/seed") == 0
    out = capsys.readouterr().out
    assert "create seen" in out
    assert "outcome: console attempt 1: delivered" in out
    assert out.splitlines()[-1].startswith("  now: idle: the last pass ended well")


async def deliver(client: Client, file: Path) -> None:
    spec = {"type": "Simple", "priority": "Low", "subject": "s", "body": "b"}
    metadata = {"name": "seed", "namespace": "default"}
    await client.create(NotificationRequest.model_validate({"metadata": metadata, "spec": spec}))
    async with asyncio.timeout(60):
        while True:
            # The last own write comes back as an event, whose pass finds nothing to do.
            is_sent = (await client.get(NotificationRequest, ObjectKey("default", "seed"))).status.phase == "Sent"
            if is_sent and is_at_rest(file):
                return
            await asyncio.sleep(0.1)


def is_at_rest(file: Path) -> bool:
    explanation = read_journal(file).explain("default/seed", scope="notification")
    seen = [record.new_version for record in explanation.records if isinstance(record, EventSeen)]
    written = [record.new_version for record in explanation.records if isinstance(record, Wrote)]
    return explanation.state is State.IDLE and seen[-1] == written[-1]


def test_a_journal_that_cannot_be_written_ends_the_start(tmp_path: Path) -> None:
    kubeconfig, routing, file = (tmp_path / name for name in ("kubeconfig", "routing.yaml", "mine"))
    routing.write_text(ROUTING)
    file.write_text("precious\n")
    kubeconfig.write_text(
        "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}], "
        'clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}], users: [{name: u, user: {token: t}}]}\n'
    )
    words = ["--kubeconfig", kubeconfig, "--routing", routing, "--journal", file]
    command = [sys.executable, "-m", "reconciler.cli", "run", "notification", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"reconciler run: {file}: is there already, and no journal; name another file" in done.stderr
    assert "Traceback" not in done.stderr
    assert file.read_text() == "precious\n"
