"""
Protobuf bodies of the core kinds, read into JSON objects. Pure.

kubectl and Go's typed clients send core kinds as protobuf. Only reading is supported: answers are JSON, which those
clients take as well. Fields that are not in the tables are skipped. Zero values are left out, as `omitempty` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from reconciler.apiserver.exchange import JsonObject

__all__ = ["MEDIA_TYPE", "parse_protobuf"]

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"

_MAGIC = b"k8s\x00"
_Decode = Callable[[Any], Any]
_Fields = Mapping[int, tuple[str, _Decode]]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if not byte & 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _records(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield (field number, number or bytes) for each field of a message."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire_type = tag & 7
        if wire_type == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if wire_type == 2:
            size, at = _varint(data, at)
        elif wire_type in (1, 5):
            size = 8 if wire_type == 1 else 4
        else:
            raise ValueError(f"wire type {wire_type}")
        if at + size > len(data):
            raise ValueError("unexpected end")
        yield tag >> 3, data[at : at + size]
        at += size


def _text(value: bytes) -> str:
    return value.decode()


def _number(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _moment(value: bytes, *, microseconds: bool) -> str | None:
    if not value:
        return None
    parts = dict(_records(value))
    moment = _EPOCH + timedelta(seconds=_number(parts.get(1, 0)))
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{parts.get(2, 0) // 1000:06d}Z" if microseconds else f"{text}Z"


def _time(value: bytes) -> str | None:
    return _moment(value, microseconds=False)


def _micro_time(value: bytes) -> str | None:
    return _moment(value, microseconds=True)


def _message(fields: _Fields) -> _Decode:
    return lambda value: _read(value, fields)


class _Repeated:
    """A field whose values make a list."""

    def __init__(self, decode: _Decode) -> None:
        self._decode = decode

    def __call__(self, value: Any) -> list[Any]:
        return [self._decode(value)]


def _map_entry(value: bytes) -> dict[str, str]:
    parts = dict(_records(value))
    return {_text(parts.get(1, b"")): _text(parts.get(2, b""))}


def _read(data: bytes, fields: _Fields) -> JsonObject:
    found: JsonObject = {}
    for number, value in _records(data):
        if number not in fields:
            continue
        name, decode = fields[number]
        decoded = decode(value)
        if isinstance(decode, _Repeated):
            found[name] = [*found.get(name, []), *decoded]
        elif decode is _map_entry:
            found[name] = {**found.get(name, {}), **decoded}
        elif decoded not in (None, "", 0, False, {}):
            found[name] = decoded
    return found


# --- tables, by field number ------------------------------------------------------------------------------------------

_OWNER: _Fields = {
    1: ("kind", _text), 3: ("name", _text), 4: ("uid", _text), 5: ("apiVersion", _text),
    6: ("controller", bool), 7: ("blockOwnerDeletion", bool),
}  # fmt: skip
_METADATA: _Fields = {
    1: ("name", _text), 2: ("generateName", _text), 3: ("namespace", _text), 5: ("uid", _text),
    6: ("resourceVersion", _text), 7: ("generation", _number), 8: ("creationTimestamp", _time),
    9: ("deletionTimestamp", _time), 10: ("deletionGracePeriodSeconds", _number), 11: ("labels", _map_entry),
    12: ("annotations", _map_entry), 13: ("ownerReferences", _Repeated(_message(_OWNER))),
    14: ("finalizers", _Repeated(_text)),
}  # fmt: skip
_REFERENCE: _Fields = {
    1: ("kind", _text), 2: ("namespace", _text), 3: ("name", _text), 4: ("uid", _text), 5: ("apiVersion", _text),
    6: ("resourceVersion", _text), 7: ("fieldPath", _text),
}  # fmt: skip
_KINDS: Mapping[str, _Fields] = MappingProxyType({
    "Namespace": {
        1: ("metadata", _message(_METADATA)),
        2: ("spec", _message({1: ("finalizers", _Repeated(_text))})),
        3: ("status", _message({1: ("phase", _text)})),
    },
    "Event": {
        1: ("metadata", _message(_METADATA)), 2: ("involvedObject", _message(_REFERENCE)), 3: ("reason", _text),
        4: ("message", _text), 5: ("source", _message({1: ("component", _text), 2: ("host", _text)})),
        6: ("firstTimestamp", _time), 7: ("lastTimestamp", _time), 8: ("count", _number), 9: ("type", _text),
        10: ("eventTime", _micro_time),
        11: ("series", _message({1: ("count", _number), 2: ("lastObservedTime", _micro_time)})),
        12: ("action", _text), 13: ("related", _message(_REFERENCE)), 14: ("reportingComponent", _text),
        15: ("reportingInstance", _text),
    },
    "DeleteOptions": {
        2: ("preconditions", _message({1: ("uid", _text), 2: ("resourceVersion", _text)})),
        4: ("propagationPolicy", _text), 5: ("dryRun", _Repeated(_text)),
    },
})  # fmt: skip
_ENVELOPE: _Fields = {
    1: ("type", _message({1: ("apiVersion", _text), 2: ("kind", _text)})),
    2: ("raw", lambda value: value),
}


def parse_protobuf(body: bytes) -> JsonObject:
    """
    Return the object in a Kubernetes protobuf body.

    Raises:
        ValueError: It is none, or of a kind without a table.
    """
    if not body.startswith(_MAGIC):
        raise ValueError("provided data does not appear to be a protobuf message, expected prefix 'k8s'")
    try:
        envelope = _read(body[len(_MAGIC) :], _ENVELOPE)
        kind = envelope.get("type", {}).get("kind", "")
        if kind not in _KINDS:
            raise ValueError(f"no protobuf is known for kind {kind!r}")
        return {**envelope["type"], **_read(envelope.get("raw", b""), _KINDS[kind])}
    except IndexError as error:
        raise ValueError("unexpected end") from error
