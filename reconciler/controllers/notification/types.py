"""
The API of NotificationRequest as Python models; `crd.yaml` beside this file is the schema that the server enforces.

On the wire the models follow Go's `omitempty`: in `status`, zero counters, empty strings and empty lists are absent.
`spec` is immutable on the server, and an update that leaves out an explicit empty value is a change: what was set
explicitly in `spec`, or came from the server, is therefore written back even where it is empty. Unknown fields
survive both ways. Timestamps are aware, keep microseconds, and are written with `Z`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import (
    AwareDatetime,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from pydantic.alias_generators import to_camel

from reconciler.api import ApiModel, Condition, KubeObject, ResourceType

__all__ = [
    "ActionLink",
    "AnalysisContext",
    "AttemptStatus",
    "DedupContext",
    "DeliveryAttempt",
    "DeliveryChannel",
    "DeliveryIntent",
    "DeliveryStatus",
    "ErrorClass",
    "ExecutionContext",
    "GivenUp",
    "LineageContext",
    "NotificationContext",
    "NotificationPriority",
    "NotificationRequest",
    "NotificationRequestSpec",
    "NotificationRequestStatus",
    "NotificationType",
    "ObjectReference",
    "RetryPolicy",
    "ReviewContext",
    "ReviewSource",
    "TargetContext",
    "VerificationContext",
    "WorkflowContext",
    "custom_resource_definition",
]

NotificationType = Literal["Escalation", "Simple", "StatusUpdate", "Approval", "ManualReview", "Completion"]
NotificationPriority = Literal["Critical", "High", "Medium", "Low"]
ReviewSource = Literal["AIAnalysis", "WorkflowExecution", "RoutingEngine"]
AttemptStatus = Literal["success", "failed", "timeout", "invalid"]
ErrorClass = Literal["transient", "permanent", "throttled"]
GivenUp = Literal["permanent", "exhausted", "inDoubt"]


class _OmitsEmpty(ApiModel):
    """A piece of the object whose optional fields are absent on the wire while they are empty."""

    keeps_explicit: ClassVar[bool] = False
    """Whether an empty value that was set explicitly is written all the same."""
    always_written: ClassVar[frozenset[str]] = frozenset()
    """Fields that have a default here and are required by the schema."""

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        wire: dict[str, Any] = handler(self)
        omitted = _omitted_fields(type(self), bool(info.by_alias))
        for key in [key for key, value in wire.items() if not value and key in omitted]:
            if not (self.keeps_explicit and omitted[key] in self.model_fields_set and wire[key] is not None):
                del wire[key]
        return wire


@cache
def _omitted_fields(model: type[_OmitsEmpty], by_alias: bool) -> Mapping[str, str]:
    """Return the keys that are absent on the wire while they are empty, each with its field's name."""
    # Once for each model: pydantic's `model_fields` costs more than the rest of a serialization.
    return {
        (field.serialization_alias or name) if by_alias else name: name
        for name, field in model.model_fields.items()
        if not field.is_required() and name not in model.always_written
    }


class _SpecModel(_OmitsEmpty):
    """A piece of `spec`: what was set explicitly is written back even where it is empty."""

    keeps_explicit: ClassVar[bool] = True


class ObjectReference(_SpecModel):
    """Names another object, as a whole or in part. Mirrors: core/v1 `ObjectReference`."""

    api_version: str = ""
    field_path: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    uid: str = ""


class LineageContext(_SpecModel):
    """Which objects led to the notification."""

    remediation_request: str = ""
    ai_analysis: str = ""


class WorkflowContext(_SpecModel):
    """The remediation workflow that was chosen."""

    selected_workflow: str = ""
    confidence: str = ""
    workflow_id: str = ""
    workflow_name: str = ""
    action_type: str = ""
    execution_engine: str = ""


class AnalysisContext(_SpecModel):
    """What the analysis found."""

    approval_reason: str = ""
    root_cause: str = ""
    outcome: str = ""


class ReviewContext(_SpecModel):
    """Why a person has to look at it."""

    reason: str = ""
    sub_reason: str = ""
    human_review_reason: str = ""
    root_cause_analysis: str = ""
    alignment_verdict: str = ""
    circuit_breaker_activated: bool = False


class ExecutionContext(_SpecModel):
    """How the execution went; all values are text, numbers included."""

    retry_count: str = ""
    max_retries: str = ""
    last_exit_code: str = ""
    previous_execution: str = ""
    timeout_phase: str = ""
    phase_timeout: str = ""


class DedupContext(_SpecModel):
    """How many requests were folded into one; the number is text."""

    duplicate_count: str = ""


class TargetContext(_SpecModel):
    """What the remediation acts on, as `Kind/Name`."""

    target_resource: str = ""


class VerificationContext(_SpecModel):
    """Whether the remediation was verified, and with what outcome."""

    assessed: bool
    outcome: str = ""
    reason: str = ""
    summary: str = ""
    degraded: bool = False
    degraded_reason: str = ""


class NotificationContext(_SpecModel):
    """Typed context of the notification; `routing.attributes` says which parts routing can see."""

    lineage: LineageContext | None = None
    workflow: WorkflowContext | None = None
    analysis: AnalysisContext | None = None
    review: ReviewContext | None = None
    execution: ExecutionContext | None = None
    dedup: DedupContext | None = None
    target: TargetContext | None = None
    verification: VerificationContext | None = None


class ActionLink(_SpecModel):
    """A link for the reader of the notification."""

    service: str
    url: str
    label: str


class RetryPolicy(_SpecModel):
    """
    How often, and how far apart, each channel is tried.

    Attributes:
        max_attempts: For each channel; the first try counts.
        initial_backoff_seconds: The delay after the first failed attempt.
        backoff_multiplier: Each further delay is this many times the one before.
        max_backoff_seconds: Upper bound of a delay, before jitter. It may be below the initial one, and then wins.
    """

    max_attempts: Annotated[int, Field(ge=1, le=10)] = 5
    initial_backoff_seconds: Annotated[int, Field(ge=1, le=300)] = 30
    backoff_multiplier: Annotated[int, Field(ge=1, le=10)] = 2
    max_backoff_seconds: Annotated[int, Field(ge=60, le=3600)] = 480


def _spec_alias(name: str) -> str:
    return {"cluster_id": "clusterID"}.get(name) or to_camel(name)


class NotificationRequestSpec(_SpecModel):
    """
    What to tell, to whom it matters, and how hard to try. Immutable once created.

    There is no list of channels: routing chooses them from the attributes of the request.
    """

    model_config = ConfigDict(alias_generator=_spec_alias)
    always_written: ClassVar[frozenset[str]] = frozenset({"priority"})

    remediation_request_ref: ObjectReference | None = None
    cluster_id: str = ""
    type: NotificationType
    priority: NotificationPriority = "Medium"
    subject: Annotated[str, Field(min_length=1, max_length=500)]
    body: Annotated[str, Field(min_length=1)]
    severity: str = ""
    phase: str = ""
    review_source: ReviewSource | None = None
    context: NotificationContext | None = None
    extensions: dict[str, str] = Field(default_factory=dict[str, str])
    action_links: list[ActionLink] = Field(default_factory=list[ActionLink])
    retry_policy: RetryPolicy | None = None
    retention_days: Annotated[int, Field(ge=1, le=90)] = 7


class DeliveryAttempt(_OmitsEmpty):
    """
    One try of one channel whose outcome is known.

    Attributes:
        channel: The channel key, such as `console` or `file:audit`.
        attempt: Counts from 1 for each channel; with `channel` it identifies the attempt.
        timestamp: When the attempt ended.
        status: Only `success` and `failed` are written; the other two are reserved by the schema.
        error: Empty for a success. Begins with `permanent failure: ` where a further try cannot help.
        duration_seconds: How long the attempt took.
    """

    channel: str
    attempt: int
    timestamp: AwareDatetime
    status: AttemptStatus
    error: str = ""
    duration_seconds: float = 0.0


class DeliveryChannel(_OmitsEmpty):
    """
    One channel of a request, as frozen at the first delivery pass.

    Attributes:
        name: The channel key.
        error_class: The class of the last failed attempt; None while there is none.
        next_attempt_at: For people to read. It is computed from the attempts and the policy, never decided from.
        given_up: Why the channel gets no more attempts; None while it may get some, and after a success.
    """

    name: str
    error_class: ErrorClass | None = None
    next_attempt_at: AwareDatetime | None = None
    given_up: GivenUp | None = None


class DeliveryIntent(_OmitsEmpty):
    """A send that was announced: channel, attempt number (from 1), and when it was announced."""

    channel: str
    attempt: Annotated[int, Field(ge=1)]
    at: AwareDatetime


class DeliveryStatus(_OmitsEmpty):
    """
    What the original's status has no place for.

    Attributes:
        channels: In the order routing resolved them; frozen at the first pass, so that a changed routing file
            does not change a request under way.
        intents: Sends announced and not yet settled.
        in_doubt: Attempts whose outcome nobody knows; each counts as used and failed.
    """

    channels: list[DeliveryChannel] = Field(default_factory=list[DeliveryChannel])
    intents: list[DeliveryIntent] = Field(default_factory=list[DeliveryIntent])
    in_doubt: list[DeliveryIntent] = Field(default_factory=list[DeliveryIntent])


class NotificationRequestStatus(_OmitsEmpty):
    """What the controller did so far. `phase` is empty until the controller has seen the request."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: list[Condition] = Field(default_factory=list[Condition])
    delivery_attempts: list[DeliveryAttempt] = Field(default_factory=list[DeliveryAttempt])
    total_attempts: int = 0
    successful_deliveries: int = 0
    failed_deliveries: int = 0
    queued_at: AwareDatetime | None = None
    processing_started_at: AwareDatetime | None = None
    completion_time: AwareDatetime | None = None
    observed_generation: int = 0
    delivery: DeliveryStatus | None = None


def _no_spec() -> NotificationRequestSpec:
    # Unvalidated on purpose: no valid spec has an empty type, and a real one must not be made by leaving things out.
    empty: dict[str, Any] = dict.fromkeys(("type", "priority", "subject", "body"), "")
    return NotificationRequestSpec.model_construct(set(), **empty)


class NotificationRequest(KubeObject):
    """
    Asks for one notification to be delivered to the channels that routing chooses.

    The schema does not require `spec`. An object without one reads as a spec of empty strings, which routing sends
    to the root receiver, and is written back without one.
    """

    resource: ClassVar[ResourceType] = ResourceType(
        group="kubernaut.ai", version="v1alpha1", kind="NotificationRequest", plural="notificationrequests"
    )

    spec: NotificationRequestSpec = Field(default_factory=_no_spec)
    status: NotificationRequestStatus = Field(default_factory=NotificationRequestStatus)

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form; `spec` is absent if it was never given, `status` while it is empty."""
        wire = super().to_wire()
        if "spec" not in self.model_fields_set:
            wire.pop("spec", None)
        if not wire.get("status"):
            wire.pop("status", None)
        return wire


def custom_resource_definition() -> dict[str, Any]:
    """Return a fresh copy of the CustomResourceDefinition that this package carries, as plain data."""
    text = files("reconciler.controllers.notification").joinpath("crd.yaml").read_text(encoding="utf-8")
    crd: dict[str, Any] = yaml.safe_load(text)
    return crd
