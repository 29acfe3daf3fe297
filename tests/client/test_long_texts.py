"""
Texts of 100,000 characters, in the places where a pattern reads what others wrote.

A pattern that can read a text in two ways, or that looks ahead from each character, would be busy with it for minutes.
"""

from __future__ import annotations

from contextlib import suppress

import pytest

from reconciler.api import FieldSelector, LabelSelector
from reconciler.api.selectors import pinned_namespace
from reconciler.client.codec import check_deleted
from reconciler.client.useragent import default_user_agent
from reconciler.client.warnings import parse_warnings
from reconciler.errors import MalformedObjectError
from reconciler.kinds import ConfigMap

LONG = 100_000
TEXTS = [
    pytest.param(text, id=name)
    for name, text in {
        "letters": "a" * LONG,
        "letters with a wrong end": "a" * LONG + "!",
        "dashes": "a" + "-" * LONG,
        "points": "a." * LONG,
        "commas": "," * LONG,
        "escapes": "\\" * LONG,
        "spaces": " " * LONG,
        "equal signs": "a=" * LONG,
    }.items()
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_long_key_or_value_of_a_label_is_refused_by_its_length(text: str) -> None:
    for key, value in ((text, "a"), (f"{text}/a", "a"), ("a", text)):
        with pytest.raises(ValueError, match="label"):
            LabelSelector().equal(key, value)


@pytest.mark.parametrize("text", TEXTS)
def test_a_long_field_selector_is_made_and_read(text: str) -> None:
    escaped = sum(text.count(each) for each in "\\,=")
    assert len(str(FieldSelector({"a": text}))) == len(f"a={text}") + escaped
    with suppress(ValueError):  # as a path it may be one
        FieldSelector({text: "a"})
    for selector in (text, f"metadata.namespace={text}!", f"metadata.namespace{text}"):
        assert pinned_namespace(selector) == ""
    assert pinned_namespace("x=y," * LONG + " metadata.namespace = a ") == "a"


@pytest.mark.parametrize("text", TEXTS)
def test_a_long_warning_is_read(text: str) -> None:
    quoted = text.replace("\\", "\\\\")
    assert parse_warnings(f'299 - "{quoted}"') == (text,)
    for broken in (f"299 {text}", f'299 - "{text}', f'299 - "a" "{text}', f"299{text}x"):
        assert parse_warnings(broken) == ()
    # A comma ends a warning; what follows is none.
    assert parse_warnings(f'299 - "a"{text}x') == (("a",) if text[0] == "," else ())
    assert len(parse_warnings('299 - "a",' * 1_000)) == 1_000


@pytest.mark.parametrize("text", TEXTS)
def test_a_long_kind_is_not_quoted(text: str) -> None:
    body = b'{"kind":"' + text.replace("\\", "\\\\").encode() + b'"}'
    with pytest.raises(MalformedObjectError, match="the answer is an object of no kind, not ConfigMap or Status"):
        check_deleted(body, ConfigMap.resource, doing="delete")


@pytest.mark.parametrize("text", TEXTS)
def test_a_long_name_of_the_program_is_read(text: str) -> None:
    name = default_user_agent(text).partition("/")[0]
    # What a header cannot hold becomes a dash; where nothing is left, it is nobody's name.
    assert name == {"a" * LONG + "!": "a" * LONG, "a" + "-" * LONG: "a", "a=" * LONG: ("a-" * LONG)[:-1]}.get(
        text, text if text[0] == "a" else "python"
    )
