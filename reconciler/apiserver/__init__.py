"""
The embedded API server: a Kubernetes API for development, demonstrations and tests, in memory.

It keeps CustomResourceDefinitions and their objects, Namespaces and Events, with the verbs, watches and refusals of a
kube-apiserver; `handle` takes requests in process, `reconciler.apiserver.http` serves them over HTTPS. It knows no
controllers, shares no code with the client and the cache, runs no workloads, checks no permissions, and forgets
everything when it ends.
"""

from reconciler.apiserver.exchange import ServerRequest, ServerResponse
from reconciler.apiserver.server import ApiServer

__all__ = ["ApiServer", "ServerRequest", "ServerResponse"]
