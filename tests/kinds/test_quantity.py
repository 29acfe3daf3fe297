"""Quantities: which texts are one amount, and which are no amount at all."""

from __future__ import annotations

from decimal import Decimal

import pytest

from reconciler.api import in_one_form
from reconciler.kinds import Container, Pod, PodSpec, ResourceRequirements, amount_of

LONG = 100_000


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1", "1"), ("1.", "1"), ("+1.50", "1.5"), (".5", "0.5"), ("-3m", "-0.003"), ("1e3", "1000"), ("1E-3", "0.001"),
        ("1k", "1000"), ("2Ki", "2048"), ("1E", "1e18"),
        pytest.param("9" * 40, "9" * 40, id="more digits than Decimal keeps by default"),
        pytest.param("9" * 64, "9" * 64, id="the longest one"),
    ],
)  # fmt: skip
def test_a_quantity_is_an_amount(text: str, amount: str) -> None:
    assert amount_of(text) == Decimal(amount)


@pytest.mark.parametrize("text", ["", ".", "+", "1 ", "1.2.3", "1KiB", "1e1234", "abc", "\u0661", "1\n"])
def test_any_other_text_is_none(text: str) -> None:
    assert amount_of(text) is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("1" * 65, id="one character too many"),
        # Each of these would keep a pattern that can cut the digits in two ways busy for minutes.
        pytest.param("1" * LONG, id="digits"),
        pytest.param("1" * LONG + "x", id="digits and no unit"),
        pytest.param("1" * LONG + "." + "1" * LONG + "x", id="digits on both sides"),
        pytest.param("." * LONG, id="points"),
        pytest.param("1e" + "1" * LONG, id="an exponent"),
    ],
)
def test_a_long_text_is_no_amount_and_is_not_looked_at(text: str) -> None:
    assert amount_of(text) is None


def test_long_values_of_an_object_are_compared_as_they_are() -> None:
    number = 10**5_000
    wanted = ResourceRequirements(limits={"a": "1" * LONG, "b": number, "c": "1000m", "d": 1})
    pod = Pod(spec=PodSpec(containers=[Container(name="web", resources=wanted)]))
    compared = in_one_form(pod).spec.containers[0].resources
    assert compared is not None
    assert compared.limits == {"a": "1" * LONG, "b": number, "c": "1", "d": "1"}
