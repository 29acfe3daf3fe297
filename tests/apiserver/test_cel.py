from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.apiserver.cel import NOTHING, ExpressionError, compile_expression, matcher

MIXED = {"a": [1, {"b": 2.5}], "c": None, "d": "x"}


@pytest.mark.parametrize(
    ("text", "value", "old", "wanted"),
    [
        pytest.param("self == oldSelf", MIXED, dict(reversed(MIXED.items())), True, id="equal maps, keys in any order"),
        pytest.param("self == oldSelf", MIXED, {**MIXED, "d": "y"}, False, id="unequal maps"),
        pytest.param("self == oldSelf", [1, 2], [2, 1], False, id="lists in another order"),
        pytest.param("self == oldSelf", [1, [2]], [1, [2]], True, id="equal nested lists"),
        pytest.param("self == oldSelf", {"a": 1}, {"a": 1.0}, True, id="an int and a double of the same value"),
        pytest.param("self == oldSelf", {"a": 1}, {"a": 1, "b": None}, False, id="a null is not an absence"),
        pytest.param("has(self.a) && !has(self.z)", MIXED, NOTHING, True, id="has"),
        pytest.param("size(self.a) == 2 && self.d.size() == 1", MIXED, NOTHING, True, id="size"),
        pytest.param("size(self) == 2", "é💥", NOTHING, True, id="size of a text in characters"),
        pytest.param("self.all(x, x > 1) && self.exists(x, x == 2)", [2, 3], NOTHING, True, id="all and exists"),
        pytest.param("self.exists_one(x, x > 2) && self.filter(x, x > 2) == [3]", [2, 3], NOTHING, True, id="filter"),
        pytest.param("self.map(x, x * 2) == [4, 6]", [2, 3], NOTHING, True, id="map"),
        pytest.param("self.all(k, self[k] > 0) && 'a' in self", {"a": 1}, NOTHING, True, id="keys of a map"),
        pytest.param(
            "self.startsWith('ab') && self.contains('b') && self.endsWith('c')", "abc", NOTHING, True, id="text"
        ),
        pytest.param("self.split(',')[1].upperAscii() == 'B'", "a,b", NOTHING, True, id="the strings extension"),
        pytest.param("math.greatest(self, 2.5) == 3", 3, NOTHING, True, id="the math extension"),
        pytest.param("self.?z.orValue('none') == 'none'", MIXED, NOTHING, True, id="optional fields"),
        pytest.param("type(self) == int ? self > 1 : self == '1'", "1", NOTHING, True, id="the type of a value"),
        pytest.param("self.a == null", {"a": None}, NOTHING, True, id="null"),
        pytest.param("self.__namespace__ == 'x'", {"__namespace__": "x"}, NOTHING, True, id="an escaped name"),
    ],
)
def test_an_expression_comes_to_its_value(text: str, value: Any, old: Any, wanted: Any) -> None:
    assert compile_expression(text).evaluate(value, old) == wanted


@pytest.mark.parametrize(
    ("text", "declared", "value"),
    [
        pytest.param(
            "self > timestamp('2024-01-01T00:00:00Z')", "timestamp", datetime(2024, 1, 2, tzinfo=UTC), id="a time"
        ),
        pytest.param("self > duration('1m')", "duration", timedelta(minutes=2), id="a duration"),
        pytest.param("self == b'abc'", "bytes", b"abc", id="bytes"),
        pytest.param(
            "self[0] == self[1]", "list<timestamp>", [datetime(2024, 1, 2, tzinfo=UTC)] * 2, id="a list of times"
        ),
        pytest.param("self['a'] == self.b", "map<string>", {"a": "x", "b": "x"}, id="a map of texts"),
    ],
)
def test_a_declared_type_brings_values_that_json_has_not(text: str, declared: str, value: Any) -> None:
    assert compile_expression(text, declared=declared).evaluate(value) is True


@pytest.mark.parametrize(
    ("text", "value", "words"),
    [
        pytest.param("self.b == 1", {"a": 1}, "no such key: b", id="a missing field"),
        pytest.param("self[3] == 1", [1], "index out of bounds: 3", id="outside a list"),
        pytest.param("1 / self == 1", 0, "division by zero", id="division"),
        pytest.param("self + 9223372036854775807 > 0", 1, "integer overflow", id="overflow"),
        pytest.param("self.a > 1", {"a": "x"}, "no such overload", id="types that do not compare"),
    ],
)
def test_an_expression_without_a_value_says_so_in_the_words_of_cel_go(text: str, value: Any, words: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text).evaluate(value)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        pytest.param("self.a >", {}, "compilation failed: ERROR: <input>:1:9: Syntax error", id="syntax"),
        pytest.param("foo == 1", {}, "undeclared reference to 'foo'", id="an unknown name"),
        pytest.param("self > 'a'", {"declared": "bool"}, "found no matching overload for '_>_'", id="types"),
        pytest.param("self", {"declared": "string"}, "cel expression must evaluate to a bool", id="a text as a rule"),
        pytest.param(
            "true", {"returns": "string"}, "cel expression must evaluate to a string", id="a bool as a message"
        ),
        pytest.param("self.isSorted()", {}, "undeclared reference to 'isSorted'", id="a library of Kubernetes"),
    ],
)
def test_an_expression_that_does_not_compile_says_why(text: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, **options)
    assert words in str(caught.value)


def test_a_program_knows_whether_it_speaks_of_a_change() -> None:
    assert compile_expression("self == oldSelf").uses_old_self
    assert not compile_expression("self == 'oldSelf'", declared="string").uses_old_self


def test_an_optional_old_value_is_there_or_not() -> None:
    program = compile_expression("!oldSelf.hasValue() || oldSelf.value() < self", old_is_optional=True)
    assert program.old_is_optional
    assert program.evaluate(1) is True
    assert program.evaluate(2, 1) is True
    assert program.evaluate(1, 2) is False


def test_a_rule_that_ends_in_a_comment_keeps_its_meaning_with_an_optional_old_value() -> None:
    program = compile_expression("oldSelf.orValue(5) > self // so far", old_is_optional=True)
    assert program.evaluate(4) is True


def test_a_compiled_expression_is_kept() -> None:
    assert compile_expression("self.kept == 1") is compile_expression("self.kept == 1")
    assert matcher("kept") is matcher("kept")


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        pytest.param("b", "abc", True, id="anywhere"),
        pytest.param("^a$", "a\n", False, id="the end is the end"),
        pytest.param("^\\d+$", "٣", False, id="digits are ASCII"),
        pytest.param("^\\pL+$", "éß", True, id="classes of Unicode"),
        pytest.param("(?i)ABC", "xabc", True, id="flags"),
        pytest.param("\"\\\\'\t", "\"\\'\t", True, id="quotes and escapes"),
        pytest.param("^💥$", "💥", True, id="beyond 16 bits"),
    ],
)
def test_a_pattern_is_that_of_re2(pattern: str, text: str, found: bool) -> None:
    assert matcher(pattern)(text) is found


@pytest.mark.parametrize("pattern", ["[", "(?!a)b", "(?<=a)b", "\\1", "a**"])
def test_a_pattern_that_re2_does_not_know_is_refused(pattern: str) -> None:
    with pytest.raises(ExpressionError, match="invalid regular expression"):
        matcher(pattern)
