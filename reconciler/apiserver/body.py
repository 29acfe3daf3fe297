"""
Request bodies: bytes to JSON objects, with the complaints that a strict decoder has. Pure.

JSON and YAML are understood for every kind, protobuf for the core kinds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn, cast

import yaml

from reconciler.apiserver import protobuf
from reconciler.apiserver.exchange import JsonObject
from reconciler.apiserver.failure import StatusError, bad_request, unsupported_media_type

__all__ = ["media_type", "parse_json", "parse_object", "read_body"]


def media_type(content_type: str) -> str:
    """Return the bare media type of a Content-Type header; JSON where there is none."""
    return content_type.partition(";")[0].strip().lower() or "application/json"


class _Repeating(dict[str, Any]):
    """A JSON object in which some key came twice; the last one won, as in Go."""

    repeated: Sequence[str] = ()


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    marked = _Repeating(found)
    keys = [key for key, _ in pairs]
    marked.repeated = sorted({key for key in keys if keys.count(key) > 1})
    return marked


def _integer(text: str) -> int | float:
    value = int(text)
    # Go keeps whole numbers in an int64 and falls back to a float.
    return value if -(2**63) <= value < 2**63 else float(text)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"invalid character '{text[0]}' looking for beginning of value")


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_int=_integer, parse_constant=_refuse_constant)


def parse_json(body: bytes) -> Any:
    """Return the JSON value. Raises ValueError with a reason that ends up in a 400."""
    if not body.strip():
        raise ValueError("unexpected end of JSON input")
    try:
        return _DECODER.decode(body.decode())
    except RecursionError as error:
        raise ValueError("exceeded max depth") from error


class _YamlLoader(yaml.SafeLoader):
    """YAML as JSON would have it: dates stay text."""


_YamlLoader.yaml_implicit_resolvers = {
    letter: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _parse_yaml(body: bytes) -> Any:
    try:
        value: object = yaml.load(body, Loader=_YamlLoader)  # a SafeLoader, with fewer guesses
        return json.loads(json.dumps(value))
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(str(error)) from error


_READERS: Mapping[str, Callable[[bytes], Any]] = MappingProxyType({
    "application/json": parse_json,
    "application/yaml": _parse_yaml,
    protobuf.MEDIA_TYPE: protobuf.parse_protobuf,
})  # fmt: skip


def read_body(body: bytes, content_type: str) -> Any:
    """
    Return the value in a body, by its media type.

    Raises:
        StatusError: 415 for a media type that is not understood.
        ValueError: The body is not what its media type says.
    """
    form = media_type(content_type)
    if form not in _READERS:
        raise unsupported_media_type(tuple(_READERS))
    return _READERS[form](body)


def parse_object(body: bytes, content_type: str, *, kind: str) -> tuple[JsonObject, list[str]]:
    """
    Return the object in a request's body, and the paths of the fields that stand in it twice.

    Args:
        body: The bytes.
        content_type: The header's value.
        kind: The kind that the path serves, for the messages.

    Raises:
        StatusError: 400, or 415 for a media type that is not understood.
    """
    try:
        value = read_body(body, content_type)
    except ValueError as error:
        raise _unrecognized(kind, f"couldn't get version/kind; json parse error: {error}", body) from error
    if not isinstance(value, dict):
        text = f"json: cannot unmarshal {_word(value)} into Go value of type struct"
        text = f"couldn't get version/kind; json parse error: {text}"
        raise _unrecognized(kind, text, body)
    found = cast("JsonObject", value)
    if not found.get("kind"):
        raise _unrecognized(kind, f"Object 'Kind' is missing in '{body.decode(errors='replace')}'", body)
    return found, _repeated(found, "")


def _word(value: object) -> str:
    return "array" if isinstance(value, list) else "string" if isinstance(value, str) else "number"


def _unrecognized(kind: str, why: str, body: bytes) -> StatusError:
    text = body.decode(errors="replace")
    shown = "<empty>" if not text else text if len(text) <= 30 else f"{text[:30]} ..."
    return bad_request(f"the object provided is unrecognized (must be of type {kind}): {why} ({shown})")


def _repeated(value: object, path: str) -> list[str]:
    """Return the paths of the keys that came twice, in the order of the document."""
    if isinstance(value, dict):
        found = [f"{path}.{key}".lstrip(".") for key in value.repeated] if isinstance(value, _Repeating) else []
        for key, item in cast("JsonObject", value).items():
            found += _repeated(item, f"{path}.{key}")
        return found
    if isinstance(value, list):
        return [
            text
            for index, item in enumerate(cast("list[object]", value))
            for text in _repeated(item, f"{path}[{index}]")
        ]
    return []
