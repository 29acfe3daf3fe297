"""
The pieces that several built-in kinds share: references, conditions, and fields with a form of their own on the wire.

Pure.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BeforeValidator, PlainSerializer

from reconciler.api import ApiModel, LabelSelector

__all__ = [
    "Base64",
    "IntOrString",
    "KindCondition",
    "LabelSelectorRequirement",
    "LocalObjectReference",
    "MicroTime",
    "ObjectReference",
    "PodSelector",
    "TemplateMeta",
    "label_selector_of",
]


def _to_bytes(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return b64decode(value, validate=True)
    except ValueError:
        # Not "from": the text may be a part of a secret.
        raise ValueError("not base64; give bytes for the value itself") from None


def _to_base64(value: bytes) -> str:
    return b64encode(value).decode()


def _with_microseconds(value: datetime) -> str:
    # Go's MicroTime refuses a time without them, and pydantic leaves them out where they are 0.
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


Base64 = Annotated[bytes, BeforeValidator(_to_bytes), PlainSerializer(_to_base64, return_type=str, when_used="json")]
"""Bytes, which are base64 on the wire. Text that is given for them is taken for base64."""

MicroTime = Annotated[AwareDatetime, PlainSerializer(_with_microseconds, return_type=str, when_used="json-unless-none")]
"""A time with microseconds, always six digits on the wire. Mirrors: apimachinery `metav1.MicroTime`."""

IntOrString = int | str
"""A number, or a text such as `25%`. Mirrors: apimachinery `intstr.IntOrString`."""


class ObjectReference(ApiModel):
    """Names an object, or a part of it. Mirrors: `corev1.ObjectReference`."""

    api_version: str | None = None
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    field_path: str | None = None


class LocalObjectReference(ApiModel):
    """Names an object of the same namespace. Mirrors: `corev1.LocalObjectReference`."""

    name: str = ""


class KindCondition(ApiModel):
    """
    A condition of a built-in kind, which came before the rules for conditions: no more than type and status is certain.

    Mirrors: `corev1.PodCondition`, `corev1.NamespaceCondition`, `appsv1.DeploymentCondition`,
    `apiextensionsv1.CustomResourceDefinitionCondition`.
    Differs: one model for all of them.
    """

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str | None = None
    message: str | None = None
    last_transition_time: datetime | None = None
    last_update_time: datetime | None = None
    last_probe_time: datetime | None = None
    observed_generation: int | None = None


class LabelSelectorRequirement(ApiModel):
    """One demand on a label: `In`, `NotIn`, `Exists` or `DoesNotExist`. Mirrors: `metav1.LabelSelectorRequirement`."""

    key: str
    operator: str
    values: list[str] | None = None


class PodSelector(ApiModel):
    """
    Which pods belong to the object, as a field of it.

    Mirrors: apimachinery `metav1.LabelSelector`.
    """

    match_labels: dict[str, str] | None = None
    match_expressions: list[LabelSelectorRequirement] | None = None


def label_selector_of(selector: PodSelector | Mapping[str, Any] | None) -> LabelSelector:
    """
    Return what a selector in an object's field selects, to list or watch by it.

    An empty one selects everything, and None nothing.

    Args:
        selector: Such as `deployment.spec.selector`, or the same of an untyped object.

    Raises:
        ValueError: An operator, key or value is not allowed, or there is something else in it than `matchLabels` and
            `matchExpressions`; names it.

    Mirrors: apimachinery `metav1.LabelSelectorAsSelector`.
    """
    if selector is None:
        return LabelSelector.nothing()
    if not isinstance(selector, PodSelector):
        selector = PodSelector.model_validate(selector)
    if selector.model_extra:
        raise ValueError(
            f"a selector has matchLabels and matchExpressions, this one has {', '.join(selector.model_extra)}; labels "
            "alone are LabelSelector(labels)"
        )
    found = LabelSelector(selector.match_labels)
    for requirement in selector.match_expressions or ():
        found = _with(found, requirement)
    return found


def _with(selector: LabelSelector, requirement: LabelSelectorRequirement) -> LabelSelector:
    key, values = requirement.key, requirement.values or []
    if requirement.operator in {"Exists", "DoesNotExist"} and values:
        raise ValueError(f"label {key}: {requirement.operator} takes no values")
    match requirement.operator:
        case "In":
            return selector.in_(key, values)
        case "NotIn":
            return selector.not_in(key, values)
        case "Exists":
            return selector.exists(key)
        case "DoesNotExist":
            return selector.absent(key)
        case other:
            raise ValueError(f"label {key}: {other!r} is none of In, NotIn, Exists and DoesNotExist")


class TemplateMeta(ApiModel):
    """
    What a template gives to the objects that are made from it.

    Mirrors: apimachinery `metav1.ObjectMeta`, as far as it means something in a template.
    """

    name: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    finalizers: list[str] | None = None
