"""One way to ask either server, so that a test of behaviour runs on the embedded one and on a real one."""

from __future__ import annotations

import http.client
import itertools
import json
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from reconciler.apiserver import ApiServer, ServerRequest
from reconciler.clock import SystemWallClock
from reconciler.envtest import RealServer
from reconciler.testing import run_virtual

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

WIDGET_CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "selectableFields": [{"jsonPath": ".spec.type"}],
                "additionalPrinterColumns": [
                    {"name": "Type", "type": "string", "jsonPath": ".spec.type"},
                    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["type", "priority", "subject"],
                                "x-kubernetes-validations": [
                                    {"rule": "self == oldSelf", "message": "spec is immutable"}
                                ],
                                "properties": {
                                    "type": {"type": "string", "enum": ["Escalation", "Simple"]},
                                    "priority": {"type": "string", "default": "Medium", "enum": ["High", "Medium"]},
                                    "subject": {"type": "string", "minLength": 1, "maxLength": 20},
                                    "attempts": {"type": "integer", "minimum": 1, "maximum": 10},
                                },
                            },
                            "data": {"type": "object", "additionalProperties": {"type": "string"}},
                            "status": {
                                "type": "object",
                                "properties": {
                                    "phase": {"type": "string", "enum": ["Pending", "Sent"]},
                                    "count": {"type": "integer"},
                                },
                            },
                        },
                    }
                },
            }
        ],
    },
}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text)
        return found

    @property
    def message(self) -> str:
        return str(self.json["message"])

    @property
    def reason(self) -> str:
        return str(self.json.get("reason", ""))

    @property
    def warnings(self) -> str:
        return self.headers.get("warning", "")


class Wire(Protocol):
    def send(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Answer: ...


class EmbeddedWire:
    """Each request has a virtual loop to itself: a watch is read to its time-out in no time."""

    def __init__(self) -> None:
        self.server = ApiServer(wall=SystemWallClock())

    def send(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Answer:
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
        return run_virtual(self._answer(ServerRequest(method, path, pairs, headers, body)))

    async def _answer(self, request: ServerRequest) -> Answer:
        response = await self.server.handle(request)
        body = response.body
        text = body if isinstance(body, bytes) else b"".join([chunk async for chunk in body])
        return Answer(response.status, {key.lower(): value for key, value in response.headers.items()}, text.decode())


class RealWire:
    def __init__(self, server: RealServer) -> None:
        self._server = server
        self._address = urllib.parse.urlsplit(server.url)

    def send(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Answer:
        connection = http.client.HTTPSConnection(
            self._address.hostname or "", self._address.port, context=self._server.ssl_context(), timeout=30
        )
        try:
            headers = {**headers, "Authorization": f"Bearer {self._server.token}"}
            connection.request(method, f"{path}?{query}" if query else path, body or None, headers)
            answer = connection.getresponse()
            found: dict[str, str] = {}
            for key, value in answer.getheaders():
                found[key.lower()] = ", ".join([*filter(None, [found.get(key.lower())]), value])
            return Answer(answer.status, found, answer.read().decode())
        finally:
            connection.close()


_NUMBERS = itertools.count(1)


class Api:
    """A namespace of its own on a server that knows widgets."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.namespace = f"ns-{next(_NUMBERS)}"
        self.widgets = f"/apis/example.com/v1/namespaces/{self.namespace}/widgets"
        self.events = f"/api/v1/namespaces/{self.namespace}/events"
        self._install()

    def _install(self) -> None:
        answer = self.request("POST", DEFINITIONS, WIDGET_CRD)
        assert answer.status in (201, 409), answer.text
        for _ in range(100):  # a real server answers 404 or 429 for a moment
            if self.request("GET", "/apis/example.com/v1/widgets").status == 200:
                break
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        created = self.request("POST", "/api/v1/namespaces", namespace)
        assert created.status == 201, created.text

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: str = "",
        content_type: str = "application/json",
        accept: str = "",
    ) -> Answer:
        headers = {"Accept": accept} if accept else {}
        if body is not None:
            headers["Content-Type"] = content_type
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self._wire.send(method, path, query, headers, raw)

    def create(self, name: str, **fields: Any) -> dict[str, Any]:
        answer = self.request("POST", self.widgets, widget(name, **fields))
        assert answer.status == 201, answer.text
        return answer.json

    def get(self, name: str) -> dict[str, Any]:
        answer = self.request("GET", f"{self.widgets}/{name}")
        assert answer.status == 200, answer.text
        return answer.json

    def patch(self, name: str, patch: object, *, subresource: str = "", query: str = "") -> Answer:
        path = f"{self.widgets}/{name}" + (f"/{subresource}" if subresource else "")
        return self.request("PATCH", path, patch, content_type=MERGE, query=query)

    def put(self, obj: dict[str, Any], *, subresource: str = "", query: str = "") -> Answer:
        path = f"{self.widgets}/{obj['metadata']['name']}" + (f"/{subresource}" if subresource else "")
        return self.request("PUT", path, obj, query=query)

    def watch(self, query: str, *, accept: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
        """Read a watch for one second."""
        answer = self.request("GET", self.widgets, query=f"watch=1&timeoutSeconds=1&{query}", accept=accept)
        assert answer.status == 200, answer.text
        for line in answer.text.splitlines():
            event: dict[str, Any] = json.loads(line)
            yield event["type"], event["object"]


def widget(name: str = "", **fields: Any) -> dict[str, Any]:
    """A valid widget; `metadata` is added to the name, every other keyword is a field."""
    metadata = {**({"name": name} if name else {}), **fields.pop("metadata", {})}
    spec = {"type": "Simple", "priority": "High", "subject": "s"}
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": metadata, "spec": spec, **fields}
