from __future__ import annotations

import pytest

from reconciler.api import ObjectKey
from reconciler.cache.selector import parse_field_selector, parse_label_selector

LABELS = {"app": "web", "example.com/zone": "a", "empty": ""}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web", True),
        ("app=db", False),
        ("app!=db", True),
        ("app!=web", False),
        ("missing!=x", True),
        ("missing=x", False),
        ("missing=", False),
        ("empty=", True),
        ("app", True),
        ("missing", False),
        ("!missing", True),
        ("!app", False),
        ("app in (web,db)", True),
        ("app in (db)", False),
        ("missing in (db)", False),
        ("app notin (db, cache)", True),
        ("app notin (web)", False),
        ("missing notin (web)", True),
        ("example.com/zone in (a, b),app=web,!missing", True),
        ("example.com/zone in (a, b),app=db", False),
    ],
)
def test_a_label_selector_fits_as_on_the_api_server(text: str, fits: bool) -> None:
    assert parse_label_selector(text)(LABELS) is fits


@pytest.mark.parametrize("text", ["app=web,", "a b", "app=we b", "app in web", "=x", "app>1", "(a)"])
def test_what_is_no_label_selector_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="label selector"):
        parse_label_selector(text)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("", True),
        ("metadata.name=a", True),
        ("metadata.name==b", False),
        ("metadata.name!=b,metadata.namespace=default", True),
        ("metadata.namespace!=default", False),
    ],
)
def test_a_field_selector_knows_name_and_namespace(text: str, fits: bool) -> None:
    assert parse_field_selector(text)(ObjectKey("default", "a")) is fits


@pytest.mark.parametrize("text", ["status.phase=Sent", "metadata.name", "metadata.uid=1"])
def test_another_field_is_refused_rather_than_ignored(text: str) -> None:
    with pytest.raises(ValueError, match=r"metadata\.name and metadata\.namespace"):
        parse_field_selector(text)
