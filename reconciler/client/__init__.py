"""
The door to an API server: `Client`, which is a `Reader` and a `Writer` with a status subresource.

It reads and writes typed objects and dictionaries, turns refusals into exceptions, waits out a 429 that names a time,
and takes note of each write (journal, own-write ledger). It does not cache, does not retry a conflict, does not
repeat a write whose answer was lost, and has no generated models. `RestClient` is the same without objects, a
`Transport` carries its bytes: `AiohttpTransport` over sockets, or an embedded server in process.
"""

from reconciler.client.client import Client
from reconciler.client.codec import decode_object
from reconciler.client.config import ClientConfig, load_config
from reconciler.client.contract import (
    FieldSelection,
    FieldValidation,
    JsonObject,
    LabelSelection,
    ObjectList,
    Propagation,
    Reader,
    ResourceVersionMatch,
    StatusWriter,
    WatchEvent,
    WriteOptions,
    Writer,
)
from reconciler.client.discovery import ApiResource
from reconciler.client.impersonation import Impersonation
from reconciler.client.limit import RateLimitedTransport, TokenBucket
from reconciler.client.mapping import RestMapper
from reconciler.client.merge import merge_from
from reconciler.client.own_writes import OwnWrites, PendingWrite
from reconciler.client.patches import JsonPatch, Patch, StrategicMergePatch
from reconciler.client.rest import RestClient
from reconciler.client.retry import DEFAULT_BACKOFF, DEFAULT_RETRY, RetryBackoff, retry_on_conflict
from reconciler.client.statuses import api_error, parse_status
from reconciler.client.subresource import StatusClient, SubresourceClient
from reconciler.client.transport import AiohttpTransport, HttpRequest, HttpResponse, HttpStream, Transport
from reconciler.client.upsert import OperationResult, Upserted, create_or_patch, create_or_update
from reconciler.client.warnings import ServerWarning
from reconciler.client.written import Written

__all__ = [
    "DEFAULT_BACKOFF",
    "DEFAULT_RETRY",
    "AiohttpTransport",
    "ApiResource",
    "Client",
    "ClientConfig",
    "FieldSelection",
    "FieldValidation",
    "HttpRequest",
    "HttpResponse",
    "HttpStream",
    "Impersonation",
    "JsonObject",
    "JsonPatch",
    "LabelSelection",
    "ObjectList",
    "OperationResult",
    "OwnWrites",
    "Patch",
    "PendingWrite",
    "Propagation",
    "RateLimitedTransport",
    "Reader",
    "ResourceVersionMatch",
    "RestClient",
    "RestMapper",
    "RetryBackoff",
    "ServerWarning",
    "StatusClient",
    "StatusWriter",
    "StrategicMergePatch",
    "SubresourceClient",
    "TokenBucket",
    "Transport",
    "Upserted",
    "WatchEvent",
    "WriteOptions",
    "Writer",
    "Written",
    "api_error",
    "create_or_patch",
    "create_or_update",
    "decode_object",
    "load_config",
    "merge_from",
    "parse_status",
    "retry_on_conflict",
]
