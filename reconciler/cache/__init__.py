"""
Local copies of kinds on the API server, kept up to date, and those who are told of changes.

A `Cache` has one `Informer` for each kind: list, watch, and after whatever goes wrong back to a true copy.
`KindOptions` narrow a kind, indexes find objects by what is in them, and a `CachedReader` reads. The room does not
write, does not decide what a change is worth (predicates and handlers do), and does not know who caused it.
"""

from reconciler.cache.cache import WARN_ABOVE_BYTES, Cache
from reconciler.cache.handle import InformerHandle
from reconciler.cache.handlers import Handler
from reconciler.cache.indexer import KeyFunction
from reconciler.cache.informer import Informer, InformerStatus
from reconciler.cache.options import BytesTransform, KindOptions, Transform
from reconciler.cache.reader import CachedReader
from reconciler.cache.resync import RESYNC
from reconciler.cache.store import Snapshot, Store, Unreadable

__all__ = [
    "RESYNC",
    "WARN_ABOVE_BYTES",
    "BytesTransform",
    "Cache",
    "CachedReader",
    "Handler",
    "Informer",
    "InformerHandle",
    "InformerStatus",
    "KeyFunction",
    "KindOptions",
    "Snapshot",
    "Store",
    "Transform",
    "Unreadable",
]
