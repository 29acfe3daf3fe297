"""Subresources: `status` as part of its object, and any other one as what it is, a small object of another kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, Unpack

from reconciler.api import KubeObject, ObjectKey, ResourceType
from reconciler.client.changes import Changes
from reconciler.client.codec import check_answered, decode_json, encode, read_header, resource_of
from reconciler.client.contract import JsonObject, WriteOptions
from reconciler.client.patches import Patch
from reconciler.client.rest import RestClient, words
from reconciler.client.writes import Writes

__all__ = ["StatusClient", "SubresourceClient"]

ObjectT = TypeVar("ObjectT", bound=KubeObject)


class StatusClient(Changes):
    """
    Writes the status subresource: the server ignores everything but `status`.

    Mirrors: controller-runtime `client.SubResourceWriter`.
    """

    def __init__(self, writes: Writes) -> None:
        super().__init__(writes, "status")


class SubresourceClient:
    """
    Reads and writes one subresource of any kind, as dictionaries; `Client.subresource` makes it.

    What comes back is what the subresource holds, mostly of another kind: a `Scale` from `scale`, a `Status` from an
    `eviction`. An answer that names neither a kind nor an object, or a `Status` that tells of a failure, raises
    `MalformedObjectError`; a write that is answered so has happened, unless a proxy answered.

    Mirrors: controller-runtime `client.SubResourceClient`.
    """

    def __init__(self, name: str, rest: RestClient, writes: Writes) -> None:
        if not name:
            raise ValueError("a subresource has a name, this one is empty")
        self._name = name
        self._rest = rest
        self._writes = writes

    async def get(self, kind: type[KubeObject] | ResourceType, key: ObjectKey) -> JsonObject:
        """Return the subresource of one object."""
        body = await self._rest.get(resource_of(kind), key, subresource=self._name)
        return self._decode("get", kind, key, body)

    async def create(
        self,
        kind: type[KubeObject] | ResourceType,
        key: ObjectKey,
        body: Mapping[str, Any],
        **options: Unpack[WriteOptions],
    ) -> JsonObject:
        """Ask for something by the subresource (an eviction, a token, a binding); return the answer."""
        resource = resource_of(kind)
        answer = await self._writes.post(resource, key, encode(body), self._name, options)
        return self._decode("create", kind, key, answer)

    async def update(
        self,
        kind: type[KubeObject] | ResourceType,
        key: ObjectKey,
        body: Mapping[str, Any],
        **options: Unpack[WriteOptions],
    ) -> JsonObject:
        """Replace the subresource; with a resource version in `body` only if nobody wrote since."""
        resource, sent = resource_of(kind), encode(body)
        answer = await self._writes.put(resource, key, sent, read_header(sent), self._name, options)
        return self._decode("update", kind, key, answer)

    async def patch(
        self,
        kind: type[KubeObject] | ResourceType,
        key: ObjectKey,
        patch: Patch,
        **options: Unpack[WriteOptions],
    ) -> JsonObject:
        """Patch the subresource; a mapping is a JSON merge patch."""
        answer = await self._writes.patch(resource_of(kind), key, patch, self._name, options)
        return self._decode("patch", kind, key, answer)

    async def apply(
        self,
        kind: type[KubeObject] | ResourceType,
        key: ObjectKey,
        body: Mapping[str, Any],
        *,
        force: bool = False,
        **options: Unpack[WriteOptions],
    ) -> JsonObject:
        """
        Make the fields in `body` so, and own them (server-side apply); `field_owner` is needed, as in `Client.apply`.

        `body` is an object of the kind that the subresource holds, with `apiVersion` and `kind`, such as a `Scale`.
        """
        resource, sent = resource_of(kind), encode(body)
        answer = await self._writes.apply_body(resource, key, sent, read_header(sent), self._name, options, force=force)
        return self._decode("apply", kind, key, answer)

    def _decode(self, verb: str, kind: type[KubeObject] | ResourceType, key: ObjectKey, body: bytes) -> JsonObject:
        doing = words(verb, resource_of(kind), key, self._name)
        answer = decode_json(body, doing=doing)
        check_answered(answer, doing=doing)
        return answer
