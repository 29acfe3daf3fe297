"""`reconciler explain`: why a key was or was not reconciled, from the file that `run --journal` wrote."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from reconciler.errors import ConfigurationError
from reconciler.journal import Explanation, Finding, JournalFile, Record, read_journal, render, verdict

__all__ = ["configure", "run"]

_DESCRIPTION = """\
Prints what the journal holds of one object: what was seen, who asked for a pass and what became of that, each pass
with its writes and its ending; then what the object is doing and what would wake it, and what looks wrong: a wake-up
that was lost, or a controller that keeps itself busy.

Each line has the time (UTC), the number of the record, and after <- the numbers of those that led to it.
Exit codes: 0 explained, whatever was found; 1 with --fail-on-finding, something is certainly wrong; 2 the file cannot
be read, or holds nothing of that kind or name.
"""

_EXAMPLE = """\
example, with two terminals:

  $ reconciler run notification --kubeconfig dev.kubeconfig --journal journal.jsonl

  $ reconciler explain --journal journal.jsonl NotificationRequest default/seed
  $ reconciler explain --journal journal.jsonl notificationrequest default/seed -o json | jq '.explanations[].findings'
"""

_NAMES_SHOWN = 8


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command to its parser."""
    parser.description = _DESCRIPTION
    parser.epilog = _EXAMPLE
    parser.add_argument("kind", metavar="KIND", help="the kind of the object, or the controller's name; in any case")
    parser.add_argument("name", metavar="NAMESPACE/NAME", help="the object; NAME alone if it has no namespace")
    parser.add_argument("--journal", required=True, metavar="FILE", type=Path, help="what `reconciler run` wrote")
    parser.add_argument(
        "-o", "--output", choices=["text", "json"], default="text", help="lines for people (default), or data"
    )
    parser.add_argument(
        "--times",
        choices=["wall", "elapsed"],
        default="wall",
        help="times of the day, UTC (default), or seconds since the journal was begun",
    )
    parser.add_argument("--fail-on-finding", action="store_true", help="exit with 1 if something is certainly wrong")


def run(arguments: argparse.Namespace) -> int:
    """
    Explain one key, and return the exit code.

    Raises:
        ConfigurationError: The file cannot be read, or holds nothing of that kind or name.
    """
    name: str = arguments.name
    journal = read_journal(arguments.journal, keep=lambda record: record.key == name)
    explanations = [journal.explain(name, scope=scope) for scope in _scopes(journal, arguments.kind, name)]
    if arguments.output == "json":
        sys.stdout.write(msgspec.json.format(_as_json(journal, explanations), indent=2).decode() + "\n")
    else:
        _print(journal, explanations, is_elapsed=arguments.times == "elapsed")
    is_wrong = any(finding.is_certain for explanation in explanations for finding in explanation.findings)
    return 1 if is_wrong and arguments.fail_on_finding else 0


def _scopes(journal: JournalFile, kind: str, name: str) -> Sequence[str]:
    """Return the controllers of that kind or name that have records of the key."""
    if not journal.places:
        raise ConfigurationError(f"{journal.path}: holds no records yet")
    known = _known_kinds(journal)
    of_kind = known.get(kind.casefold()) or known.get(kind.casefold().removesuffix("s"), frozenset())
    if not of_kind:
        spelled = sorted({kind for kinds in journal.kinds.values() for kind in kinds})
        controllers = sorted({scope for scope, _ in journal.places if scope})
        raise ConfigurationError(
            f"{journal.path}: holds nothing of a kind {kind}; it holds "
            f"{_listed(spelled, kind) or 'no kinds'} (controllers: {_listed(controllers, kind) or 'none'})"
        )
    scopes = sorted(scope for scope, key in journal.places if key == name and scope in of_kind)
    if not scopes:
        names = sorted({key for scope, key in journal.places if scope in of_kind})
        raise ConfigurationError(f"{journal.path}: holds no {kind} {name}; it holds {_listed(names, name)}")
    return scopes


def _known_kinds(journal: JournalFile) -> Mapping[str, frozenset[str]]:
    """Lead from each word that may stand for KIND, in lower case, to the controllers that it means."""
    known: dict[str, set[str]] = {}
    for scope in sorted({scope for scope, _ in journal.places}):
        for word in {scope, *journal.kinds.get(scope, frozenset())}:
            known.setdefault(word.casefold(), set()).add(scope)
    return {word: frozenset(scopes) for word, scopes in known.items()}


def _listed(names: Sequence[str], wanted: str) -> str:
    """Return the names that are most like the wanted one, and how many more there are."""
    near = difflib.get_close_matches(wanted, names, n=_NAMES_SHOWN, cutoff=0.5)
    shown = [*near, *(name for name in names if name not in near)][:_NAMES_SHOWN]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _print(journal: JournalFile, explanations: Sequence[Explanation], *, is_elapsed: bool) -> None:
    # Rich colours on a terminal alone, and not with NO_COLOR.
    console = Console(highlight=False)
    begun = journal.header.wall.strftime("%Y-%m-%d %H:%M:%S")
    console.print(Text(f"journal {journal.path}, begun {begun} UTC", style="dim"), soft_wrap=True)
    for note in journal.notes:
        console.print(Text(f"note: {note}", style="yellow"), soft_wrap=True)
    for explanation in explanations:
        start = journal.header.at
        lines = render(explanation, start=start) if is_elapsed else render(explanation, tell=_wall(journal))
        for line in lines:
            console.print(_styled(line), soft_wrap=True)


def _styled(line: str) -> Text:
    text = line.strip()
    if text.startswith("wrong: "):
        return Text(line, style="bold red")
    if text.startswith("to check: "):
        return Text(line, style="yellow")
    return Text(line, style="bold" if text.startswith("now: ") else "")


def _wall(journal: JournalFile) -> Callable[[int], str]:
    begun = journal.header.wall

    def tell(at: int) -> str:
        moment = journal.wall_of(at)
        clock = moment.strftime("%H:%M:%S.%f")[:-3]
        return clock if moment.date() == begun.date() else f"{moment.date()} {clock}"

    return tell


def _as_json(journal: JournalFile, explanations: Sequence[Explanation]) -> bytes:
    return msgspec.json.encode(
        {
            "journal": journal.path,
            "begun_at": journal.header.at,
            "begun_wall": journal.header.wall,
            "notes": journal.notes,
            "explanations": [_explanation(journal, explanation) for explanation in explanations],
        }
    )


def _explanation(journal: JournalFile, explanation: Explanation) -> Mapping[str, Any]:
    tell = _wall(journal)
    return {
        "scope": explanation.scope,
        "key": explanation.key,
        "state": explanation.state.value,
        "verdict": [sentence.told(tell) for sentence in verdict(explanation)],
        "wakes": [
            {"by": wake.by.value, "at": wake.at, "ask": wake.ask, "sentence": wake.said.told(tell)}
            for wake in explanation.wakes
        ],
        "findings": [_finding(finding, tell) for finding in explanation.findings],
        "standing": explanation.standing.id if explanation.standing else None,
        "owed_at": explanation.owed_at,
        "lost": [{"due_at": lost.due_at, "ask": lost.ask_id, "beaten_by": lost.beaten_by} for lost in explanation.lost],
        "records": [_record(journal, explanation, record) for record in explanation.records],
    }


def _finding(finding: Finding, tell: Callable[[int], str]) -> Mapping[str, Any]:
    return {
        "kind": finding.kind.value,
        "is_certain": finding.is_certain,
        "sentence": finding.said.told(tell),
        "records": finding.record_ids,
        "due_at": finding.due_at,
        "fields": finding.fields,
        "rounds": finding.rounds,
    }


def _record(journal: JournalFile, explanation: Explanation, record: Record) -> Mapping[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(record)
    return {**fields, "causes": explanation.causes_of(record), "wall": journal.wall_of(record.at)}
