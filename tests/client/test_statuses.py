from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.client import api_error, parse_status
from reconciler.errors import (
    AlreadyExistsError,
    ApiError,
    ApiStatus,
    BadRequestError,
    ConflictError,
    ExpiredError,
    ForbiddenError,
    InvalidError,
    MethodNotAllowedError,
    NoMatchError,
    NotFoundError,
    ServerTimeoutError,
    StatusCause,
    TooManyRequestsError,
    UnauthorizedError,
)


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, "BadRequest", BadRequestError),
        (401, "Unauthorized", UnauthorizedError),
        (403, "Forbidden", ForbiddenError),
        (404, "NotFound", NoMatchError),
        (405, "MethodNotAllowed", MethodNotAllowedError),
        (409, "AlreadyExists", AlreadyExistsError),
        (409, "Conflict", ConflictError),
        (409, "", ConflictError),
        (410, "Expired", ExpiredError),
        (410, "Gone", ExpiredError),
        (413, "RequestEntityTooLarge", ApiError),
        (422, "Invalid", InvalidError),
        (429, "TooManyRequests", TooManyRequestsError),
        (500, "InternalError", ApiError),
        (500, "ServerTimeout", ServerTimeoutError),
        (503, "ServiceUnavailable", ServerTimeoutError),
        (504, "Timeout", ServerTimeoutError),
        (302, "", ApiError),
    ],
)
def test_code_and_reason_decide_the_kind_of_error(code: int, reason: str, kind: type[ApiError]) -> None:
    assert type(api_error(ApiStatus(code, reason))) is kind


@pytest.mark.parametrize(
    ("details", "kind"),
    [
        pytest.param({"name": "a", "kind": "widgets"}, NotFoundError, id="an object is not there"),
        pytest.param({"kind": "widgets"}, NoMatchError, id="a kind is not there"),
        pytest.param({}, NoMatchError, id="a path is not there"),
    ],
)
def test_a_404_is_told_apart_where(details: dict[str, Any], kind: type[ApiError]) -> None:
    error = api_error(ApiStatus(404, "NotFound", details=details))
    assert type(error) is kind
    assert ("is the kind installed there" in str(error)) is (kind is NoMatchError)


def test_an_invalid_object_names_its_fields() -> None:
    body = {
        "kind": "Status",
        "code": 422,
        "reason": "Invalid",
        "message": "Widget is invalid",
        "details": {
            "name": "a",
            "causes": [
                {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.size"},
                {"message": "no field"},
            ],
        },
    }
    status = parse_status(json.dumps(body).encode(), code=422)
    assert status.causes == (
        StatusCause("FieldValueRequired", "Required value", "spec.size"),
        StatusCause("", "no field", ""),
    )
    assert status.details == {"name": "a"}
    error = api_error(status, "create widgets in default")
    assert str(error) == "create widgets in default: 422 Widget is invalid"


@pytest.mark.parametrize(
    ("headers", "details", "seconds"),
    [
        pytest.param({"retry-after": "3"}, {}, 3.0, id="the header"),
        pytest.param({}, {"retryAfterSeconds": 2}, 2.0, id="the body"),
        pytest.param({"retry-after": "3"}, {"retryAfterSeconds": 2}, 3.0, id="the header before the body"),
        pytest.param({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, {}, None, id="no date"),
        pytest.param({}, {}, None, id="nothing"),
        pytest.param({}, {"retryAfterSeconds": 0}, None, id="not from a zero in the body"),
        pytest.param({}, {"retryAfterSeconds": 10**400}, None, id="no number that a time can be"),
    ],
)
def test_the_time_to_wait_comes_from(headers: dict[str, str], details: dict[str, Any], seconds: float | None) -> None:
    body = json.dumps({"kind": "Status", "code": 429, "details": details}).encode()
    assert parse_status(body, code=429, headers=headers).retry_after_seconds == seconds


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"404 page not found\n", "page not found", id="plain text, which begins with the code"),
        pytest.param(b"<html>\n<body>gone</body>", "<html>", id="a page"),
        pytest.param(b"", "", id="nothing"),
        pytest.param(b"\xff\xfe", "��", id="no text at all"),
        pytest.param(b"x" * 5000, "x" * 200, id="a long line"),
        pytest.param(b"[1]", "the answer is JSON, and no Status", id="other JSON"),
        pytest.param(b'{"data": {"token": "hunter2"}}', "the answer is JSON, and no Status", id="an object"),
        pytest.param(b'{"data": {"token": "hunter2', "the answer is half a JSON document", id="half an object"),
        pytest.param(b'{"message": "no route", "data": "hunter2"}', "no route", id="a proxy's words"),
        pytest.param(b'{"error": "no backend"}', "no backend", id="other words of a proxy"),
    ],
)
def test_a_body_that_is_no_status_becomes_a_short_message(body: bytes, message: str) -> None:
    assert parse_status(body, code=404) == ApiStatus(404, message=message)


def test_a_status_of_the_wrong_shape_is_read_as_far_as_it_goes() -> None:
    body = {"kind": "Status", "code": "410", "reason": None, "message": 3, "details": {"causes": [1, None]}}
    assert parse_status(json.dumps(body).encode(), code=410) == ApiStatus(
        410, causes=(StatusCause(), StatusCause()), details={}
    )


def test_the_code_comes_from_the_body_where_there_is_no_answer_around_it() -> None:
    body = json.dumps({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}).encode()
    assert isinstance(api_error(parse_status(body)), ExpiredError)
