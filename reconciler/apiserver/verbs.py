"""
From a request on a resource to its response: options and body are read, the registry acts, the answer is rendered.

Synchronous. Which method on which path leads to which verb is a table of `server.py`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

from reconciler.apiserver.body import media_type, parse_json, parse_object
from reconciler.apiserver.exchange import JsonObject, ServerRequest, ServerResponse
from reconciler.apiserver.failure import PageNotFoundError, bad_request, unsupported_media_type
from reconciler.apiserver.intake import admit, admit_patched, check_place
from reconciler.apiserver.metadata import finalizer_warnings
from reconciler.apiserver.options import ListOptions, delete_options, list_options, write_options
from reconciler.apiserver.paging import Selection, list_page
from reconciler.apiserver.patch import json_patch, merge_patch, strategic_patch
from reconciler.apiserver.registry import Registry
from reconciler.apiserver.render import Renderer, negotiate
from reconciler.apiserver.resource import Resource
from reconciler.apiserver.storage import Entry
from reconciler.apiserver.watch import Watch
from reconciler.instant import WallClock

__all__ = ["Target", "Verbs"]

_JSON_PATCH = "application/json-patch+json"
_MERGE_PATCH = "application/merge-patch+json"
_STRATEGIC_PATCH = "application/strategic-merge-patch+json"
_PATCHES: Mapping[str, Callable[[JsonObject, Any], Any]] = MappingProxyType({
    _JSON_PATCH: json_patch,
    _MERGE_PATCH: merge_patch,
    _STRATEGIC_PATCH: strategic_patch,
})  # fmt: skip
_WATCH_SECONDS_MIN = 1800.0


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names: a resource, or one of its objects, or a subresource of one."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    def require_namespace(self) -> None:
        """Raise 404 for a namespaced kind without a namespace: only lists and watches may go over all of them."""
        if self.resource.type.is_namespaced and not self.namespace:
            raise PageNotFoundError


class Verbs:
    """
    The verbs of one server.

    Args:
        registry: What they act on.
        wall: Gives the moment for which Tables show ages.
        rng: Spreads the ends of watches that ask for no time-out.
    """

    def __init__(self, *, registry: Registry, wall: WallClock, rng: random.Random) -> None:
        """No watch is open."""
        self._registry = registry
        self._wall = wall
        self._rng = rng
        self._watch_round = 0

    def end_watches(self) -> None:
        """End every watch that is open now."""
        self._watch_round += 1
        self._registry.storage.wake_all()

    def _renderer(self, request: ServerRequest, target: Target) -> Renderer:
        form = negotiate(request.header("Accept"), request.parameter("includeObject"))
        return Renderer(target.resource, form, self._wall.now())

    # --- reads ---

    def get(self, request: ServerRequest, target: Target) -> ServerResponse:
        """Answer with one object."""
        renderer = self._renderer(request, target)
        return _answer(renderer, self._registry.get(target.resource, target.namespace, target.name))

    def list(self, request: ServerRequest, target: Target) -> ServerResponse:
        """Answer with a page of objects, or with a watch where the query asks for one."""
        renderer = self._renderer(request, target)
        options = list_options(request)
        if options.is_watch:
            return self._watch(target, options, renderer)
        page = list_page(self._registry, target.resource, target.namespace, options)
        return ServerResponse(200, {"Content-Type": renderer.form.media_type}, renderer.list(page))

    def _watch(self, target: Target, options: ListOptions, renderer: Renderer) -> ServerResponse:
        opened_in, timeout = self._watch_round, options.timeout_seconds
        watch = Watch(
            self._registry, target.resource, Selection.parse(target.resource, target.namespace, options), options,
            renderer=renderer,
            # As in Go, a watch without a time-out of its own ends after 30 to 60 minutes.
            timeout_seconds=float(timeout) if timeout else _WATCH_SECONDS_MIN * (1 + self._rng.random()),
            is_closing=lambda: self._watch_round != opened_in,
        )  # fmt: skip
        return ServerResponse(200, {"Content-Type": "application/json"}, watch.stream())

    # --- writes ---

    def create(self, request: ServerRequest, target: Target) -> ServerResponse:
        """Store the body as a new object, and answer with it."""
        target.require_namespace()
        resource = target.resource
        renderer = self._renderer(request, target)
        options = write_options(request, "CreateOptions")
        raw, repeated = parse_object(request.body, request.header("Content-Type"), kind=resource.type.kind)
        admitted = admit(raw, resource, repeated, options.field_validation)
        obj = check_place(admitted.obj, target.namespace, None)
        entry = self._registry.create(resource, target.namespace, obj, options)
        warnings = [*admitted.warnings, *finalizer_warnings(obj["metadata"])]
        return _answer(renderer, entry, status=201, warnings=warnings)

    def update(self, request: ServerRequest, target: Target) -> ServerResponse:
        """Replace an object, or its status, by the body, and answer with it."""
        resource = target.resource
        renderer = self._renderer(request, target)
        options = write_options(request, "UpdateOptions")
        raw, repeated = parse_object(request.body, request.header("Content-Type"), kind=resource.type.kind)
        admitted = admit(raw, resource, repeated, options.field_validation)
        obj = check_place(admitted.obj, target.namespace, target.name)
        entry = self._registry.update(
            resource, target.namespace, target.name, lambda _: obj, options, subresource=target.subresource
        )
        return _answer(renderer, entry, warnings=admitted.warnings)

    def patch(self, request: ServerRequest, target: Target) -> ServerResponse:
        """Change an object, or its status, by a patch, and answer with it."""
        resource = target.resource
        renderer = self._renderer(request, target)
        options = write_options(request, "PatchOptions")
        apply = _patch_format(request, resource)
        patch = _patch_body(request, apply)
        warnings: list[str] = []

        def change(old: JsonObject) -> JsonObject:
            admitted = admit_patched(_patched(apply, old, patch), resource, options.field_validation)
            warnings.extend(admitted.warnings)
            return check_place(admitted.obj, target.namespace, target.name)

        entry = self._registry.update(
            resource, target.namespace, target.name, change, options,
            subresource=target.subresource, is_patch=True,
        )  # fmt: skip
        return _answer(renderer, entry, warnings=warnings)

    def delete(self, request: ServerRequest, target: Target) -> ServerResponse:
        """Delete an object, or mark it; answer with a Status where it is gone, else with the object."""
        renderer = self._renderer(request, target)
        options = delete_options(request)
        entry, is_gone = self._registry.delete(target.resource, target.namespace, target.name, options)
        if not is_gone:
            return _answer(renderer, entry)
        type_, held = target.resource.type, entry.obj["metadata"]
        details: JsonObject = {"name": held["name"], "group": type_.group, "kind": type_.plural, "uid": held["uid"]}
        if not type_.group:
            del details["group"]
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return ServerResponse(200, {"Content-Type": renderer.form.media_type}, renderer.form.encode(status))

    def delete_collection(self, request: ServerRequest, target: Target) -> ServerResponse:
        """Delete every selected object, and answer with the list as it was."""
        target.require_namespace()
        renderer = self._renderer(request, target)
        options = delete_options(request)
        page = list_page(self._registry, target.resource, target.namespace, list_options(request))
        for entry in page.entries:
            held = entry.obj["metadata"]
            self._registry.delete(target.resource, held.get("namespace", ""), held["name"], options)
        return ServerResponse(200, {"Content-Type": renderer.form.media_type}, renderer.list(page))


# --- patches ----------------------------------------------------------------------------------------------------------


def _patch_format(request: ServerRequest, resource: Resource) -> Callable[[JsonObject, Any], Any]:
    accepted = [form for form in _PATCHES if form != _STRATEGIC_PATCH or resource.rules.takes_strategic_patch]
    form = media_type(request.header("Content-Type"))
    if form not in accepted:
        raise unsupported_media_type(accepted)
    return _PATCHES[form]


def _patch_body(request: ServerRequest, apply: Callable[[JsonObject, Any], Any]) -> Any:
    try:
        patch = parse_json(request.body)
    except ValueError as error:
        raise bad_request(f"error decoding patch: {error}") from error
    if apply is not json_patch and not isinstance(patch, dict):
        go_type = "map[string]interface {}"
        raise bad_request(f"error decoding patch: json: cannot unmarshal array into Go value of type {go_type}")
    return cast("Any", patch)


def _patched(apply: Callable[[JsonObject, Any], Any], old: JsonObject, patch: Any) -> JsonObject:
    patched = apply(old, patch)
    if not isinstance(patched, dict):
        raise bad_request("error decoding patch: the patched object is no JSON object")
    return cast("JsonObject", patched)


# --- responses --------------------------------------------------------------------------------------------------------


def _answer(renderer: Renderer, entry: Entry, *, status: int = 200, warnings: Sequence[str] = ()) -> ServerResponse:
    headers = {"Content-Type": renderer.form.media_type}
    if warnings:
        headers["Warning"] = ", ".join(f"299 - {_quoted(text)}" for text in warnings)
    return ServerResponse(status, headers, renderer.object(entry))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
