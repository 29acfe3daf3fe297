"""
Local copies of kinds on the API server, kept up to date, and those who are told of changes.

A `Cache` has one `Informer` for each kind: list, watch, and after whatever goes wrong back to a true copy. A
`CachedReader` reads from it. The room does not write, does not decide what a change is worth (predicates and handlers
do), and does not know who caused it.
"""

from reconciler.cache.cache import Cache
from reconciler.cache.informer import Handler, Informer, InformerStatus
from reconciler.cache.reader import CachedReader
from reconciler.cache.store import Store

__all__ = ["Cache", "CachedReader", "Handler", "Informer", "InformerStatus", "Store"]
