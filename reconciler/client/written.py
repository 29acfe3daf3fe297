"""What those are told who follow a client's writes: one write, and what the server answered to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from reconciler.api import ObjectKey, ResourceType

__all__ = ["Written"]


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """
    A write that the API server took; no dry run.

    Attributes:
        scope: Whose write it was: the controller's name; empty outside of passes.
        verb: create, update, patch, apply, delete or deletecollection.
        resource: The kind.
        key: Of the object; of a deletecollection only the namespace says something.
        subresource: Empty for the object itself.
        old_version: The version that the write demanded; empty if none.
        answer: The answer's JSON: an object, a list, or a `Status`. It may hold secrets, so it is never shown.
    """

    scope: str
    verb: str
    resource: ResourceType
    key: ObjectKey
    subresource: str
    old_version: str
    answer: bytes = field(repr=False)
