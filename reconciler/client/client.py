"""
`Client`: reads and writes objects at the API server, and says in the journal what it wrote.

Reading is in reads.py; how a write is made and recorded is in writes.py. Nothing is cached here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar, Unpack, cast, overload

from reconciler.api import (
    FieldSelector,
    KubeObject,
    LabelSelector,
    ObjectKey,
    ResourceType,
    field_selector_text,
    label_selector_text,
)
from reconciler.client.changes import Changes
from reconciler.client.codec import check_deleted, resource_of
from reconciler.client.contract import FieldValidation, JsonObject, Propagation, WriteOptions
from reconciler.client.options import delete_options
from reconciler.client.own_writes import OwnWrites
from reconciler.client.reads import Reads
from reconciler.client.rest import RestClient, list_words, words
from reconciler.client.subresource import StatusClient, SubresourceClient
from reconciler.client.writes import Writes, WriteTarget
from reconciler.client.written import Written
from reconciler.clock import LoopClock
from reconciler.instant import Clock
from reconciler.journal import Journal

__all__ = ["Client"]

ObjectT = TypeVar("ObjectT", bound=KubeObject)


class Client(Reads, Changes):
    """
    Reads and writes objects of any kind, typed and untyped; a `Reader` and a `Writer`.

    A subclass of `KubeObject` gives instances, a `ResourceType` gives dictionaries. What a method returns is always a
    new object. Errors: those of `RestClient`, and `MalformedObjectError` where the server's answer does not fit the
    model (a write has happened then).

    Args:
        rest: Makes the requests.
        journal: Takes a `Wrote` record for each write; None records nothing.
        ledger: Learns which versions the writes produced; None keeps no count of them.
        clock: Gives the records their time.
        field_owner: The owner of the fields of writes that name none; None leaves it to the server, which takes the
            first part of the user agent.
        field_validation: For writes that name none; None leaves it to the server, which warns.

    Mirrors: controller-runtime `client.Client`.
    Differs: returns objects instead of filling them in; `update` of a stale object and a lost answer are recorded.
    """

    def __init__(
        self,
        rest: RestClient,
        *,
        journal: Journal | None = None,
        ledger: OwnWrites | None = None,
        clock: Clock | None = None,
        field_owner: str | None = None,
        field_validation: FieldValidation | None = None,
    ) -> None:
        Reads.__init__(self, rest)
        defaults: WriteOptions = {"field_owner": field_owner, "field_validation": field_validation}
        Changes.__init__(self, Writes(rest, journal, ledger, clock or LoopClock(), defaults))
        self._status = StatusClient(self._writes)

    @property
    def status(self) -> StatusClient:
        """The status subresource."""
        return self._status

    def subscribe(self, subscriber: Callable[[Written], None]) -> None:
        """
        Call `subscriber` after each write of this client that the server took, before the writer goes on.

        It must not wait and not raise.
        """
        self._writes.subscribe(subscriber)

    def subresource(self, name: str) -> SubresourceClient:
        """Return what reads and writes the subresource of that name, such as `scale` or `eviction`."""
        return SubresourceClient(name, self._rest, self._writes)

    @overload
    async def create(self, obj: ObjectT, **options: Unpack[WriteOptions]) -> ObjectT: ...
    @overload
    async def create(
        self, obj: JsonObject, *, resource: ResourceType, **options: Unpack[WriteOptions]
    ) -> JsonObject: ...
    async def create(
        self, obj: ObjectT | JsonObject, *, resource: ResourceType | None = None, **options: Unpack[WriteOptions]
    ) -> ObjectT | JsonObject:
        """
        Create the object; return it as stored.

        What is stored nowhere, such as a `Binding`, is answered with a `Status` that tells of success: a dictionary
        gets that `Status`, and a typed object a copy of what was sent, which has no version.

        Raises:
            AlreadyExistsError: The name is taken.
        """
        return cast("ObjectT | JsonObject", await self._writes.create(obj, resource, options))

    async def delete(
        self,
        kind: type[KubeObject] | ResourceType,
        key: ObjectKey,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: Propagation | None = None,
        grace_period_seconds: int | None = None,
        dry_run: bool = False,
    ) -> None:
        """
        Ask for the object's deletion; with finalizers it stays until they are gone.

        Args:
            kind: What to delete.
            key: Its name.
            uid: Only if the object still is this one (`ConflictError` otherwise).
            resource_version: Only if nobody wrote since.
            propagation: What becomes of the objects that it owns; None leaves that to the kind.
            grace_period_seconds: How long a Pod may take to end; 0 is at once.
            dry_run: Everything is done but deleting.

        Raises:
            ValueError: `uid` or `resource_version` is empty; nothing was sent.
        """
        body = delete_options(
            uid=uid,
            resource_version=resource_version,
            propagation=propagation,
            grace_period_seconds=grace_period_seconds,
            dry_run=dry_run,
        )
        target = WriteTarget("delete", resource_of(kind), key, old_version=resource_version or "", is_dry_run=dry_run)
        answer = await self._writes.make(target, lambda: self._rest.delete(target.resource, key, body))
        # A proxy's page, answered with 200, deletes nothing.
        check_deleted(answer.body, target.resource, doing=words("delete", target.resource, key))

    async def delete_collection(
        self,
        kind: type[KubeObject] | ResourceType,
        *,
        namespace: str = "",
        label_selector: str | LabelSelector | Mapping[str, str] | None = None,
        field_selector: str | FieldSelector | Mapping[str, str] | None = None,
        propagation: Propagation | None = None,
        grace_period_seconds: int | None = None,
        dry_run: bool = False,
    ) -> None:
        """
        Ask for the deletion of every object that fits, in one request. It is not atomic.

        Args:
            kind: What to delete.
            namespace: For a namespaced kind one namespace must be named: no request deletes in all of them.
            label_selector: None selects everything in the namespace.
            field_selector: None selects everything in the namespace.
            propagation: What becomes of the objects that they own; None leaves that to the kind.
            grace_period_seconds: How long a Pod may take to end; 0 is at once.
            dry_run: Everything is done but deleting.

        Raises:
            ValueError: A namespaced kind without a namespace.
            MethodNotAllowedError: The kind cannot be deleted so (namespaces, services).

        Mirrors: controller-runtime `client.Client.DeleteAllOf`.
        """
        body = delete_options(propagation=propagation, grace_period_seconds=grace_period_seconds, dry_run=dry_run)
        resource = resource_of(kind)
        target = WriteTarget("deletecollection", resource, ObjectKey(namespace, "*"), is_dry_run=dry_run)
        answer = await self._writes.make(
            target,
            lambda: self._rest.delete_collection(
                resource,
                namespace,
                body,
                label_selector=label_selector_text(label_selector),
                field_selector=field_selector_text(field_selector),
            ),
        )
        check_deleted(answer.body, resource, doing=list_words("delete all", resource, namespace))
