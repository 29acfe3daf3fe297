"""
The door to an API server: `Client`, which is a `Reader` and a `Writer` with a status subresource.

It reads and writes typed objects and dictionaries, turns refusals into exceptions, waits out a 429 that names a time,
and takes note of each write (journal, own-write ledger). It does not cache, does not retry a conflict, does not
repeat a write whose answer was lost, and has no generated models. `RestClient` is the same without objects, a
`Transport` carries its bytes: `AiohttpTransport` over sockets, or an embedded server in process.
"""

from reconciler.client.client import Client, StatusClient
from reconciler.client.codec import decode_object
from reconciler.client.config import ClientConfig, load_config
from reconciler.client.contract import JsonObject, ObjectList, Reader, StatusWriter, WatchEvent, Writer
from reconciler.client.own_writes import OwnWrites, PendingWrite
from reconciler.client.rest import RestClient
from reconciler.client.statuses import api_error, parse_status
from reconciler.client.transport import AiohttpTransport, HttpRequest, HttpResponse, HttpStream, Transport

__all__ = [
    "AiohttpTransport",
    "Client",
    "ClientConfig",
    "HttpRequest",
    "HttpResponse",
    "HttpStream",
    "JsonObject",
    "ObjectList",
    "OwnWrites",
    "PendingWrite",
    "Reader",
    "RestClient",
    "StatusClient",
    "StatusWriter",
    "Transport",
    "WatchEvent",
    "Writer",
    "api_error",
    "decode_object",
    "load_config",
    "parse_status",
]
