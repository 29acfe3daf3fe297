from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.controllers.notification.delivery import error_text
from reconciler.controllers.notification.delivery.error_text import LENGTH_MAX
from reconciler.errors import PermanentDeliveryError, TransientDeliveryError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        pytest.param(TransientDeliveryError("no route"), "no route", id="a plain text stays"),
        pytest.param(TransientDeliveryError(""), "TransientDeliveryError", id="an empty one names its class"),
        pytest.param(TransientDeliveryError(" \n\t "), "TransientDeliveryError", id="white space is empty"),
        pytest.param(KeyError("team"), "KeyError: 'team'", id="a foreign one says its class"),
        pytest.param(TimeoutError(), "TimeoutError", id="a bare time-out"),
        pytest.param(OSError(13, "Permission denied", "/x"), "[Errno 13] Permission denied: '/x'", id="an OSError"),
        pytest.param(TransientDeliveryError("a\r\nb\x00\x1b[31mc\x7f"), "a b[31mc", id="control characters"),
        pytest.param(TransientDeliveryError("Zürich, 東京 🚨"), "Zürich, 東京 🚨", id="other letters stay"),
        pytest.param(
            PermanentDeliveryError('Post "https://hooks.slack.com/services/T0/B0/secret": refused'),
            'Post "<url removed>": refused',
            id="a webhook",
        ),
        pytest.param(
            TransientDeliveryError("404, url='https://example.com/?sig=secret'"),
            "404, url='<url removed>",
            id="a query",
        ),
        pytest.param(TransientDeliveryError("smtp://u:p@host:25 gone"), "<url removed> gone", id="another scheme"),
        pytest.param(TransientDeliveryError("ht\x00tps://host/secret"), "<url removed>", id="a disguised scheme"),
        pytest.param(TransientDeliveryError("ht\u200btps://host/secret"), "<url removed>", id="an invisible letter"),
        pytest.param(TransientDeliveryError("://host/secret"), "<url removed>", id="no scheme at all"),
        pytest.param(
            TransientDeliveryError("login me:secret@mail failed"), "login <user removed>@mail failed", id="user"
        ),
        pytest.param(TransientDeliveryError("to ops@example.com"), "to ops@example.com", id="a mail address stays"),
        pytest.param(TransientDeliveryError("sent BEARER abc.def-1="), "sent Bearer <token removed>", id="a token"),
        pytest.param(
            TransientDeliveryError("Authorization: Basic c2VjcmV0, x"), "Authorization: <token removed>, x", id="header"
        ),
        pytest.param(
            TransientDeliveryError("{'Authorization': 'Bearer secret'}"),
            "{'Authorization': <token removed>'}",
            id="dict",
        ),
        pytest.param(TransientDeliveryError("file /\udcff"), "file /?", id="a path that is no text"),
    ],
)
def test_what_an_error_may_say(error: Exception, text: str) -> None:
    assert error_text(error) == text


def test_a_long_text_is_cut_on_a_character_and_says_so() -> None:
    text = error_text(TransientDeliveryError("ü" * 5000))
    assert len(text) == LENGTH_MAX
    assert text.startswith("üüü")
    assert text.endswith("ü ... (cut)")


def test_a_text_of_exactly_the_length_is_not_cut() -> None:
    assert error_text(TransientDeliveryError("x" * LENGTH_MAX)) == "x" * LENGTH_MAX


def test_what_was_left_unread_is_marked_even_where_little_remains() -> None:
    assert error_text(TransientDeliveryError("https://" + "x" * 9000)) == "<url removed> ... (cut)"


@pytest.mark.parametrize("piece", ["a", "a:", "a:a@", "Bearer ", "://", "=(", "\x00", " "])
def test_a_text_of_a_million_characters_is_read_in_no_time(piece: str) -> None:
    assert len(error_text(TransientDeliveryError(piece * (1_000_000 // len(piece))))) <= LENGTH_MAX


SECRET = "S3CRET"
around = st.text(alphabet=st.sampled_from(list("ab :/@\"'<>=,;\n\t\x00\u200b🚨-.")), max_size=20)
carriers = st.sampled_from(
    [
        f"https://hooks.example.com/{SECRET}",
        f"HTTPS://{SECRET}@example.com",
        f"smtp://user:{SECRET}@mail:25",
        f"redis+tls://:{SECRET}@x/0",
        f" Bearer {SECRET}",
        f" user:{SECRET}@host",
        f" authorization: Basic {SECRET}",
    ]
)


@given(before=around, carrier=carriers, after=around)
def test_no_address_survives_whatever_stands_around_it(before: str, carrier: str, after: str) -> None:
    text = error_text(TransientDeliveryError(f"{before}{carrier}{after}"))
    assert "://" not in text
    assert SECRET not in text


@given(st.text(max_size=3000))
def test_any_text_gives_one_short_line_that_json_can_carry(said: str) -> None:
    text = error_text(TransientDeliveryError(said))
    assert 0 < len(text) <= LENGTH_MAX
    assert len(text.splitlines()) == 1
    assert "://" not in text
    assert json.loads(json.dumps(text, ensure_ascii=False).encode()) == text
