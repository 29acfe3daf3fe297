"""What an error says of a server's message: enough to act on, and nothing of an object's values."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import reconciler.errors
from reconciler.api import ObjectKey, ResourceType
from reconciler.client import Client, JsonPatch, StrategicMergePatch, api_error, parse_status
from reconciler.errors import ApiError, ApiStatus, ConnectionFailedError, ReconcilerError, SchemaError, StatusCause

from .scripted import answer
from .test_servers import Setting

SECRETS = ResourceType("", "v1", "Secret", "secrets")
CONFIG_MAPS = ResourceType("", "v1", "ConfigMap", "configmaps")
OBJECT = r'"{\"kind\":\"Secret\",\"data\":{\"pw\":\"hunter2\"},\"metadata\":{\"annotations\":{\"a\":\"b \\\" c\"}}}"'

# As a kube-apiserver 1.36 sends them.
MESSAGES: list[Any] = [
    pytest.param(
        422, f' "" is invalid: patch: Invalid value: {OBJECT}: json: cannot unmarshal string into Go struct field '
        "ConfigMap.data of type map[string]string",
        ' "" is invalid: patch: Invalid value: (not shown): json: cannot unmarshal string into Go struct field '
        "ConfigMap.data of type map[string]string", id="an object as text",
    ),
    pytest.param(
        422, ' "" is invalid: patch: Invalid value: "map[spec:map[replicas:hunter2]]": unrecognized type: int32',
        ' "" is invalid: patch: Invalid value: (not shown): unrecognized type: int32', id="a map as Go prints it",
    ),
    pytest.param(
        422, 'Deployment.apps "web" is invalid: [spec.template.metadata.labels: Invalid value: {"a":"hunter2"}: '
        '`selector` does not match, spec.selector: Invalid value: {"matchLabels":{"a":"hunter2"}}: field is immutable]',
        'Deployment.apps "web" is invalid: [spec.template.metadata.labels: Invalid value: (not shown): `selector` '
        "does not match, spec.selector: Invalid value: (not shown): field is immutable]", id="two objects",
    ),
    pytest.param(
        422, 'X "a" is invalid: spec.l: Invalid value: ["hunter2"]: too many',
        'X "a" is invalid: spec.l: Invalid value: (not shown): too many', id="a list",
    ),
    pytest.param(
        422, f'X "a" is invalid: spec.t: Invalid value: "{"hunter2" * 20}": too long',
        'X "a" is invalid: spec.t: Invalid value: (not shown): too long', id="a long text",
    ),
    pytest.param(
        422, r'X "a" is invalid: spec.t: Invalid value: "hunter2 \x00 \v": no',
        'X "a" is invalid: spec.t: Invalid value: (not shown)', id="a text whose end is not found",
    ),
    pytest.param(
        422, 'X "a" is invalid: spec.t: Invalid value: v1.Secret{Data:"hunter2"}: no',
        'X "a" is invalid: spec.t: Invalid value: (not shown)', id="a structure as Go prints it",
    ),
    pytest.param(
        500, "unknown patch type: hunter2 in map: map[$patch:hunter2]", "unknown patch type: (not shown)",
        id="a directive",
    ),
    pytest.param(
        500, "map: map[env:[map[name:PW value:hunter2]]] does not contain declared merge key: name",
        "map: (not shown)", id="a list of maps",
    ),
    pytest.param(
        500, "failed to create typed patch object (a/s; /v1, Kind=ConfigMap): .data.x: expected string, got "
        '&value.valueUnstructured{Value:map[string]interface {}{"y":"hunter2"}}',
        "failed to create typed patch object (a/s; /v1, Kind=ConfigMap): .data.x: expected string, got (not shown)",
        id="what an apply got",
    ),
    pytest.param(
        500, "failed to create typed patch object: .data: expected map, got &{[hunter2]}",
        "failed to create typed patch object: .data: expected map, got (not shown)", id="what an apply got, short",
    ),
    pytest.param(
        400, "cannot be handled as a ConfigMap: json: bad, error found in #10 byte of ...|hunter2|...",
        "cannot be handled as a ConfigMap: json: bad, error found in (not shown)", id="the bytes around a mistake",
    ),
]  # fmt: skip

KEPT = [
    'Deployment.apps "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0',
    'X "a" is invalid: spec.policy: Unsupported value: "Some": supported values: "Always", "Never"',
    'X "a" is invalid: spec: Invalid value: "object": replicas must be at most 3',
    'X "a" is invalid: spec.on: Invalid value: true: must be off',
    'X "a" is invalid: metadata.labels: Invalid value: "a b": a valid label must be (regex is \'[a-z]{3}\')',
    'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "speck"',
    'Apply failed with 1 conflict: conflict with "other" using v1: .data.pw',
    'admission webhook "a.b.c" denied the request: replicas must be odd',
    'secrets "s" is forbidden: User "jane" cannot get resource "secrets" in API group "" in the namespace "a"',
]


def _error(code: int, message: str, doing: str = "patch configmaps a/s", **more: Any) -> ApiError:
    return api_error(ApiStatus(code, message=message, **more), doing)


@pytest.mark.parametrize(("code", "message", "shown"), MESSAGES)
def test_a_message_is_shown_without_it_where_the_server_quotes(code: int, message: str, shown: str) -> None:
    error = _error(code, message, causes=(StatusCause("FieldValueInvalid", message, "patch"),))
    assert str(error) == f"patch configmaps a/s: {code} {shown}"
    for text in (repr(error), repr(error.status), str(error.status), f"{error.status!r:}"):
        assert "hunter2" not in text
    # A program that needs all of it has it.
    assert (error.status.message, error.status.causes[0].message) == (message, message)


@pytest.mark.parametrize("message", KEPT)
def test_a_message_that_quotes_little_is_shown_whole(message: str) -> None:
    assert str(_error(422, message)) == f"patch configmaps a/s: 422 {message}"


@pytest.mark.parametrize(
    ("code", "status", "shown"),
    [
        pytest.param(
            422, {"message": 'Secret "s" is invalid: data[hunter2]: Invalid value: "hunter2": a key',
                  "causes": (StatusCause("FieldValueInvalid", "hunter2", "data[hunter2]"),), "reason": "Invalid"},
            "Invalid (data[]: FieldValueInvalid)", id="a key",
        ),
        pytest.param(
            422, {"message": f' "" is invalid: patch: Invalid value: {OBJECT}: illegal base64 data at input byte 3',
                  "causes": (StatusCause("FieldValueInvalid", "hunter2", "patch"),), "reason": "Invalid"},
            "Invalid (patch: FieldValueInvalid; illegal base64 data at input byte 3)", id="an object",
        ),
        pytest.param(
            400, {"message": 'cannot be handled as a Secret: strict decoding error: unknown field "dataz"',
                  "reason": "BadRequest"}, 'BadRequest (unknown field "dataz")', id="a field's name",
        ),
        pytest.param(
            500, {"message": "unknown patch type: hunter2 in map: map[$patch:hunter2]"},
            "refused (the server's words are not shown: they may quote the Secret)", id="a directive",
        ),
        pytest.param(
            500, {"message": 'Internal error occurred: failed calling webhook "a.b": connection refused'},
            'Internal error occurred: failed calling webhook "a.b": connection refused', id="a webhook's failure",
        ),
        pytest.param(
            404, {"message": 'secrets "s" not found', "details": {"name": "s"}}, 'secrets "s" not found', id="a name",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("known_by", ["the request", "the details"])
def test_of_a_secret_only_names_and_reasons_are_shown(
    code: int, status: dict[str, Any], shown: str, known_by: str
) -> None:
    details = (
        {**status.get("details", {}), "kind": "Secret"} if known_by == "the details" else status.get("details", {})
    )
    error = _error(
        code, doing="patch secrets a/s" if known_by == "the request" else "watch", **{**status, "details": details}
    )
    assert str(error) == f"{error.doing}: {code} {shown}"
    assert "hunter2" not in repr(error)


Bad = Callable[[Client, ResourceType, ObjectKey], Awaitable[Any]]
BAD: list[Any] = [
    pytest.param(lambda client, kind, key: client.patch(kind, key, {"data": "hunter2"}), id="merge patch, wrong type"),
    pytest.param(
        lambda client, kind, key: client.patch(kind, key, {"more": "hunter2"}, field_validation="Strict"),
        id="merge patch, strict",
    ),
    pytest.param(
        lambda client, kind, key: client.patch(kind, key, JsonPatch().add("/data", "hunter2")), id="JSON patch"
    ),
    pytest.param(
        lambda client, kind, key: client.patch(kind, key, StrategicMergePatch({"data": {"$patch": "hunter2"}})),
        id="strategic merge patch, directive",
    ),
    pytest.param(
        lambda client, kind, key: client.patch(kind, key, StrategicMergePatch({"data": "hunter2"})),
        id="strategic merge patch, wrong type",
    ),
    pytest.param(
        lambda client, kind, key: client.apply(
            {"metadata": {"name": key.name, "namespace": key.namespace}, "data": {"x": {"y": "hunter2"}}},
            resource=kind, field_owner="me",
        ), id="apply",
    ),
    pytest.param(
        lambda client, kind, key: client.create(
            {"metadata": {"name": "b", "namespace": key.namespace}, "data": {"x": ["hunter2"]}}, resource=kind
        ), id="create",
    ),
]  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize("server", ["real"], indirect=True)
@pytest.mark.parametrize("kind", [SECRETS, CONFIG_MAPS], ids=str)
@pytest.mark.parametrize("bad", BAD)
async def test_a_real_servers_refusal_shows_no_value_of(kind: ResourceType, bad: Bad, setting: Setting) -> None:
    held = {"metadata": {"name": "a", "namespace": setting.namespace}, "data": {"pw": "aHVudGVyMg=="}}
    await setting.client.create(held, resource=kind)
    with pytest.raises(ApiError) as caught:
        await bad(setting.client, kind, setting.key())
    for text in (str(caught.value), repr(caught.value), repr(caught.value.status)):
        assert "hunter2" not in text
        assert "aHVudGVyMg" not in text
    assert f" {kind} {setting.namespace}" in str(caught.value)


def test_a_redirect_says_where_to_by_its_host_alone() -> None:
    for location, where in (("https://me:hunter2@other.example:1/p?token=hunter2", " to other.example"), ("/x", "")):
        status = parse_status(b"", code=302, headers=answer(302, location=location).headers)
        assert str(api_error(status, "get a")) == (
            f"get a: 302 the answer is a redirect{where}, and redirects are not followed"
        )


def _all_errors() -> list[type[ReconcilerError]]:
    found = [getattr(reconciler.errors, name) for name in reconciler.errors.__all__]
    return [each for each in found if isinstance(each, type) and issubclass(each, ReconcilerError)]


def _made(kind: type[ReconcilerError]) -> ReconcilerError:
    if issubclass(kind, ApiError):
        status = ApiStatus(404, "NotFound", "no", (StatusCause("a", "b", "c"),), {"name": "a"}, 2.0)
        return kind(status, "get a", hint="look there")
    return SchemaError("spec.a", "no") if kind is SchemaError else kind("what happened")


@pytest.mark.parametrize("kind", _all_errors())
def test_an_error_can_be_copied_and_pickled_whole(kind: type[ReconcilerError]) -> None:
    error = _made(kind)
    error.add_note("seen in a pass")
    for again in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert (type(again), str(again), again.args, vars(again)) == (kind, str(error), error.args, vars(error))


def test_a_subclass_with_an_initializer_of_its_own_can_be_pickled_too() -> None:
    again = pickle.loads(pickle.dumps(ConnectionFailedError("refused", "get a", is_unsent=True)))
    assert (str(again), again.doing, again.is_unsent) == ("get a: refused", "get a", True)
