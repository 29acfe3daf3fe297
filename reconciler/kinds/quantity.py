"""
Quantities: amounts such as `500m`, `1` and `64Mi`, which have several spellings. Pure.

Mirrors: apimachinery `resource.Quantity`, as far as two of them are compared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Context, Decimal
from types import MappingProxyType
from typing import Annotated

from reconciler.api import InOneForm

__all__ = ["Quantity", "amount_of"]

# What is longer is no amount that anybody means, and is not looked at: whoever writes objects chooses its length.
_LENGTH_MAX = 64
_BITS_MAX = 200
# One way to read each text: with two neighbours that both take digits, a long one would be tried at every cut.
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?[0-9]{1,3})?")
# Enough digits for the longest one; the default, 28, would round two amounts to one.
_EXACT = Context(prec=2 * _LENGTH_MAX)
_SCALES: Mapping[str, Decimal] = MappingProxyType({
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1), "k": Decimal("1e3"),
    "M": Decimal("1e6"), "G": Decimal("1e9"), "T": Decimal("1e12"), "P": Decimal("1e15"), "E": Decimal("1e18"),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40), "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
})  # fmt: skip


def amount_of(text: str) -> Decimal | None:
    """
    Return the amount that a quantity says: `1000m`, `1` and `1e0` are 1.

    None where `text` is no quantity, or has more than 64 characters.
    """
    found = _QUANTITY.fullmatch(text) if len(text) <= _LENGTH_MAX else None
    if found is None:
        return None
    suffix: str = found[2] or ""
    scale = _SCALES.get(suffix)
    return _EXACT.multiply(Decimal(found[1]), scale if scale is not None else Decimal(f"1{suffix}"))


def _in_one_form(value: object) -> object:
    text = value if isinstance(value, str) else _number(value)
    amount = amount_of(text)
    return value if amount is None else str(_EXACT.normalize(amount))


def _number(value: object) -> str:
    # A number of thousands of digits has no text in Python.
    return str(value) if isinstance(value, int) and value.bit_length() <= _BITS_MAX else ""


Quantity = Annotated[int | str, InOneForm(_in_one_form)]
"""An amount such as `500m` or `64Mi`; two spellings of one amount count as equal where objects are compared."""
