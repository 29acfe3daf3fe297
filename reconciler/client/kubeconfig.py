"""
A kubeconfig: one context of it, its credentials, and what becomes of both when the files are rewritten.

kubernetes-asyncio reads it; plugins are run by `exec_plugin.py`. No text of the files reaches a message.
"""

from __future__ import annotations

import asyncio
import binascii
import logging
import os
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import aiohttp
import yaml

from reconciler.client.certificates import WrittenPair, digest_of
from reconciler.client.exec_plugin import Credential, ExecPlugin
from reconciler.client.failures import failure_in_words
from reconciler.client.impersonation import Impersonation, impersonation_in
from reconciler.clock import SystemWallClock
from reconciler.errors import ConfigurationError

__all__ = ["Kubeconfig", "check_files", "in_words", "new_configuration"]

_log = logging.getLogger(__name__)

_SOON = timedelta(minutes=5)
"""A token that ends within this time counts as ended."""

_STAYS: Mapping[str, str] = MappingProxyType(
    {"verify_ssl": "insecure-skip-tls-verify", "tls_server_name": "tls-server-name", "proxy": "proxy-url"}
)
"""Attributes of a configuration that a rewritten kubeconfig does not change, and its entries for them."""


def new_configuration() -> Any:
    """Return an empty configuration of kubernetes-asyncio."""
    # Imported late: it brings some hundred modules of models with it, and a server in process needs none.
    from kubernetes_asyncio.client import Configuration

    return cast("Any", Configuration)()


class Kubeconfig:
    """
    One context of a kubeconfig, which may be rewritten while it is in use.

    Args:
        paths: The files, as in `KUBECONFIG`.
        timeout_seconds: For whoever gives the credentials.
    """

    def __init__(self, paths: str, timeout_seconds: float) -> None:
        self.configuration = new_configuration()
        self.impersonation: Impersonation | None = None
        self._paths = paths
        self._timeout_seconds = timeout_seconds
        self._loader: _Loader | None = None
        self._context = ""
        self._version = b""
        self._said_to_stay: list[str] = []

    async def load(self, context: str | None) -> str | None:
        """Read the files; return the context's namespace."""
        version = self._read_version()
        self._loader = await self._load_into(self.configuration, context)
        self.impersonation = self._loader.impersonation
        found = self._loader.context
        self._context, self._version = cast("str", found["name"]), version
        return cast("str | None", found["context"].get("namespace")) or None

    async def refresh(self, is_refused: bool) -> None:
        """Ask for the credentials anew: from the files, if they were rewritten, else from whom they name."""
        if self._is_rewritten():
            try:
                if await self._load_again():
                    return
            except Exception as error:
                # Perhaps half written: the next minute will tell.
                _log.warning("%s has changed and is not usable: %s", self._paths, in_words(error))
        if self._loader is not None:
            await self._loader.load_into(self.configuration, is_refused=is_refused)

    async def _load_again(self) -> bool:
        """Take over what the files say now; return whether that brought credentials."""
        version = self._read_version()
        check_files(self._paths)
        fresh = new_configuration()
        # The same context by its name: `kubectl config use-context` must not send a running process elsewhere.
        loader = await self._load_into(fresh, self._context)
        self._version = version
        if fresh.host != self.configuration.host:
            _log.warning("%s: context %s names another server now; the first stays", self._paths, self._context)
            loader.remove_files()
            return False
        self._say_what_stays(fresh)
        before, self._loader = self._loader, loader
        self.impersonation = loader.impersonation
        for name in ("api_key", "ssl_ca_cert", "cert_file", "key_file"):
            setattr(self.configuration, name, getattr(fresh, name))
        if before is not None:
            before.remove_files()
        return True

    def _say_what_stays(self, fresh: Any) -> None:
        changed = [entry for name, entry in _STAYS.items() if getattr(fresh, name) != getattr(self.configuration, name)]
        if changed and changed != self._said_to_stay:
            # Their values may hold a proxy's password.
            _log.warning(
                "%s: context %s has changed in %s, which is not followed; restart the process for it",
                self._paths, self._context, ", ".join(changed),
            )  # fmt: skip
        self._said_to_stay = changed

    async def _load_into(self, configuration: Any, context: str | None) -> _Loader:
        loader = _Loader(self._paths, context, self._timeout_seconds)
        await loader.load_into(configuration, is_refused=False)
        return loader

    def _is_rewritten(self) -> bool:
        try:
            return self._read_version() != self._version
        except OSError:
            return True  # who reads it says what is wrong

    def _read_version(self) -> bytes:
        return digest_of(str(file) for file in _existing(self._paths))


class _Loader:
    """kubernetes-asyncio's loader of one context, with plugins and a time-out of ours."""

    def __init__(self, paths: str, context: str | None, timeout_seconds: float) -> None:
        from kubernetes_asyncio.config.kube_config import KubeConfigLoader, KubeConfigMerger

        files = cast("Any", KubeConfigMerger)(paths)
        self._theirs: Any = cast("Any", KubeConfigLoader)(
            files.config, active_context=context, config_base_path=None, config_persister=files.save_changes
        )
        self._timeout_seconds = timeout_seconds
        self.context: Mapping[str, Any] = self._theirs.current_context
        self._source = "the kubeconfig's user"
        self._held: Credential | None = None
        self._pairs: list[WrittenPair] = []
        user = self.context["context"].get("user")
        users: Any = files.config["users"]
        found = users.get_with_name(user, safe=True) if user else None
        section = cast("Mapping[str, object]", (found.value.get("user") or {}) if found is not None else {})
        self.impersonation = impersonation_in(section)
        if "auth-provider" in section:
            self._source = "the user's auth-provider"
        elif found is not None and "exec" in section:
            plugin = ExecPlugin.from_kubeconfig(section["exec"], Path(found.path).parent)
            self._source = str(plugin)
            # Theirs runs it without a time-out, leaves it behind when cancelled, and logs what it said.
            self._theirs.load_from_exec_plugin = partial(self._load_from, plugin)

    async def load_into(self, configuration: Any, *, is_refused: bool) -> None:
        """Set host, certificates and credentials; a plugin's last answer is not trusted if it was refused."""
        if is_refused:
            self._held = None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._theirs.load_and_set(configuration)
        except TimeoutError:
            raise ConfigurationError(f"{self._source} gave no credentials within {self._timeout_seconds:g} s") from None
        # Not before: until now the configuration named the last ones.
        self.remove_files(but=1)

    def remove_files(self, *, but: int = 0) -> None:
        """Remove the certificate files that plugins gave, except so many of the newest pairs."""
        while len(self._pairs) > but:
            self._pairs.pop(0).remove()

    async def _load_from(self, plugin: ExecPlugin) -> bool:
        ends_at = self._held.expires_at if self._held is not None else None
        if ends_at is not None and ends_at - _SOON > SystemWallClock().now():
            return True
        found = self._held = await plugin.run()
        if found.token:
            self._theirs.token = f"Bearer {found.token}"
        if found.certificate:
            pair = WrittenPair(found.certificate, found.key)
            self._pairs.append(pair)
            self._theirs.cert_file, self._theirs.key_file = pair.certificate_file, pair.key_file
        return True


def in_words(error: Exception) -> str:
    """Return what is wrong with a kubeconfig, without what the error quotes of it."""
    from kubernetes_asyncio.config import ConfigException

    if isinstance(error, ConfigurationError):
        return str(error)
    if isinstance(error, binascii.Error):
        return "an entry that ends in -data is not base64"
    # The loader names a place by its whole content, token and all, from the first brace on; the texts of other errors
    # may quote anything.
    if isinstance(error, ConfigException):
        return str(error).partition("{")[0].strip()
    if isinstance(error, aiohttp.ClientError):
        return f"the user's auth-provider: {failure_in_words(error, None)}"
    return f"{error.strerror}: {error.filename}" if isinstance(error, OSError) else type(error).__name__


def _existing(paths: str) -> list[Path]:
    files = [Path(path).expanduser() for path in paths.split(os.pathsep) if path]
    return [file for file in files if file.exists()]


def check_files(paths: str) -> None:
    """Raise `ConfigurationError` unless there is a file, and all that are there are mappings in YAML."""
    found = _existing(paths)
    if not found:
        raise ConfigurationError(
            f"{paths}: no kubeconfig there; name one, set KUBECONFIG, or run in a pod with a service account"
        )
    for file in found:
        _check_file(file)


def _check_file(file: Path) -> None:
    try:
        content: object = yaml.safe_load(file.read_text())
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read: {error.strerror}; check its permissions") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        # Without YAML's own text, which quotes the file: there are tokens in it.
        mark = getattr(error, "problem_mark", None)
        where = f"{file}:{mark.line + 1}" if mark is not None else str(file)
        raise ConfigurationError(f"{where}: not YAML; write the kubeconfig anew") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{file}: a kubeconfig is a mapping, this is {type(content).__name__}; write it anew")
