"""
Kubernetes controllers in asyncio, with the queue semantics of Go's controller-runtime and a journal that says why.

The front door: the names that an author of controllers needs, each loaded from its room when it is first used, so
that `import reconciler.workqueue` brings in no Kubernetes. It has no code of its own beyond that.
"""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.api import (
        ApiModel,
        Condition,
        KubeObject,
        ObjectKey,
        ObjectMeta,
        OwnerReference,
        ResourceType,
        find_condition,
        set_condition,
    )
    from reconciler.builder import Builder, controller_managed_by
    from reconciler.cache import Cache, CachedReader
    from reconciler.client import (
        AiohttpTransport,
        Client,
        ClientConfig,
        Reader,
        RestClient,
        Transport,
        Writer,
        load_config,
    )
    from reconciler.control_loop import Controller
    from reconciler.errors import (
        AlreadyExistsError,
        ApiError,
        ConfigurationError,
        ConflictError,
        NotFoundError,
        ReconcilerError,
        RetryError,
        TerminalError,
    )
    from reconciler.journal import Journal, explain
    from reconciler.manager import Manager
    from reconciler.reconcile import Reconciler, Request, Result
    from reconciler.recorder import EventRecorder
    from reconciler.status import StatusManager

__all__ = [
    "AiohttpTransport",
    "AlreadyExistsError",
    "ApiError",
    "ApiModel",
    "Builder",
    "Cache",
    "CachedReader",
    "Client",
    "ClientConfig",
    "Condition",
    "ConfigurationError",
    "ConflictError",
    "Controller",
    "EventRecorder",
    "Journal",
    "KubeObject",
    "Manager",
    "NotFoundError",
    "ObjectKey",
    "ObjectMeta",
    "OwnerReference",
    "Reader",
    "Reconciler",
    "ReconcilerError",
    "Request",
    "ResourceType",
    "RestClient",
    "Result",
    "RetryError",
    "StatusManager",
    "TerminalError",
    "Transport",
    "Writer",
    "controller_managed_by",
    "explain",
    "find_condition",
    "load_config",
    "set_condition",
]

_HOMES = MappingProxyType({
    "reconciler.api": (
        "ApiModel", "Condition", "KubeObject", "ObjectKey", "ObjectMeta", "OwnerReference", "ResourceType",
        "find_condition", "set_condition",
    ),
    "reconciler.builder": ("Builder", "controller_managed_by"),
    "reconciler.cache": ("Cache", "CachedReader"),
    "reconciler.client": (
        "AiohttpTransport", "Client", "ClientConfig", "Reader", "RestClient", "Transport", "Writer",
        "load_config",
    ),
    "reconciler.control_loop": ("Controller",),
    "reconciler.errors": (
        "AlreadyExistsError", "ApiError", "ConfigurationError", "ConflictError", "NotFoundError", "ReconcilerError",
        "RetryError", "TerminalError",
    ),
    "reconciler.journal": ("Journal", "explain"),
    "reconciler.manager": ("Manager",),
    "reconciler.reconcile": ("Reconciler", "Request", "Result"),
    "reconciler.recorder": ("EventRecorder",),
    "reconciler.status": ("StatusManager",),
})  # fmt: skip
_HOME_OF = MappingProxyType({name: home for home, names in _HOMES.items() for name in names})


# A type checker that saw this function would take every misspelt name for an object.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return __all__
