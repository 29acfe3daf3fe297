"""What a server refuses, and in which words: each row is true of a real kube-apiserver and of the embedded one."""

from __future__ import annotations

from typing import Any

import pytest

from .api import JSON_PATCH, MERGE, STRATEGIC, Api, widget

STALE = "the object has been modified; please apply your changes to the latest version and try again"
UNCHECKED = (
    "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
NO_BODY: Any = None


def row(
    id: str, method: str, path: str, body: object, code: int, reason: str, message: str,
    *, content_type: str = "application/json", query: str = "",
) -> Any:  # fmt: skip
    return pytest.param(method, path, body, content_type, query, code, reason, message, id=id)


def spec(**fields: object) -> dict[str, Any]:
    return widget("x", spec={"type": "Simple", "priority": "High", "subject": "s", **fields})


CREATES = [
    row("the name is taken", "POST", "{w}", widget("a"), 409, "AlreadyExists",
        'widgets.example.com "a" already exists'),
    row("a value outside its enum", "POST", "{w}", spec(type="Nope"), 422, "Invalid",
        'Widget.example.com "x" is invalid: [spec.type: Unsupported value: "Nope": supported values: "Escalation", '
        f'"Simple", {UNCHECKED}]'),
    row("a required field is missing", "POST", "{w}", widget("x", spec={"type": "Simple"}), 422, "Invalid",
        f'Widget.example.com "x" is invalid: [spec.subject: Required value, {UNCHECKED}]'),
    row("a number beyond its maximum", "POST", "{w}", spec(attempts=11), 422, "Invalid",
        'Widget.example.com "x" is invalid: spec.attempts: Invalid value: 11: '
        "spec.attempts in body should be less than or equal to 10"),
    row("a text that is too long", "POST", "{w}", spec(subject="x" * 21), 422, "Invalid",
        f'Widget.example.com "x" is invalid: [spec.subject: Too long: may not be more than 20 bytes, {UNCHECKED}]'),
    row("a value of another type", "POST", "{w}", spec(attempts="1"), 422, "Invalid",
        'Widget.example.com "x" is invalid: [spec.attempts: Invalid value: "string": spec.attempts in body must be of '
        f'type integer: "string", {UNCHECKED}]'),
    row("a name that is no subdomain", "POST", "{w}", widget("Bad_Name"), 422, "Invalid",
        f'Widget.example.com "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": {SUBDOMAIN}'),
    row("no name at all", "POST", "{w}", widget(), 422, "Invalid",
        'Widget.example.com "" is invalid: [metadata.name: Required value: name or generateName is required, '
        f"{UNCHECKED}]"),
    row("an owner without a name", "POST", "{w}",
        widget("x", metadata={"ownerReferences": [{"apiVersion": "v1", "kind": "X", "uid": "u"}]}), 422, "Invalid",
        'Widget.example.com "x" is invalid: metadata.ownerReferences.name: Invalid value: "": must not be empty'),
    row("a label that is no text", "POST", "{w}", widget("x", metadata={"labels": {"a": 1}}), 400, "BadRequest",
        'Widget in version "v1" cannot be handled as a Widget: json: cannot unmarshal number into Go struct field '
        "ObjectMeta.labels of type string"),
    row("another kind", "POST", "{w}", {**widget("x"), "kind": "Gadget"}, 422, "Invalid",
        'Gadget.example.com "x" is invalid: kind: Invalid value: "Gadget": must be Widget'),
    row("another version", "POST", "{w}", {**widget("x"), "apiVersion": "example.com/v2"}, 400, "BadRequest",
        "the API version in the data (example.com/v2) does not match the expected API version (example.com/v1)"),
    row("another namespace", "POST", "{w}", widget("x", metadata={"namespace": "other"}), 400, "BadRequest",
        "the namespace of the provided object does not match the namespace sent on the request"),
    row("a namespace that is not there", "POST", "/apis/example.com/v1/namespaces/nope/widgets", widget("x"), 404,
        "NotFound", 'namespaces "nope" not found'),
    row("a resource version", "POST", "{w}", widget("x", metadata={"resourceVersion": "5"}), 500, "",
        "resourceVersion should not be set on objects to be created"),
    row("an unknown field, strictly", "POST", "{w}", spec(bogus=1), 400, "BadRequest",
        'Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown field "spec.bogus"',
        query="fieldValidation=Strict"),
    row("a field twice, strictly", "POST", "{w}",
        b'{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"x"},'
        b'"spec":{"type":"Simple","type":"Simple","subject":"s"}}', 400, "BadRequest",
        'Widget in version "v1" cannot be handled as a Widget: strict decoding error: duplicate field "spec.type"',
        query="fieldValidation=Strict"),
    row("a word that fieldValidation does not know", "POST", "{w}", widget("x"), 422, "Invalid",
        'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Foo": supported values: "", '
        '"Ignore", "Strict", "Warn"', query="fieldValidation=Foo"),
    row("a dry run of some kind", "POST", "{w}", widget("x"), 422, "Invalid",
        'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All"',
        query="dryRun=Some"),
]  # fmt: skip

UPDATES = [
    row("an object that is not there", "PUT", "{w}/zz", widget("zz", metadata={"resourceVersion": "5"}), 404,
        "NotFound", 'widgets.example.com "zz" not found'),
    row("a stale resource version", "PUT", "{w}/a", widget("a", metadata={"resourceVersion": "1"}), 409, "Conflict",
        f'Operation cannot be fulfilled on widgets.example.com "a": {STALE}'),
    row("no resource version", "PUT", "{w}/a", widget("a"), 422, "Invalid",
        'widgets.example.com "a" is invalid: metadata.resourceVersion: Invalid value: 0: '
        "must be specified for an update"),
    row("a resource version that is no number", "PUT", "{w}/a", widget("a", metadata={"resourceVersion": "q"}), 500, "",
        'strconv.ParseUint: parsing "q": invalid syntax'),
    row("another name than the URL's", "PUT", "{w}/a", widget("b"), 400, "BadRequest",
        "the name of the object (b) does not match the name on the URL (a)"),
    row("no name", "PUT", "{w}/a", widget(), 400, "BadRequest",
        "the name of the object (a based on URL) was undeterminable: name must be provided"),
    row("a rule of the schema", "PATCH", "{w}/a", {"spec": {"subject": "other"}}, 422, "Invalid",
        'Widget.example.com "a" is invalid: spec: Invalid value: spec is immutable', content_type=MERGE),
    row("a stale patch", "PATCH", "{w}/a", {"metadata": {"resourceVersion": "1", "labels": {"x": "1"}}}, 409,
        "Conflict", f'Operation cannot be fulfilled on widgets.example.com "a": {STALE}', content_type=MERGE),
    row("a patch of the uid", "PATCH", "{w}/a", {"metadata": {"uid": "1"}}, 422, "Invalid",
        'Widget.example.com "a" is invalid: metadata.uid: Invalid value: "1": field is immutable', content_type=MERGE),
    row("a patch that deletes by hand", "PATCH", "{w}/a",
        {"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}}, 422, "Invalid",
        'Widget.example.com "a" is invalid: metadata.deletionTimestamp: Invalid value: '
        '"2020-01-01T00:00:00Z": field is immutable', content_type=MERGE),
    row("a patch of the kind", "PATCH", "{w}/a", {"kind": "Q"}, 422, "Invalid",
        'Q.example.com "a" is invalid: kind: Invalid value: "Q": must be Widget', content_type=MERGE),
    row("a status outside its enum", "PATCH", "{w}/a/status", {"status": {"phase": "Nope"}}, 422, "Invalid",
        'Widget.example.com "a" is invalid: [status.phase: Unsupported value: "Nope": supported values: "Pending", '
        f'"Sent", {UNCHECKED}]', content_type=MERGE),
    row("a JSON patch whose test fails", "PATCH", "{w}/a", [{"op": "test", "path": "/spec/type", "value": "q"}], 422,
        "Invalid", "the server rejected our request due to an error in our request", content_type=JSON_PATCH),
    row("a JSON patch that is no list", "PATCH", "{w}/a", {"a": 1}, 400, "BadRequest",
        "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
        content_type=JSON_PATCH),
    row("a merge patch that is a list", "PATCH", "{w}/a", [], 400, "BadRequest",
        "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
        content_type=MERGE),
]  # fmt: skip

DELETES = [
    row("an object that is not there", "DELETE", "{w}/zz", NO_BODY, 404, "NotFound",
        'widgets.example.com "zz" not found'),
    row("a policy that does not exist", "DELETE", "{w}/a", {"propagationPolicy": "Nope"}, 422, "Invalid",
        'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Nope": supported values: '
        '"Foreground", "Background", "Orphan", "nil"'),
    row("options that are none", "DELETE", "{w}/a", {"preconditions": 3}, 400, "BadRequest",
        "json: cannot unmarshal number into Go struct field DeleteOptions.preconditions of type v1.Preconditions"),
    row("a namespace that must stay", "DELETE", "/api/v1/namespaces/default", NO_BODY, 403, "Forbidden",
        'namespaces "default" is forbidden: this namespace may not be deleted'),
]  # fmt: skip

READS = [
    row("an object that is not there", "GET", "{w}/zz", NO_BODY, 404, "NotFound", 'widgets.example.com "zz" not found'),
    row("a subresource that is not there", "GET", "{w}/a/scale", NO_BODY, 404, "NotFound",
        'widgets.example.com "a" not found'),
    row("a create of the status", "POST", "{w}/a/status", widget("a"), 405, "MethodNotAllowed",
        'create is not supported on resources of kind "widgets.example.com"'),
    row("a deletion of the status", "DELETE", "{w}/a/status", NO_BODY, 405, "MethodNotAllowed",
        'delete is not supported on resources of kind "widgets.example.com"'),
    row("a PUT of the collection", "PUT", "{w}", widget("a"), 400, "BadRequest", "name must be provided"),
    row("a label selector without sense", "GET", "{w}", NO_BODY, 400, "BadRequest",
        "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt", query="labelSelector=a+b+c"),
    row("a label selector that goes on", "GET", "{w}", NO_BODY, 400, "BadRequest",
        "found '=', expected: ',' or 'end of string'", query="labelSelector=a%3Db%3Dc"),
    row("a field that cannot be selected by", "GET", "{w}", NO_BODY, 400, "BadRequest",
        "field label not supported: spec.subject", query="fieldSelector=spec.subject%3Dx"),
    row("a field selector without sense", "GET", "{w}", NO_BODY, 400, "BadRequest",
        "invalid selector: 'garbage'; can't understand 'garbage'", query="fieldSelector=garbage"),
    row("a limit that is no number", "GET", "{w}", NO_BODY, 400, "BadRequest",
        'strconv.ParseInt: parsing "abc": invalid syntax', query="limit=abc"),
    row("a list at a version that is no number", "GET", "{w}", NO_BODY, 400, "BadRequest",
        'invalid resource version: resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": '
        "invalid syntax", query="resourceVersion=abc"),
    row("a match without a version", "GET", "{w}", NO_BODY, 422, "Invalid",
        'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden '
        "unless resourceVersion is provided", query="resourceVersionMatch=Exact"),
    row("a watch from a version that is no number", "GET", "{w}", NO_BODY, 500, "",
        'resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax',
        query="watch=1&resourceVersion=abc"),
    row("initial events without a match", "GET", "{w}", NO_BODY, 422, "Invalid",
        'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting '
        "resourceVersionMatch to NotOlderThan", query="watch=1&sendInitialEvents=true"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type", "query", "code", "reason", "message"),
    [*CREATES, *UPDATES, *DELETES, *READS],
)
def test_a_refusal_has_the_real_servers_code_reason_and_words(
    api: Api, method: str, path: str, body: object, content_type: str, query: str, code: int, reason: str, message: str
) -> None:
    api.create("a")
    answer = api.request(method, path.format(w=api.widgets), body, query=query, content_type=content_type)
    assert (answer.status, answer.reason, answer.message) == (code, reason, message)
    assert answer.json["kind"] == "Status"
    assert answer.json["code"] == code


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/apis/nope.com/v1/namespaces/default/things",
        "/apis/example.com/v9/namespaces/default/widgets",
        "/apis/example.com/v1/namespaces/default/gadgets",
        "/apis/example.com/v1/widgets/a",
    ],
)
def test_a_path_where_nothing_is_served_gets_404_in_plain_text(api: Api, path: str) -> None:
    answer = api.request("GET", path)
    assert (answer.status, answer.text.strip()) == (404, "404 page not found")
    assert answer.headers["content-type"].startswith("text/plain")


def test_a_refusal_lists_its_causes_by_field(api: Api) -> None:
    answer = api.request("POST", api.widgets, spec(type="Nope", attempts=0))
    causes = {cause["field"]: cause["reason"] for cause in answer.json["details"]["causes"]}
    assert causes["spec.type"] == "FieldValueNotSupported"
    assert causes["spec.attempts"] == "FieldValueInvalid"
    assert answer.json["details"]["kind"] == "Widget"
    assert answer.json["details"]["group"] == "example.com"


@pytest.mark.parametrize(
    ("content_type", "words"),
    [
        pytest.param(STRATEGIC, "application/json-patch+json, application/merge-patch+json", id="strategic"),
        pytest.param("application/json", "application/json-patch+json, application/merge-patch+json", id="plain JSON"),
    ],
)
def test_a_custom_resource_takes_no_other_patch_than_json_and_merge(api: Api, content_type: str, words: str) -> None:
    api.create("a")
    answer = api.request("PATCH", f"{api.widgets}/a", {"metadata": {}}, content_type=content_type)
    assert (answer.status, answer.reason) == (415, "UnsupportedMediaType")
    assert words in answer.message


def test_a_body_of_an_unknown_type_gets_415(api: Api) -> None:
    answer = api.request("POST", api.widgets, b"x", content_type="text/plain")
    assert (answer.status, answer.reason) == (415, "UnsupportedMediaType")


def test_a_body_that_is_no_json_gets_400(api: Api) -> None:
    answer = api.request("POST", api.widgets, b"{nope")
    assert (answer.status, answer.reason) == (400, "BadRequest")
    assert answer.message.startswith(
        "the object provided is unrecognized (must be of type Widget): couldn't get version/kind; json parse error: "
    )


def test_a_version_from_the_future_gets_504_and_a_time_to_retry(api: Api) -> None:
    answer = api.request("GET", api.widgets, query="resourceVersion=99999999")
    assert (answer.status, answer.reason) == (504, "Timeout")
    assert answer.message.startswith("Timeout: Too large resource version: 99999999, current: ")
    assert answer.headers["retry-after"] == "1"


def test_a_client_that_takes_nothing_that_is_offered_gets_406(api: Api) -> None:
    answer = api.request("GET", api.widgets, accept="text/html")
    assert (answer.status, answer.reason) == (406, "NotAcceptable")
    assert answer.message.startswith("only the following media types are accepted: application/json, application/yaml")
