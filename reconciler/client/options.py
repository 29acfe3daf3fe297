"""What a write or a deletion may be told, and what is refused before anything is sent. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from reconciler.client.codec import encode
from reconciler.client.contract import FieldValidation, Propagation, WriteOptions

__all__ = ["check_options", "check_preconditions", "delete_options", "is_dry"]

_OPTIONS = tuple(WriteOptions.__annotations__)
_VALIDATIONS: tuple[str, ...] = get_args(FieldValidation)


def check_options(options: Mapping[str, Any]) -> None:
    """Raise where an option is none, or has a value that it cannot have: a misspelt `dry_run` would write."""
    unknown = [name for name in options if name not in _OPTIONS]
    if unknown:
        hint = "; force is for apply alone" if "force" in unknown else ""
        raise TypeError(f"{', '.join(map(repr, unknown))}: no such option, there are {', '.join(_OPTIONS)}{hint}")
    if not isinstance(options.get("dry_run", False), bool):
        raise TypeError(f"dry_run is True or False, not a {type(options['dry_run']).__name__}")
    validation = options.get("field_validation")
    if validation is not None and validation not in _VALIDATIONS:
        raise ValueError(f"field_validation is one of {', '.join(_VALIDATIONS)}, not {validation!r}")


def is_dry(options: WriteOptions) -> bool:
    """Whether nothing is to be stored."""
    return options.get("dry_run", False)


def delete_options(
    *,
    uid: str | None = None,
    resource_version: str | None = None,
    propagation: Propagation | None = None,
    grace_period_seconds: int | None = None,
    dry_run: bool = False,
) -> bytes | None:
    """
    Return the body of a deletion; None where nothing is asked for.

    Raises:
        ValueError: A precondition is an empty text, such as the UID of an object that was never read.
    """
    check_preconditions({"uid": uid, "resource_version": resource_version})
    preconditions = {"uid": uid, "resourceVersion": resource_version}
    wanted: dict[str, Any] = {
        "preconditions": {name: value for name, value in preconditions.items() if value is not None},
        "propagationPolicy": propagation,
        "dryRun": ["All"] if dry_run else None,
    }
    options = {name: value for name, value in wanted.items() if value}
    if grace_period_seconds is not None:
        options["gracePeriodSeconds"] = grace_period_seconds
    return encode({"apiVersion": "v1", "kind": "DeleteOptions", **options}) if options else None


def check_preconditions(given: Mapping[str, Any]) -> None:
    """Raise ValueError where a precondition is an empty text."""
    # The server takes an empty one for none, and the write would hit whatever has the name.
    for name in ("uid", "resource_version", "resourceVersion"):
        if given.get(name) == "":
            raise ValueError(f"{name} is empty, so it would not be checked: give one, or None for no precondition")
