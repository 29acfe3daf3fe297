"""
The verbs: what create, update, patch and delete do to the storage. Synchronous; nothing here waits.

Each verb is atomic, since no task switch can come between its reads and its writes. Kinds differ only by the `Rules` of
their resource. What the controllers of a real cluster do for namespaces and definitions (emptying them, then removing
them) is done here at once, in the same call.

Differs from a kube-apiserver: no managed fields, no admission beyond the namespace's life cycle, no garbage collector
(as with a bare kube-apiserver, `Foreground` and `Orphan` leave their finalizer for one).
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from datetime import datetime

import msgspec

from reconciler.apiserver import metadata
from reconciler.apiserver.core_kinds import (
    INITIAL_NAMESPACES,
    NAMESPACES,
    PROTECTED_NAMESPACES,
    new_namespace,
)
from reconciler.apiserver.crds import CRDS, is_established, with_status
from reconciler.apiserver.exchange import JsonObject
from reconciler.apiserver.failure import (
    already_exists,
    forbidden,
    internal,
    method_not_allowed,
    not_found,
)
from reconciler.apiserver.kinds import Kinds
from reconciler.apiserver.options import DeleteOptions, WriteOptions
from reconciler.apiserver.preconditions import check_deletable, check_uid, check_valid, check_version
from reconciler.apiserver.resource import Resource, object_key
from reconciler.apiserver.storage import Entry, Storage
from reconciler.instant import WallClock

__all__ = ["Registry"]

_NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_GENERATED_BASE_MAX = 58
_POLICY_FINALIZERS = {"Orphan": "orphan", "Foreground": "foregroundDeletion"}


def _content(obj: JsonObject) -> JsonObject:
    return {key: value for key, value in obj.items() if key != "metadata"}


class Registry:
    """
    Verbs over a storage.

    Args:
        storage: Where objects live.
        kinds: What is served.
        wall: Gives creation and deletion timestamps, in whole seconds.
        rng: Gives uids and generated names.
    """

    def __init__(self, *, storage: Storage, kinds: Kinds, wall: WallClock, rng: random.Random) -> None:
        """The first namespaces are there at once."""
        self.storage = storage
        self.kinds = kinds
        self._wall = wall
        self._rng = rng
        for name in INITIAL_NAMESPACES:
            self.create(NAMESPACES, "", new_namespace(name), WriteOptions())

    # --- reading ---

    def get(self, resource: Resource, namespace: str, name: str) -> Entry:
        """Return the object, in the resource's version. Raises 404."""
        return self.present(resource, self._stored(resource, namespace, name))

    def present(self, resource: Resource, entry: Entry) -> Entry:
        """Return a stored state as `resource` shows it: its version, and its schema where that has changed since."""
        if entry.epoch == resource.epoch and entry.obj["apiVersion"] == resource.type.api_version:
            return entry
        held = {**entry.obj, "apiVersion": resource.type.api_version}
        pruned, _ = resource.structural.prune(held)
        shown = {**resource.structural.apply_defaults(pruned), "metadata": entry.obj["metadata"]}
        return Entry(shown, msgspec.json.encode(shown), entry.revision, resource.epoch)

    def _stored(self, resource: Resource, namespace: str, name: str) -> Entry:
        entry = self.storage.get(resource.bucket, object_key(namespace, name))
        if entry is None:
            raise not_found(resource.type, name)
        return entry

    # --- create ---

    def create(self, resource: Resource, namespace: str, obj: JsonObject, options: WriteOptions) -> Entry:
        """
        Store a new object, and return it.

        Args:
            resource: Its kind.
            namespace: Empty for cluster-scoped kinds.
            obj: Admitted; what only the server may set is overwritten.
            options: A dry run does all but the writing.

        Raises:
            StatusError: 404 without the namespace, 403 while that is being deleted, 409 where the name is taken, 422.
        """
        self._check_namespace(resource, namespace, obj["metadata"].get("name", ""))
        self._expire(resource)
        version = obj["metadata"].get("resourceVersion")
        fresh = resource.rules.prepare(self._new_object(resource, namespace, obj), None)
        check_valid(resource, fresh, None)
        name = fresh["metadata"]["name"]
        if version:
            raise internal("resourceVersion should not be set on objects to be created")
        if self.storage.get(resource.bucket, object_key(namespace, name)) is not None:
            raise already_exists(resource.type, name)
        return self._write(resource, namespace, fresh, options.is_dry_run)

    def _new_object(self, resource: Resource, namespace: str, obj: JsonObject) -> JsonObject:
        sent: JsonObject = obj["metadata"]
        dropped = ("resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
        held: JsonObject = {key: value for key, value in sent.items() if key not in dropped}
        held["uid"] = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        held["creationTimestamp"] = self.now()
        if resource.rules.counts_generation:
            held["generation"] = 1
        if not held.get("name") and held.get("generateName"):
            held["name"] = self._generate_name(resource, namespace, held["generateName"])
        fresh = {**obj, "metadata": held}
        if resource.rules.has_status:
            fresh.pop("status", None)
        return fresh

    def _generate_name(self, resource: Resource, namespace: str, base: str) -> str:
        name = ""
        for _ in range(8):
            name = base[:_GENERATED_BASE_MAX] + "".join(self._rng.choices(_NAME_LETTERS, k=5))
            if self.storage.get(resource.bucket, object_key(namespace, name)) is None:
                break
        return name

    def _check_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        definition = self.kinds.definition_of(resource)
        if definition and "deletionTimestamp" in self._stored(CRDS, "", definition).obj["metadata"]:
            raise method_not_allowed(
                resource.type, "create not allowed while custom resource definition is terminating"
            )
        if not namespace:
            return
        if "deletionTimestamp" in self._stored(NAMESPACES, "", namespace).obj["metadata"]:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {namespace} is being terminated",
                "field": "metadata.namespace",
            }
            raise forbidden(resource.type, name, why, [cause])

    # --- update ---

    def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Callable[[JsonObject], JsonObject],
        options: WriteOptions,
        *,
        subresource: str = "",
        is_patch: bool = False,
    ) -> Entry:
        """
        Change an object, and return its new state; nothing is written where nothing changes.

        Args:
            resource: Its kind.
            namespace: Empty for cluster-scoped kinds.
            name: Its name.
            change: Returns the admitted object that the client wants, given the present one. May raise.
            options: A dry run does all but the writing.
            subresource: `status`, or empty for the object itself.
            is_patch: A PUT that names a uid is refused on an object with another; a patch says what it changes.

        Raises:
            StatusError: 404, 409 on a stale resourceVersion or another uid, 422, and what `change` raises.
        """
        entry = self._stored(resource, namespace, name)
        old = self.present(resource, entry).obj
        wanted = change(old)
        if not is_patch:
            check_uid(resource, namespace, name, wanted, old)
        check_version(resource, name, wanted, old)
        merge = self._merge_status if subresource == "status" else self._merge_main
        new = merge(resource, wanted, old)
        if new == old:
            return self.present(resource, entry)
        check_valid(resource, new, old, only_status=subresource == "status")
        return self._store_update(resource, namespace, new, old, options)

    def _store_update(
        self, resource: Resource, namespace: str, new: JsonObject, old: JsonObject, options: WriteOptions
    ) -> Entry:
        held = new["metadata"]
        vanishes = "deletionTimestamp" in held and not held.get("finalizers")
        if vanishes and old["metadata"].get("finalizers") and not self._has_content(resource, held["name"]):
            # The last finalizer is gone: the object goes as well, and its last words are what the client sent.
            if not options.is_dry_run:
                self._remove(resource, namespace, held["name"])
            return Entry(new, msgspec.json.encode(new), int(old["metadata"]["resourceVersion"]), resource.epoch)
        return self._write(resource, namespace, new, options.is_dry_run)

    def _merge_main(self, resource: Resource, wanted: JsonObject, old: JsonObject) -> JsonObject:
        new: JsonObject = {**wanted, "metadata": metadata.carry_over(wanted["metadata"], old["metadata"])}
        if resource.rules.has_status:
            new.pop("status", None)
            if "status" in old:
                new["status"] = old["status"]
        new = resource.rules.prepare(new, old)
        if resource.rules.counts_generation and _content(new) != _content(old):
            new["metadata"] = {**new["metadata"], "generation": old["metadata"].get("generation", 0) + 1}
        return new

    @staticmethod
    def _merge_status(resource: Resource, wanted: JsonObject, old: JsonObject) -> JsonObject:
        del resource
        new = {key: value for key, value in old.items() if key != "status"}
        if "status" in wanted:
            new["status"] = wanted["status"]
        return new

    # --- delete ---

    def delete(self, resource: Resource, namespace: str, name: str, options: DeleteOptions) -> tuple[Entry, bool]:
        """
        Delete an object, or mark it as being deleted while finalizers hold it.

        Returns:
            Its last state, and whether it is gone.

        Raises:
            StatusError: 404; 409 where a precondition does not hold; 403 for the first namespaces.
        """
        entry = self._stored(resource, namespace, name)
        check_deletable(resource, name, entry.obj, options)
        if resource is NAMESPACES and name in PROTECTED_NAMESPACES:
            raise forbidden(resource.type, name, "this namespace may not be deleted")
        marked = self._marked(resource, entry.obj, options.policy)
        holds = bool(marked["metadata"].get("finalizers")) or resource in (NAMESPACES, CRDS)
        if options.is_dry_run:
            shown = marked if holds else entry.obj
            return self.present(
                resource, Entry(shown, msgspec.json.encode(shown), entry.revision, entry.epoch)
            ), not holds
        if not holds:
            return self.present(resource, self._remove(resource, namespace, name)), True
        if marked != entry.obj:
            entry = self._write(resource, namespace, marked, False)
        self._empty(resource, name)
        return self.present(resource, entry), False

    def _marked(self, resource: Resource, obj: JsonObject, policy: str) -> JsonObject:
        held: JsonObject = dict(obj["metadata"])
        if policy and resource is not NAMESPACES:
            kept = [item for item in held.get("finalizers", []) if item not in _POLICY_FINALIZERS.values()]
            kept += [_POLICY_FINALIZERS[policy]] if policy in _POLICY_FINALIZERS else []
            held = {**held, "finalizers": kept} if kept else {k: v for k, v in held.items() if k != "finalizers"}
        marked = {**obj, "metadata": held}
        if "deletionTimestamp" in held:
            return marked
        held["deletionTimestamp"] = self.now()
        if resource is NAMESPACES:
            marked["status"] = {**obj.get("status", {}), "phase": "Terminating"}
        else:
            held["deletionGracePeriodSeconds"] = 0
        if "generation" in held and resource is not CRDS:
            held["generation"] += 1
        return marked

    def _remove(self, resource: Resource, namespace: str, name: str) -> Entry:
        entry = self.storage.remove(resource.bucket, object_key(namespace, name))
        if resource is CRDS:
            self._stop_serving(name)
            self._establish_waiting()
        if namespace:
            self._finish(NAMESPACES, namespace)
        if definition := self.kinds.definition_of(resource):
            self._finish(CRDS, definition)
        return entry

    def _expire(self, resource: Resource) -> None:
        ttl = resource.rules.ttl_seconds
        if ttl is None:
            return
        now = self._wall.now().timestamp()
        for key, entry in self.storage.oldest(resource.bucket):
            if now - _seconds(entry.obj["metadata"]["creationTimestamp"]) <= ttl:
                break
            self.storage.remove(resource.bucket, key)

    # --- namespaces and definitions ---

    def _empty(self, resource: Resource, name: str) -> None:
        """Delete what a namespace or definition holds, then the thing itself, unless finalizers hold some of it."""
        for kind, namespace, held in list(self._content_of(resource, name)):
            self.delete(kind, namespace, held, DeleteOptions())
        self._finish(resource, name)

    def _finish(self, resource: Resource, name: str) -> None:
        """Remove a namespace or definition that is being deleted, once nothing holds it any more."""
        if resource not in (NAMESPACES, CRDS):
            return
        entry = self.storage.get(resource.bucket, name)
        if entry is None or "deletionTimestamp" not in entry.obj["metadata"]:
            return
        if not entry.obj["metadata"].get("finalizers") and not self._has_content(resource, name):
            self._remove(resource, "", name)

    def _has_content(self, resource: Resource, name: str) -> bool:
        return any(True for _ in self._content_of(resource, name))

    def _content_of(self, resource: Resource, name: str) -> list[tuple[Resource, str, str]]:
        """Return (kind, namespace, name) of what a namespace or definition holds."""
        if resource is NAMESPACES:
            kinds = [kind for kind in self.kinds if kind.type.is_namespaced]
        else:
            kinds = self.kinds.of_definition(name) if resource is CRDS else []
        found: list[tuple[Resource, str, str]] = []
        for bucket, kind in {kind.bucket: kind for kind in kinds}.items():
            for _, entry in self.storage.list(bucket):
                held = entry.obj["metadata"]
                if resource is CRDS or held.get("namespace") == name:
                    found.append((kind, held.get("namespace", ""), held["name"]))
        return found

    def _stop_serving(self, name: str) -> None:
        buckets = {resource.bucket for resource in self.kinds.of_definition(name)}
        self.kinds.remove(name)
        for bucket in buckets:
            self.storage.wake(bucket)

    def _establish_waiting(self) -> None:
        """Look again at the definitions whose names were taken: they may be free now."""
        for _, entry in self.storage.list(CRDS.bucket):
            if not is_established(entry.obj) and self._with_status(entry.obj) != entry.obj:
                self._write(CRDS, "", entry.obj, False)

    def _with_status(self, crd: JsonObject) -> JsonObject:
        name = crd["metadata"]["name"]
        others = [entry.obj for key, entry in self.storage.list(CRDS.bucket) if key != name]
        return with_status(crd, others, now=self.now())

    def _serve(self, crd: JsonObject) -> None:
        name = crd["metadata"]["name"]
        before = self.kinds.of_definition(name)
        if before and before[0].epoch == crd["metadata"]["generation"]:
            return
        self._stop_serving(name)
        self.kinds.install(crd)

    # --- writing ---

    def now(self) -> str:
        """Return the present time as API objects carry it."""
        return self._wall.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def _write(self, resource: Resource, namespace: str, obj: JsonObject, is_dry_run: bool) -> Entry:
        if resource is CRDS and "deletionTimestamp" not in obj["metadata"]:
            obj = self._with_status(obj)
        if is_dry_run:
            return Entry(obj, msgspec.json.encode(obj), 0, resource.epoch)
        stored = {**obj, "apiVersion": resource.stored_api_version}
        key = object_key(namespace, obj["metadata"]["name"])
        entry = self.storage.put(resource.bucket, key, stored, epoch=resource.epoch)
        if resource is CRDS:
            self._serve(entry.obj)
        return self.present(resource, entry)


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()
