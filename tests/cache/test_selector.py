from __future__ import annotations

import pytest

from reconciler.cache.selector import FieldRequirement, parse_field_selector, parse_label_selector

LABELS = {"app": "web", "example.com/zone": "a", "empty": "", "size": "5"}


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
        ("size>4", True),
        ("size > 5", False),
        ("size<10", True),
        ("size<-1", False),
        ("missing<1", False),
        ("app>1", False),
    ],
)
def test_a_label_selector_fits_as_on_the_api_server(text: str, fits: bool) -> None:
    assert parse_label_selector(text)(LABELS) is fits


@pytest.mark.parametrize("text", ["app=web,", "a b", "app=we b", "app in web", "=x", "app>x", "size<", "(a)"])
def test_what_is_no_label_selector_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="label selector"):
        parse_label_selector(text)


@pytest.mark.parametrize(
    ("text", "required"),
    [
        ("", []),
        ("  ", []),
        ("metadata.name=a", [FieldRequirement("metadata.name", True, "a")]),
        ("spec.owner==", [FieldRequirement("spec.owner", True, "")]),
        (
            "metadata.name != b , metadata.namespace=default",
            [FieldRequirement("metadata.name", False, "b"), FieldRequirement("metadata.namespace", True, "default")],
        ),
        (
            r"spec.url=a\=b\,c\\,x=y",
            [FieldRequirement("spec.url", True, r"a=b,c\ ".strip()), FieldRequirement("x", True, "y")],
        ),
    ],
)
def test_a_field_selector_is_its_requirements(text: str, required: list[FieldRequirement]) -> None:
    assert list(parse_field_selector(text)) == required


@pytest.mark.parametrize("text", ["metadata.name", "a=b=c", "a=b,", ",a=b", "=b", "a b=c", "a=b c"])
def test_what_is_no_field_selector_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="field selector"):
        parse_field_selector(text)


LONG = 100_000


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a in (" + "b," * LONG + "b)", id="a set"),
        pytest.param(",".join(["a"] * LONG), id="many requirements"),
        pytest.param("a notin (b)," * LONG + "c", id="many sets"),
    ],
)
def test_a_long_label_selector_is_read(text: str) -> None:
    # A pattern that looks ahead from each comma would take minutes.
    assert parse_label_selector(text)({"a": "b"}) is ("notin" not in text)


@pytest.mark.parametrize("text", ["a in (" + "b," * LONG, "(" * LONG, "a=b\\" * LONG, "a,b)" + "," * LONG])
def test_a_long_text_that_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="label selector"):
        parse_label_selector(text)
    with pytest.raises(ValueError, match="field selector"):
        parse_field_selector(text + "\\")


def test_a_value_of_thousands_of_digits_is_no_number() -> None:
    assert not parse_label_selector("a>1")({"a": "2" * LONG})
