"""
Schemas of custom resources: what stays of an object, what is added to it, and what is wrong with it.

`Structural` is all that the rest of the server sees. Behind it: `structural` reads a schema, `schemacheck` judges it,
`pruning` prunes and defaults, `validation` and `contents` check values, `rules` asks the rules in CEL. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from reconciler.apiserver import cause
from reconciler.apiserver.cause import FieldError
from reconciler.apiserver.contents import embedded_errors, list_errors
from reconciler.apiserver.pruning import complete, prune
from reconciler.apiserver.rules import RuleBook
from reconciler.apiserver.schemacheck import check_schema
from reconciler.apiserver.structural import ABSENT, Node, read_schema
from reconciler.apiserver.validation import NO_OLD, find_errors
from reconciler.errors import SchemaError

__all__ = ["FieldError", "SchemaError", "Structural"]


class Structural:
    """
    A schema in the form in which the server uses it.

    Mirrors: apiextensions-apiserver `schema.Structural`, `validation.SchemaValidator` and `cel.Validator`.
    """

    __slots__ = ("_node", "_rules")

    def __init__(self, node: Node, rules: RuleBook | None) -> None:
        """Use `compile`."""
        self._node = node
        self._rules = rules

    @classmethod
    def compile(cls, schema: Mapping[str, Any], *, path: str = "openAPIV3Schema") -> Structural:
        """
        Return the compiled form of an `openAPIV3Schema`.

        Args:
            schema: As it stands in a version of a CustomResourceDefinition.
            path: Where it stands; the start of `SchemaError.field`.

        Raises:
            SchemaError: It is not structural, or holds something that this server does not know.
        """
        node = read_schema(schema, path)
        check_schema(node, path)
        # Rules at the root see `apiVersion`, `kind` and the name, as in an embedded object.
        compiled = cls(node, RuleBook.bind(replace(node, embedded=True), path))
        compiled._check_defaults(node, path)
        return compiled

    def prune(self, obj: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the object without the fields that the schema does not know, and the paths of those, sorted."""
        return prune(self._node, obj, is_root=True)

    def apply_defaults(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Return the object with its defaults, and without nulls where the schema allows none."""
        completed: dict[str, Any] = complete(self._node, obj)
        return completed

    def validate(
        self, obj: Mapping[str, Any], old: Mapping[str, Any] | None = None, *, only_status: bool = False
    ) -> list[FieldError]:
        """
        Return what the schema has against an object; nothing if it is valid.

        Args:
            obj: Pruned and completed, with the right `apiVersion` and `kind`; `metadata` is judged elsewhere.
            old: The object it replaces, or None on creation. What did not change may stay, even if it is wrong.
            only_status: For a write of `/status`: of the schema's checks, those of `status` alone run; list types and
                rules are asked of the whole object.
        """
        errors = self._schema_errors(obj, old, only_status=only_status)
        errors += [] if only_status else embedded_errors(self._node, obj)
        if old is None or not list_errors(self._node, old):
            errors += list_errors(self._node, obj)
        if self._rules is None:
            return errors
        if any(error.reason in _BLOCKING for error in errors):
            return [*errors, _UNASKED]
        return errors + self._rules.find_errors(obj, NO_OLD if old is None else old)

    def _schema_errors(
        self, obj: Mapping[str, Any], old: Mapping[str, Any] | None, *, only_status: bool
    ) -> list[FieldError]:
        if not only_status:
            return find_errors(self._node, obj, NO_OLD if old is None else old)
        status = self._node.properties.get("status")
        if status is None or "status" not in obj:
            return []
        return find_errors(status, obj["status"], (old or {}).get("status", NO_OLD), above="status")

    def _check_defaults(self, node: Node, path: str) -> None:
        for name, part in node.properties.items():
            self._check_default(part, f"{path}.properties[{name}]")

    def _check_default(self, node: Node, path: str) -> None:
        """Accept a default that a client could have written, and those below it."""
        where = f"{path}.default"
        if node.default is not ABSENT and node.default is not None:
            pruned, unknown = prune(node, node.default, is_root=False)
            if unknown:
                error = cause.invalid(where, node.default, "must not have unknown fields")
                raise SchemaError(where, error.message, error.reason)
            rules = RuleBook.bind(node, path)
            errors = find_errors(node, pruned, above=where)
            if rules is not None and not errors:
                # A default must be able to come and to stay.
                errors = rules.find_errors(pruned, pruned, path=where) + rules.find_errors(pruned, path=where)
            for error in errors:
                raise SchemaError(error.field, error.message, error.reason)
        if node.items is not None:
            self._check_default(node.items, f"{path}.items")
        self._check_defaults(node, path)


_BLOCKING: Final = frozenset(
    {"FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"}
)
_UNASKED: Final = cause.invalid(
    "",
    None,
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation",
)
