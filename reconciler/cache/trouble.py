"""What a failed list or watch means, and how it goes on: one table. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from reconciler.errors import (
    ApiError,
    BadRequestError,
    ConnectionFailedError,
    ExpiredError,
    ForbiddenError,
    InvalidError,
    InvariantError,
    MalformedObjectError,
    MethodNotAllowedError,
    NotFoundError,
    ReconcilerError,
    ServerTimeoutError,
    TooManyRequestsError,
    UnauthorizedError,
)

__all__ = ["RULES", "Rule", "Then", "Trouble", "rule_for"]


class Trouble(Enum):
    """Why the store may be behind; in words for logs and `/readyz`."""

    NONE = "none"
    NOT_SERVED = "not served by the API server"
    FORBIDDEN = "forbidden"
    UNAUTHORIZED = "not authenticated"
    OVERLOADED = "the API server is overloaded"
    UNREACHABLE = "the API server cannot be reached"
    UNAVAILABLE = "the API server is not available"
    MALFORMED = "the answer is not understood"
    REFUSED = "refused"
    EXPIRED = "the API server says again and again that the version is too old"
    SHORT = "watches end at once and bring nothing"


class Then(Enum):
    """How a watch that failed goes on after the wait; a list that failed is begun anew in any case."""

    LIST = "list"
    WATCH = "watch from the last version"


@dataclass(frozen=True, slots=True)
class Rule:
    """
    What a failure means.

    Attributes:
        trouble: Why the store may be behind.
        then: How a watch goes on.
        is_lasting: Whether waiting alone does not mend it, so who waits for a sync is told.
        again: The trouble from the second time in a row on, where that is another one.
    """

    trouble: Trouble
    then: Then
    is_lasting: bool = False
    again: Trouble | None = None


RULES: Mapping[type[ReconcilerError], Rule] = MappingProxyType({
    # Not trouble: history is bounded, and a watch that was away for long finds its version gone. But the list after
    # it gives a version that is not.
    ExpiredError:          Rule(Trouble.NONE,         Then.LIST, again=Trouble.EXPIRED),
    NotFoundError:         Rule(Trouble.NOT_SERVED,   Then.LIST),
    ForbiddenError:        Rule(Trouble.FORBIDDEN,    Then.LIST, is_lasting=True),
    # Not lasting: a token that was rotated is read again.
    UnauthorizedError:     Rule(Trouble.UNAUTHORIZED, Then.LIST),
    TooManyRequestsError:  Rule(Trouble.OVERLOADED,   Then.WATCH),
    # Includes "too large resource version": the server that answers is behind what another one said.
    ServerTimeoutError:    Rule(Trouble.UNAVAILABLE,  Then.LIST),
    ConnectionFailedError: Rule(Trouble.UNREACHABLE,  Then.WATCH),
    MalformedObjectError:  Rule(Trouble.MALFORMED,    Then.LIST),
    # A selector that makes no sense, a kind that cannot be listed.
    BadRequestError:       Rule(Trouble.REFUSED,      Then.LIST, is_lasting=True),
    MethodNotAllowedError: Rule(Trouble.REFUSED,      Then.LIST, is_lasting=True),
    InvalidError:          Rule(Trouble.REFUSED,      Then.LIST, is_lasting=True),
    ApiError:              Rule(Trouble.REFUSED,      Then.LIST),
})  # fmt: skip
"""By the nearest class of the error."""


def rule_for(error: ReconcilerError) -> Rule:
    """Return the rule of the nearest class of `error`; an error that no row covers is raised: it is a bug."""
    for kind in type(error).__mro__:
        if rule := RULES.get(kind):
            return rule
    raise InvariantError(f"no rule for a list/watch that failed with {type(error).__name__}") from error
