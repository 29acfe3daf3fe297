"""
The server: one request in, one response out. It knows paths and methods; what verbs do is in `verbs.py` and below.

No sockets: in process it is called directly, over HTTPS by `http.py`. A request is answered without a task switch, so
requests are atomic in the order of their arrival; only a watch waits.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from urllib.parse import unquote

import msgspec

from reconciler.apiserver import discovery, openapi
from reconciler.apiserver.exchange import JsonObject, ServerRequest, ServerResponse
from reconciler.apiserver.failure import (
    PageNotFoundError,
    StatusError,
    bad_request,
    method_not_allowed,
    not_found,
)
from reconciler.apiserver.kinds import Kinds
from reconciler.apiserver.registry import Registry
from reconciler.apiserver.render import Form
from reconciler.apiserver.storage import Storage
from reconciler.apiserver.verbs import Target, Verbs
from reconciler.instant import WallClock

__all__ = ["ApiServer"]

_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_AGGREGATED = f"{_JSON};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class ApiServer:
    """
    An API server in memory: CustomResourceDefinitions and the kinds they bring, Namespaces and Events.

    Args:
        wall: Gives the timestamps in objects.
        seed: The same seed gives the same uids and generated names.
        history_max: How many changes of each kind are kept for watches and snapshots.

    Differs from a kube-apiserver: no authorization, no admission webhooks, no server-side apply (415), no protobuf.
    """

    def __init__(self, *, wall: WallClock, seed: int = 0, history_max: int = 10_000) -> None:
        """The namespaces `default`, `kube-system`, `kube-public` and `kube-node-lease` exist."""
        rng = random.Random(seed)
        self._storage = Storage(history_max=history_max)
        self._kinds = Kinds()
        registry = Registry(storage=self._storage, kinds=self._kinds, wall=wall, rng=rng)
        self._verbs = Verbs(registry=registry, wall=wall, rng=rng)

    @property
    def revision(self) -> int:
        """The revision of the last write, which is the newest resourceVersion."""
        return self._storage.revision

    @property
    def open_watches(self) -> int:
        """How many watches are being read."""
        return self._storage.listener_count

    def compact(self) -> None:
        """Forget the history: watches and continue tokens from before now get 410."""
        self._storage.compact()

    def end_watches(self) -> None:
        """End every watch that is open now, as a server does that restarts. New ones may be opened."""
        self._verbs.end_watches()

    async def handle(self, request: ServerRequest) -> ServerResponse:
        """
        Answer one request; what the server refuses is a Status in the response.

        It never waits, so it cannot be cancelled half way. The stream of a watch must be closed by whoever takes it.
        """
        try:
            response = self._route(request)
        except StatusError as error:
            return _refusal(error)
        except PageNotFoundError:
            return ServerResponse(404, {"Content-Type": _TEXT}, b"404 page not found\n")
        return ServerResponse(response.status, response.headers, b"") if request.method == "HEAD" else response

    def _route(self, request: ServerRequest) -> ServerResponse:
        parts = [unquote(part) for part in request.path.strip("/").split("/")]
        match parts:
            case ["healthz" | "readyz" | "livez", *_]:
                return ServerResponse(200, {"Content-Type": _TEXT}, b"ok")
            case ["version"]:
                return _json(discovery.VERSION)
            case ["openapi", *rest]:
                return self._openapi(rest)
            case ["api", "v1", _, *_]:
                return self._serve(request, "", "v1", parts[2:])
            case ["apis", group, version, _, *_]:
                return self._serve(request, group, version, parts[3:])
            case _:
                return self._discovery(request, parts)

    # --- what the server says about itself ---

    def _discovery(self, request: ServerRequest, parts: Sequence[str]) -> ServerResponse:
        resources = list(self._kinds)
        document: JsonObject | None = None
        match parts:
            case [""]:
                document = discovery.paths(resources)
            case ["api" | "apis"] if discovery.wants_aggregated(request.header("Accept")):
                document = discovery.aggregated(resources, is_core=parts == ["api"])
                return _json(document, content_type=_AGGREGATED)
            case ["api"]:
                document = discovery.core_versions()
            case ["apis"]:
                document = discovery.group_list(resources)
            case ["api", "v1"]:
                document = discovery.resource_list("", "v1", resources)
            case ["apis", group]:
                document = discovery.group(group, resources)
            case ["apis", group, version]:
                document = discovery.resource_list(group, version, resources)
            case _:
                pass
        if document is None:
            raise PageNotFoundError
        return _json(document)

    def _openapi(self, rest: Sequence[str]) -> ServerResponse:
        schemas = discovery.kind_schemas(self._kinds)
        match rest:
            case ["v2"]:
                return _json(openapi.v2_document(schemas))
            case ["v3"]:
                return _json(openapi.v3_index(dict.fromkeys((schema.group, schema.version) for schema in schemas)))
            case ["v3", "api", "v1"]:
                group, version = "", "v1"
            case ["v3", "apis", group, version]:
                pass
            case _:
                raise PageNotFoundError
        chosen = [schema for schema in schemas if (schema.group, schema.version) == (group, version)]
        if not chosen:
            raise PageNotFoundError
        return _json(openapi.v3_document(group, version, chosen))

    # --- resources ---

    def _serve(self, request: ServerRequest, group: str, version: str, rest: Sequence[str]) -> ServerResponse:
        target = self._target(group, version, rest)
        if target.subresource and not (target.subresource == "status" and target.resource.rules.has_status):
            raise not_found(target.resource.type, target.name)
        verb = _VERBS.get((request.method, _level(target)))
        # Namespaces are the one kind that is not deleted by the collection.
        if verb is None or (verb is Verbs.delete_collection and "deletecollection" not in target.resource.rules.verbs):
            raise _wrong_method(request.method, target)
        return verb(self._verbs, request, target)

    def _target(self, group: str, version: str, rest: Sequence[str]) -> Target:
        match rest:
            case ["namespaces", _, "status"] if not group:
                namespace, plural, more = "", "namespaces", rest[1:]
            case ["namespaces", namespace, plural, *more]:
                pass
            case [plural, *more]:
                namespace = ""
            case _:
                raise PageNotFoundError
        resource = self._kinds.find(group, version, plural)
        name, subresource, *too_much = [*more, "", ""]
        if resource is None or any(too_much):
            raise PageNotFoundError
        # A namespaced kind may be listed over all namespaces, but its objects have no path outside one.
        if bool(namespace) != resource.type.is_namespaced and (namespace or name):
            raise PageNotFoundError
        return Target(resource, namespace, name, subresource)


# --- tables -----------------------------------------------------------------------------------------------------------

_COLLECTION, _OBJECT, _STATUS = "collection", "object", "status"

_VERBS: Mapping[tuple[str, str], Callable[[Verbs, ServerRequest, Target], ServerResponse]] = MappingProxyType({
    ("GET", _COLLECTION):    Verbs.list,
    ("HEAD", _COLLECTION):   Verbs.list,
    ("POST", _COLLECTION):   Verbs.create,
    ("DELETE", _COLLECTION): Verbs.delete_collection,
    ("GET", _OBJECT):        Verbs.get,
    ("HEAD", _OBJECT):       Verbs.get,
    ("PUT", _OBJECT):        Verbs.update,
    ("PATCH", _OBJECT):      Verbs.patch,
    ("DELETE", _OBJECT):     Verbs.delete,
    ("GET", _STATUS):        Verbs.get,
    ("PUT", _STATUS):        Verbs.update,
    ("PATCH", _STATUS):      Verbs.patch,
})  # fmt: skip

_VERB_OF = MappingProxyType({"POST": "create", "DELETE": "delete", "GET": "get", "PUT": "update", "PATCH": "patch"})


def _level(target: Target) -> str:
    if target.subresource:
        return _STATUS
    return _OBJECT if target.name else _COLLECTION


def _wrong_method(method: str, target: Target) -> StatusError:
    if method in ("PUT", "PATCH") and not target.name:
        return bad_request("name must be provided")
    return method_not_allowed(target.resource.type, _VERB_OF.get(method, ""))


def _json(document: JsonObject, *, content_type: str = _JSON) -> ServerResponse:
    return ServerResponse(200, {"Content-Type": content_type}, msgspec.json.encode(document))


def _refusal(error: StatusError) -> ServerResponse:
    headers = {"Content-Type": _JSON}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    return ServerResponse(error.code, headers, Form().encode(error.status))
