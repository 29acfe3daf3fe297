"""
How a write is made, and how note is taken of it: a `Wrote` record, a link in the ledger, fields that were lost.

Every write becomes a record, also one that was refused or never answered, under the pass that caused it. Names and
versions are recorded, contents never.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from reconciler.api import KubeObject, ObjectKey, ResourceType
from reconciler.client.codec import (
    Header,
    decode_object,
    encode,
    encode_object,
    header_of,
    read_header,
    resource_of,
    success_in,
)
from reconciler.client.contract import WriteOptions
from reconciler.client.options import check_options, check_preconditions, is_dry
from reconciler.client.own_writes import OwnWrites
from reconciler.client.patches import APPLY, Patch, form_of
from reconciler.client.pruned import Lost, LostFields, lost_fields
from reconciler.client.rest import RestClient, words
from reconciler.client.transport import HttpResponse
from reconciler.client.written import Written
from reconciler.errors import ApiError
from reconciler.instant import Clock
from reconciler.journal import Journal, Wrote, current_cause

__all__ = ["WriteTarget", "Writes", "kind_of"]


@dataclass(frozen=True, slots=True)
class WriteTarget:
    """What a write is aimed at. `old_version` is the resource version that it demands; empty if none."""

    verb: str
    resource: ResourceType
    key: ObjectKey
    subresource: str = ""
    old_version: str = ""
    uid: str = ""
    is_dry_run: bool = False

    @property
    def is_linked(self) -> bool:
        """Whether its event can be told from others'. A deletion's is never quiet, whoever caused it."""
        return bool(self.old_version) and self.verb != "delete" and not self.is_dry_run

    def words(self, header: Header) -> str:
        """Return which object it is, by the name that it got."""
        plural = f"{self.resource.plural}/{self.subresource}" if self.subresource else self.resource.plural
        key = self.key if not header.name else header.key
        return f"{plural} {key}"


class Writes:
    """
    Makes writes, and takes note of each.

    Args:
        rest: Makes the requests.
        journal: Takes a record for each write; None records nothing.
        ledger: Learns which versions the writes produced; None keeps no count of them.
        clock: Gives the records their time.
        defaults: Options of writes that do not give them themselves.
    """

    def __init__(
        self,
        rest: RestClient,
        journal: Journal | None,
        ledger: OwnWrites | None,
        clock: Clock,
        defaults: WriteOptions,
    ) -> None:
        self._rest = rest
        self._journal = journal
        self._ledger = ledger
        self._clock = clock
        check_options(defaults)
        self._defaults = defaults
        self._lost = LostFields()
        self._subscribers: list[Callable[[Written], None]] = []

    def subscribe(self, subscriber: Callable[[Written], None]) -> None:
        """Call `subscriber` after each write that the server took."""
        self._subscribers.append(subscriber)

    async def create(self, obj: Any, resource: ResourceType | None, options: WriteOptions) -> Any:
        """Create the object; return it as stored. See `Client.create` for what is stored nowhere."""
        kind, header = kind_of(obj, resource), header_of(obj)
        given = self._given(options)
        name = header.name or f"{_generate_name_of(obj)}*"
        target = WriteTarget("create", resource_of(kind), ObjectKey(header.namespace, name), is_dry_run=is_dry(given))
        doing = words("create", target.resource, target.key)
        body = encode_object(obj, target.resource, doing=doing)
        answer = await self.make(
            target,
            lambda: self._rest.create(
                target.resource,
                header.namespace,
                body,
                name=name,
                **given,
            ),
            body,
        )
        # A binding is an order: it is carried out, and nothing is stored under its name.
        if (status := success_in(answer.body)) is not None:
            return obj.model_copy(deep=True) if isinstance(obj, KubeObject) else status
        return decode_object(kind, answer.body, doing=doing)

    async def update(self, obj: Any, resource: ResourceType | None, subresource: str, options: WriteOptions) -> Any:
        """Replace the object, or its subresource; return the object as stored."""
        kind, header = kind_of(obj, resource), header_of(obj)
        key = header.key
        doing = words("update", resource_of(kind), key, subresource)
        body = encode_object(obj, resource_of(kind), doing=doing)
        answer = await self.put(resource_of(kind), key, body, header, subresource, options)
        return decode_object(kind, answer, doing=doing)

    async def put(
        self,
        resource: ResourceType,
        key: ObjectKey,
        body: bytes,
        header: Header,
        subresource: str,
        options: WriteOptions,
    ) -> bytes:
        """Replace an object or a subresource by `body`, whose metadata is `header`; return what came back."""
        given = self._given(options)
        target = WriteTarget(
            "update", resource, key, subresource, header.resource_version, header.uid, is_dry_run=is_dry(given)
        )
        answer = await self.make(
            target,
            lambda: self._rest.update(
                resource,
                key,
                body,
                subresource=subresource,
                **given,
            ),
            body,
        )
        return answer.body

    async def post(
        self, resource: ResourceType, key: ObjectKey, body: bytes, subresource: str, options: WriteOptions
    ) -> bytes:
        """Create a subresource of an object; return what came back."""
        given = self._given(options)
        target = WriteTarget("create", resource, key, subresource, is_dry_run=is_dry(given))
        answer = await self.make(
            target,
            lambda: self._rest.create(
                resource,
                key.namespace,
                body,
                name=key.name,
                subresource=subresource,
                **given,
            ),
            body,
        )
        return answer.body

    async def patch(
        self, resource: ResourceType, key: ObjectKey, patch: Patch, subresource: str, options: WriteOptions
    ) -> bytes:
        """Patch an object or a subresource; return what came back."""
        form = form_of(patch)
        check_preconditions(form.metadata)
        header = header_of({"metadata": form.metadata})
        body = encode(form.body)
        sent = body if form.body is form.merged else encode(form.merged)
        given = self._given(options)
        target = WriteTarget(
            "patch", resource, key, subresource, header.resource_version, header.uid, is_dry_run=is_dry(given)
        )
        return await self._send_patch(target, body, sent, form.content_type, given, force=False)

    async def apply(
        self, obj: Any, resource: ResourceType | None, subresource: str, options: WriteOptions, *, force: bool
    ) -> Any:
        """Apply the object on the server; return it as stored."""
        kind, header = kind_of(obj, resource), header_of(obj)
        key = header.key
        doing = words("apply", resource_of(kind), key, subresource)
        body = encode_object(obj, resource_of(kind), doing=doing)
        answer = await self.apply_body(resource_of(kind), key, body, header, subresource, options, force=force)
        return decode_object(kind, answer, doing=doing)

    async def apply_body(
        self,
        resource: ResourceType,
        key: ObjectKey,
        body: bytes,
        header: Header,
        subresource: str,
        options: WriteOptions,
        *,
        force: bool,
    ) -> bytes:
        """Apply `body`, whose metadata is `header`, to an object or a subresource; return what came back."""
        given = self._given(options)
        if not given.get("field_owner"):
            raise ValueError("server-side apply needs field_owner=, here or as an argument of the client")
        target = WriteTarget(
            "apply", resource, key, subresource, header.resource_version, header.uid, is_dry_run=is_dry(given)
        )
        return await self._send_patch(target, body, body, APPLY, given, force=force)

    async def _send_patch(
        self,
        target: WriteTarget,
        body: bytes,
        sent: bytes,
        content_type: str,
        given: WriteOptions,
        *,
        force: bool,
    ) -> bytes:
        answer = await self.make(
            target,
            lambda: self._rest.patch(
                target.resource,
                target.key,
                body,
                subresource=target.subresource,
                content_type=content_type,
                force=force,
                **given,
            ),
            sent,
        )
        return answer.body

    async def make(
        self, target: WriteTarget, send: Callable[[], Awaitable[HttpResponse]], sent: bytes = b""
    ) -> HttpResponse:
        """
        Send a write, and take note of what became of it.

        Args:
            target: What it is aimed at.
            send: Sends it.
            sent: JSON of the fields that the object is to have afterwards; empty compares none.

        Cancelled: noted as a write without an answer.
        """
        cause = current_cause.get()
        sent_after = self._journal.last_id if self._journal is not None and not target.old_version else 0
        if self._ledger is not None and cause is not None:
            self._ledger.touching(target.key)
        pending = None
        if self._ledger is not None and cause is not None and target.is_linked:
            pending = self._ledger.started(
                cause.scope, target.old_version, uid=target.uid, pass_id=0 if cause.is_over else cause.record_id
            )
        code, header = 0, Header()
        lost, is_asked = Lost(), True
        try:
            answer = await send()
            code = answer.status
            if target.verb != "deletecollection":  # its answer is a list, whose version is no object's
                header = read_header(answer.body)
            if sent:
                lost = lost_fields(target.resource, sent, answer.body, subresource=target.subresource)
        except ApiError as error:
            code = error.status.code
            raise
        except ValueError:
            is_asked = code != 0  # else the key fits no path of the kind: no request was made
            raise
        finally:
            if self._ledger is not None and pending is not None:
                self._ledger.finished(pending, uid=header.uid, new_version=header.resource_version)
            if self._ledger is not None and cause is not None:
                self._ledger.touched(target.key, header.resource_version)
            if is_asked:
                self._note(target, header, code, lost, sent_after)
        self._tell(target, header, answer)
        if any(lost):
            self._lost.tell(f"{target.verb} {target.words(header)}", target.resource, target.subresource, lost)
        return answer

    def _note(self, target: WriteTarget, header: Header, code: int, lost: Lost, sent_after: int) -> None:
        if self._journal is None:
            return
        cause = current_cause.get()
        dry = target.is_dry_run
        self._journal.append(
            Wrote(
                id=self._journal.new_id(),
                causes=(cause.record_id,) if cause else (),
                at=self._clock.now(),
                scope=cause.scope if cause else "",
                # Outside of passes by the kind: a key for each object written (each Event has a name of its own) would
                # push the histories of sleeping keys out of the journal.
                key=cause.key if cause else target.resource,
                verb=f"dry-run {target.verb}" if dry else target.verb,
                target=target.words(header),
                # Nothing was stored, so no event can follow from one version to the other.
                old_version="" if dry else target.old_version,
                new_version="" if dry else header.resource_version,
                code=code,
                is_late=cause is not None and cause.is_over,
                sent_after=sent_after,
                pruned=lost.pruned,
                changed=lost.changed,
                group=target.resource.group,
            )
        )

    def _tell(self, target: WriteTarget, header: Header, answer: HttpResponse) -> None:
        if target.is_dry_run or not self._subscribers:
            return
        cause = current_cause.get()
        key = header.key if header.name else target.key
        written = Written(
            cause.scope if cause else "", target.verb, target.resource, key, target.subresource, target.old_version,
            answer.body,
        )  # fmt: skip
        for subscriber in self._subscribers:
            subscriber(written)

    def _given(self, options: WriteOptions) -> WriteOptions:
        # The type alone is seen by type checkers only: a misspelt `dry_run` would write.
        check_options(options)
        return {
            "field_owner": options.get("field_owner") or self._defaults.get("field_owner"),
            "dry_run": options.get("dry_run", False),
            "field_validation": options.get("field_validation") or self._defaults.get("field_validation"),
        }


def kind_of(obj: Any, resource: ResourceType | None) -> Any:
    """Return the model of a typed object, or the resource type of an untyped one. Raises TypeError without one."""
    if isinstance(obj, KubeObject):
        return type(obj)
    if resource is None:
        raise TypeError("an untyped object needs resource=, which says where in the API it lives")
    return resource


def _generate_name_of(obj: Any) -> str:
    if isinstance(obj, KubeObject):
        return obj.metadata.generate_name or ""
    metadata = obj.get("metadata")
    return cast("Mapping[str, Any]", metadata).get("generateName") or "" if isinstance(metadata, Mapping) else ""
