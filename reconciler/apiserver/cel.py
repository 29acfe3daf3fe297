"""
Common Expression Language, as far as validation rules need it: compile an expression once, evaluate it often.

A thin wrapper of cel-expr-python, Google's binding of cel-cpp; the only file that imports it. Strings are matched by
RE2 there, so `matcher` gives patterns the syntax and the speed that they have in a kube-apiserver.

Differs: from a kube-apiserver, whose CEL is cel-go with more libraries.
    - The language, its macros, optionals, and the string and math extensions are here; the libraries of Kubernetes
      (lists, regex `find`, URLs, quantities, IP addresses, semver, formats), sets and two-variable macros are not:
      an expression that calls one does not compile.
    - Fields of objects have no static types: a misspelt field is found when the rule runs, not when it is compiled.
    - No cost is counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_optional, ext_strings

__all__ = ["NOTHING", "ExpressionError", "Program", "Returns", "compile_expression", "matcher"]

Returns = Literal["bool", "string"]

NOTHING: Final = object()
"""In place of an old value that does not exist; null is a value."""


class ExpressionError(Exception):
    """An expression does not compile, or came to no value; the text says why, in cel-go's words where known."""


@dataclass(frozen=True, slots=True)
class Program:
    """
    A compiled expression.

    Attributes:
        uses_old_self: Whether it mentions `oldSelf`; such a rule speaks of a change.
        old_is_optional: Whether `oldSelf` is an optional, which is there on creation too.
    """

    uses_old_self: bool
    old_is_optional: bool
    _with_old: cel.Expression
    _without_old: cel.Expression

    def evaluate(self, value: Any, old: Any = NOTHING) -> Any:
        """
        Return what the expression comes to: a bool or a string, as it was compiled for.

        Args:
            value: `self`, of JSON types; `bytes`, `datetime` and `timedelta` too where the declared type has them.
            old: `oldSelf`, or `NOTHING`.

        Raises:
            ExpressionError: It came to no value, such as for a key that is not there.
        """
        data: dict[str, Any] = {"self": value}
        if old is not NOTHING:
            data["oldSelf"] = old
        expression = self._without_old if old is NOTHING else self._with_old
        try:
            result = expression.eval(data=data)
        except RuntimeError as error:  # a value that CEL has no type for
            raise ExpressionError(_evaluation_text(str(error))) from error
        if result.type() == cel.Type.ERROR:
            raise ExpressionError(_evaluation_text(str(result.value())))
        return result.value()


@lru_cache(maxsize=4096)
def compile_expression(
    text: str, *, declared: str = "dyn", returns: Returns = "bool", old_is_optional: bool = False
) -> Program:
    """
    Return the compiled form of a rule or of a message expression.

    Args:
        text: The expression.
        declared: The CEL type of `self` and `oldSelf`, such as `list<int>`; `dyn` for objects.
        returns: What it must come to.
        old_is_optional: See `Program`.

    Raises:
        ExpressionError: It does not parse, does not type-check, or comes to something else than `returns`.
    """
    alone = _try_compile(text, _environment(declared, has_old=False))
    if alone is not None:
        _check_result(alone, returns)
        return Program(uses_old_self=False, old_is_optional=False, _with_old=alone, _without_old=alone)
    environment = _environment(declared, has_old=True)
    if not old_is_optional:
        plain = _compile(text, environment)
        _check_result(plain, returns)
        return Program(uses_old_self=True, old_is_optional=False, _with_old=plain, _without_old=plain)
    # The binding takes no optional from outside, so the expression is given one of its own making.
    some = _compile(f"[optional.of(oldSelf)].map(oldSelf, {text}\n)[0]", environment)
    none = _compile(f"[optional.none()].map(oldSelf, {text}\n)[0]", environment)
    return Program(uses_old_self=True, old_is_optional=True, _with_old=some, _without_old=none)


@lru_cache(maxsize=4096)
def matcher(pattern: str) -> Callable[[str], bool]:
    """
    Return a predicate: whether RE2 finds `pattern` in a text.

    Raises:
        ExpressionError: The pattern does not parse.
    """
    # JSON's escapes are CEL's too.
    expression = _compile(f"self.matches({json.dumps(pattern, ensure_ascii=False)})", _environment("string"))
    program = Program(uses_old_self=False, old_is_optional=False, _with_old=expression, _without_old=expression)
    program.evaluate("")
    return program.evaluate


@lru_cache(maxsize=256)
def _environment(declared: str, *, has_old: bool = False) -> cel.Env:
    names = ("self", "oldSelf") if has_old else ("self",)
    return cel.NewEnv(
        variables={name: _type(declared) for name in names},
        extensions=[ext_strings.ExtStrings(), ext_math.ExtMath(), ext_optional.ExtOptional()],
    )


_SCALARS: Mapping[str, cel.Type] = {
    "bool": cel.Type.BOOL,
    "bytes": cel.Type.BYTES,
    "double": cel.Type.DOUBLE,
    "duration": cel.Type.DURATION,
    "dyn": cel.Type.DYN,
    "int": cel.Type.INT,
    "string": cel.Type.STRING,
    "timestamp": cel.Type.TIMESTAMP,
}


def _type(declared: str) -> cel.Type:
    outer, _, rest = declared.partition("<")
    if outer == "list":
        return cel.Type.List(_type(rest[:-1]))
    if outer == "map":
        return cel.Type.Map(cel.Type.STRING, _type(rest[:-1]))
    return _SCALARS[declared]


def _compile(text: str, environment: cel.Env) -> cel.Expression:
    try:
        return environment.compile(text)
    except RuntimeError as error:
        raise ExpressionError(f"compilation failed: {_status_text(str(error))}") from error


def _try_compile(text: str, environment: cel.Env) -> cel.Expression | None:
    try:
        return environment.compile(text)
    except RuntimeError:
        return None


def _check_result(expression: cel.Expression, returns: Returns) -> None:
    found = expression.return_type()
    wanted = cel.Type.BOOL if returns == "bool" else cel.Type.STRING
    if found not in (wanted, cel.Type.DYN):
        article = "a bool" if returns == "bool" else "a string"
        raise ExpressionError(f"cel expression must evaluate to {article}")


_STATUS_CODE = re.compile(r"^[A-Z_]+: |\s*\[[A-Z_]+\]$")


def _status_text(text: str) -> str:
    return _STATUS_CODE.sub("", text)


_CEL_GO_WORDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r'^Key not found in map : "?(.*?)"?$', re.DOTALL), r"no such key: \1"),
    (re.compile(r"^Index error: index=(-?\d+) size=\d+$"), r"index out of bounds: \1"),
    (re.compile(r"^divide by zero$"), "division by zero"),
    (re.compile(r"^No matching overloads found.*$", re.DOTALL), "no such overload"),
)


def _evaluation_text(text: str) -> str:
    plain = _status_text(text)
    for pattern, words in _CEL_GO_WORDS:
        said, count = pattern.subn(words, plain)
        if count:
            return said
    return plain
