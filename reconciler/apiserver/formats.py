"""
The string formats that a kube-apiserver checks; every other format is a remark.

Mirrors: kube-openapi `pkg/validation/strfmt`, with its oddities (a date-time needs a zone, seconds up to 59; uuids may
leave out dashes).
Differs: `email` and `uri` are checked by shorter grammars than those of Go. Pure.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date
from types import MappingProxyType
from typing import Final

__all__ = ["STRING_FORMATS", "normalized"]

Predicate = Callable[[str], bool]


def normalized(name: str) -> str:
    """Return a format's name as `STRING_FORMATS` has it: `date-time` and `datetime` are one."""
    return name.replace("-", "")


def _matches(pattern: str, flags: re.RegexFlag = re.NOFLAG) -> Predicate:
    compiled = re.compile(pattern, flags | re.ASCII)
    return lambda text: compiled.fullmatch(text) is not None


def _is_date(text: str) -> bool:
    found = _DATE.fullmatch(text)
    if found is None:
        return False
    year, month, day = map(int, found.groups())
    try:
        date(year or 2000, month, day)  # Go knows a year 0, a leap year
    except ValueError:
        return False
    return True


_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_TIME = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})")


def _is_date_time(text: str) -> bool:
    day, *rest = text.lower().split("t")
    found = _TIME.fullmatch(rest[0]) if rest else None
    if found is None or not _is_date(day):
        return False
    return found[1] <= "23" and found[2] <= "59" and found[3] <= "59"


_GO_DURATION = _matches(r"[+-]?(0|((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)")
_WORDY_DURATION = re.compile(r"\d+\s*([A-Za-zµ]+)")
_UNITS = frozenset({"ns", "us", "µs", "ms", "s", "m", "h", "hr", "d", "w", "wk"})
_LONG_UNITS = ("nano", "micro", "milli", "sec", "min", "hour", "day", "week")


def _is_duration(text: str) -> bool:
    if _GO_DURATION(text):
        return True
    units = (unit.lower() for unit in _WORDY_DURATION.findall(text))
    return any(unit in _UNITS or unit.startswith(_LONG_UNITS) for unit in units)


def _parses(text: str) -> bool:
    # Go takes no zones, and this server's Go takes leading zeros.
    try:
        ipaddress.ip_address(re.sub(r"(?<![0-9a-fA-F:.])0+(?=[0-9])|(?<=\.)0+(?=[0-9])", "", text))
    except ValueError:
        return False
    return "%" not in text


def _is_cidr(text: str) -> bool:
    address, slash, size = text.partition("/")
    if not (slash and _parses(address) and size.isascii() and size.isdigit()):
        return False
    return int(size) <= (128 if ":" in address else 32)  # the bits of an IPv6 and of an IPv4 address


def _is_hostname(text: str) -> bool:
    letter = r"[a-zA-Z0-9\u0080-\U0010ffff$+<=>^`|~]"
    single = rf"{letter}((-?{letter}{{0,62}})?)"
    label = rf"{letter}((({letter}|-){{0,61}}{letter})?)\."
    if re.fullmatch(rf"{single}|({label})+[a-zA-Z\u0080-\U0010ffff]{{2,63}}", text) is None:
        return False
    octets = text.encode()
    return len(octets) <= 255 and all(len(part) <= 63 for part in octets.split(b"."))  # RFC 1034's limits


_AUTHORITY = _matches(r'([^\s"<>\\^`{|}@]*@)?(\[[0-9a-fA-F:.]*\]|[^\s"<>\\^`{|}:@]*)(:\d*)?')


def _is_uri(text: str) -> bool:
    if re.search(r"[\x00-\x1f\x7f]|%(?![0-9a-fA-F]{2})", text):
        return False
    found = re.fullmatch(r"(?:([a-zA-Z][a-zA-Z0-9+.-]*):)?(.*)", text)
    if found is None or not (found[1] or found[2].startswith("/") or text == "*"):
        return False
    authority = re.match(r"//([^/?]*)", found[2])
    return not (found[1] and authority) or _AUTHORITY(authority[1])


def _digits(text: str) -> list[int]:
    return [int(char) for char in text if char.isascii() and char.isdigit()]


_CARD = _matches(
    r"4[0-9]{12}([0-9]{3})?|5[1-5][0-9]{14}|6(011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(0[0-5]|[68][0-9])[0-9]{11}"
    r"|(2131|1800|35\d{3})\d{11}"
)


def _is_credit_card(text: str) -> bool:
    digits = _digits(text)
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return _CARD("".join(map(str, digits))) and (sum(digits[::-2]) + sum(doubled)) % 10 == 0


def _is_isbn10(text: str) -> bool:
    plain = re.sub(r"[\s-]+", "", text)
    if re.fullmatch(r"[0-9]{9}[0-9X]", plain) is None:
        return False
    return sum(place * (10 if char == "X" else int(char)) for place, char in enumerate(plain, start=1)) % 11 == 0


def _is_isbn13(text: str) -> bool:
    plain = re.sub(r"[\s-]+", "", text)
    if re.fullmatch(r"[0-9]{13}", plain) is None:
        return False
    return sum((3 if place % 2 else 1) * int(char) for place, char in enumerate(plain)) % 10 == 0


def _is_long_name(text: str) -> bool:
    return len(text) <= 253 and _LONG_NAME(text)  # RFC 1123


_SHORT_NAME = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_LONG_NAME = _matches(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_COLOR = r"\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*"
_UUID = r"[0-9a-f]{8}-?[0-9a-f]{4}-?%s-?%s-?[0-9a-f]{12}"
_HEX4, _VARIANT = "[0-9a-f]{4}", "[89ab][0-9a-f]{3}"

STRING_FORMATS: Final[Mapping[str, Predicate]] = MappingProxyType({
    "bsonobjectid": _matches(r"[0-9a-fA-F]{24}"),
    "byte": _matches(r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})"),
    "cidr": _is_cidr,
    "creditcard": _is_credit_card,
    "date": _is_date,
    "datetime": _is_date_time,
    "duration": _is_duration,
    "email": _matches(r"(?:[^<>@]*<)?[^\s<>@,;:\"\\()\[\]]+@[^\s<>@,;:\"\\()]+>?"),
    "hexcolor": _matches(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "hostname": _is_hostname,
    "ipv4": lambda text: _parses(text) and "." in text,
    "ipv6": lambda text: _parses(text) and ":" in text,
    "isbn": lambda text: _is_isbn10(text) or _is_isbn13(text),
    "isbn10": _is_isbn10,
    "isbn13": _is_isbn13,
    "k8slongname": _is_long_name,
    "k8sshortname": _matches(_SHORT_NAME),
    "mac": _matches(r"[0-9a-fA-F]{2}(?:([:-])[0-9a-fA-F]{2}(?:\1[0-9a-fA-F]{2}){4}(?:(?:\1[0-9a-fA-F]{2}){2}"
                    r"|(?:\1[0-9a-fA-F]{2}){14})?)|(?:[0-9a-fA-F]{4}\.){2}(?:(?:[0-9a-fA-F]{4}\.){1}"
                    r"|(?:[0-9a-fA-F]{4}\.){7})?[0-9a-fA-F]{4}"),
    "password": lambda _: True,
    "rgbcolor": _matches(rf"rgb\({_COLOR},{_COLOR},{_COLOR}\)"),
    "ssn": _matches(r"\d{3}[- ]\d{2}[- ]\d{4}"),
    "uri": _is_uri,
    "uuid": _matches(_UUID % (_HEX4, _HEX4), re.IGNORECASE),
    "uuid3": _matches(_UUID % ("3[0-9a-f]{3}", _HEX4), re.IGNORECASE),
    "uuid4": _matches(_UUID % ("4[0-9a-f]{3}", _VARIANT), re.IGNORECASE),
    "uuid5": _matches(_UUID % ("5[0-9a-f]{3}", _VARIANT), re.IGNORECASE),
})  # fmt: skip
"""Whether a text has the form, by normalized name."""
