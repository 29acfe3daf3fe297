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
        FieldSelector,
        KubeObject,
        LabelSelector,
        ObjectKey,
        ObjectMeta,
        OwnerReference,
        ResourceType,
        add_finalizer,
        contains_finalizer,
        find_condition,
        is_condition_true,
        remove_finalizer,
        set_condition,
        set_controller_reference,
        set_owner_reference,
    )
    from reconciler.builder import Builder, controller_managed_by
    from reconciler.cache import (
        Cache,
        CachedReader,
        KindOptions,
    )
    from reconciler.client import (
        AiohttpTransport,
        Client,
        ClientConfig,
        JsonPatch,
        OperationResult,
        RateLimitedTransport,
        Reader,
        RestClient,
        RestMapper,
        StrategicMergePatch,
        Transport,
        Writer,
        create_or_patch,
        create_or_update,
        load_config,
        merge_from,
        retry_on_conflict,
    )
    from reconciler.control_loop import Controller
    from reconciler.errors import (
        AlreadyExistsError,
        ApiError,
        ConfigurationError,
        ConflictError,
        ConnectionFailedError,
        InvalidError,
        NoMatchError,
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
    "ConnectionFailedError",
    "Controller",
    "EventRecorder",
    "FieldSelector",
    "InvalidError",
    "Journal",
    "JsonPatch",
    "KindOptions",
    "KubeObject",
    "LabelSelector",
    "Manager",
    "NoMatchError",
    "NotFoundError",
    "ObjectKey",
    "ObjectMeta",
    "OperationResult",
    "OwnerReference",
    "RateLimitedTransport",
    "Reader",
    "Reconciler",
    "ReconcilerError",
    "Request",
    "ResourceType",
    "RestClient",
    "RestMapper",
    "Result",
    "RetryError",
    "StatusManager",
    "StrategicMergePatch",
    "TerminalError",
    "Transport",
    "Writer",
    "add_finalizer",
    "contains_finalizer",
    "controller_managed_by",
    "create_or_patch",
    "create_or_update",
    "explain",
    "find_condition",
    "is_condition_true",
    "load_config",
    "merge_from",
    "remove_finalizer",
    "retry_on_conflict",
    "set_condition",
    "set_controller_reference",
    "set_owner_reference",
]

_HOMES = MappingProxyType({
    "reconciler.api": (
        "ApiModel", "Condition", "FieldSelector", "KubeObject", "LabelSelector", "ObjectKey", "ObjectMeta",
        "OwnerReference", "ResourceType", "add_finalizer", "contains_finalizer", "find_condition", "is_condition_true",
        "remove_finalizer", "set_condition", "set_controller_reference", "set_owner_reference",
    ),
    "reconciler.builder": ("Builder", "controller_managed_by"),
    "reconciler.cache": (
        "Cache", "CachedReader", "KindOptions",
    ),
    "reconciler.client": (
        "AiohttpTransport", "Client", "ClientConfig", "JsonPatch", "OperationResult", "RateLimitedTransport", "Reader",
        "RestClient", "RestMapper", "StrategicMergePatch", "Transport", "Writer", "create_or_patch",
        "create_or_update", "load_config", "merge_from", "retry_on_conflict",
    ),
    "reconciler.control_loop": ("Controller",),
    "reconciler.errors": (
        "AlreadyExistsError", "ApiError", "ConfigurationError", "ConflictError", "ConnectionFailedError",
        "InvalidError", "NoMatchError", "NotFoundError", "ReconcilerError", "RetryError", "TerminalError",
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
