"""
Where the API server is and how to be known to it: the one file that touches kubernetes-asyncio.

It supplies kubeconfig and in-cluster files, credentials (tokens, client certificates, exec plugins, OIDC), the TLS
context and the connection pool. Its generated models are imported with it, and never used.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import yaml

from reconciler.client.certificates import CertificateFiles, digest_of
from reconciler.clock import LoopClock
from reconciler.errors import ConfigurationError
from reconciler.instant import Clock, Instant, seconds

__all__ = ["ClientConfig", "load_config"]

_log = logging.getLogger(__name__)

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its token, its authority's certificate and its namespace."""

_REFRESH_SECONDS = 60
_READ_BUFFER_BYTES = 256 * 1024

Refresh = Callable[[bool], Awaitable[None]]
"""Asks for the credentials anew; True where the server refused the present ones."""


class ClientConfig:
    """
    One API server, and the credentials for it. Its `repr` shows no secret.

    Attributes:
        host: Such as `https://10.0.0.1:6443`, without a slash at the end; a path prefix may follow.
        namespace: The one that the configuration names; None if it names none.
        source: Where the configuration came from, for messages.
        proxy: The address of the HTTP proxy to go through; None for none.
        tls_server_name: The name that the server's certificate must have; None takes the host's.
    """

    def __init__(self, configuration: Any, *, namespace: str | None, source: str, refresh: Refresh | None) -> None:
        """`configuration` is kubernetes-asyncio's. Use `load_config` or `for_host`."""
        self._configuration = configuration
        self.host = cast("str", configuration.host).rstrip("/")
        self.namespace = namespace
        self.source = source
        self.proxy = cast("str | None", configuration.proxy) or _proxy_of_environment(self.host)
        self.tls_server_name = cast("str | None", configuration.tls_server_name)
        self._certificates = CertificateFiles(
            lambda: (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
        )
        self._credentials = _Credentials(configuration, refresh, self._certificates, LoopClock())

    @classmethod
    def for_host(
        cls, host: str, *, token: str | None = None, ca_file: str | Path | None = None, namespace: str | None = None
    ) -> Self:
        """
        Return a configuration made by hand; `load_config` is the usual way.

        Args:
            host: `http://` or `https://` with the host and its port.
            token: A bearer token.
            ca_file: The PEM file of the authorities to trust; None trusts the system's.
            namespace: The one to work in.
        """
        configuration = _new_configuration()
        configuration.host = host
        configuration.ssl_ca_cert = None if ca_file is None else str(ca_file)
        if token is not None:
            configuration.api_key["BearerToken"] = f"Bearer {token}"
        return cls(configuration, namespace=namespace, source="settings in code", refresh=None)

    async def authorization(self, *, refresh: bool = False) -> str | None:
        """
        Return the value of the `Authorization` header, or None.

        Credentials and certificate files are read again once a minute, and so is a kubeconfig that was rewritten; an
        exec plugin runs only when the token it gave is about to expire (or named no expiry). While that fails, the
        old ones stay.

        Args:
            refresh: The server did not accept the last answer: ask again now.
        """
        return await self._credentials.header(refresh=refresh)

    @property
    def certificates_version(self) -> bytes:
        """Which contents the certificate files had when they were read last; a new one asks for a new session."""
        return self._certificates.version

    def read_certificates(self) -> bool:
        """Read the certificate files again now; return whether their contents are new."""
        before = self._certificates.version
        return self._certificates.read() != before

    def open_session(self) -> aiohttp.ClientSession:
        """
        Return a session over a new pool of connections; the caller closes it. Needs a running loop.

        Its connections use the certificates as they are in their files now.

        Raises:
            ConfigurationError: The certificates cannot be read.
        """
        from kubernetes_asyncio.client.rest import RESTClientObject

        # Before they are loaded: files that change in between are then seen as new ones, and loaded once more.
        self._certificates.read()
        try:
            theirs = cast("aiohttp.ClientSession", cast("Any", RESTClientObject)(self._configuration).pool_manager)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{self.source}: the TLS certificates or keys cannot be loaded ({type(error).__name__}); "
                "check the certificate-authority and client-certificate entries"
            ) from error
        connector = theirs.connector
        theirs.detach()
        # Its session would read ~/.netrc and the proxy variables in a thread for each request, and refuses to send
        # our token where a .netrc knows the host.
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), read_bufsize=_READ_BUFFER_BYTES
        )

    def __repr__(self) -> str:
        return f"<ClientConfig {self.host} from {self.source}>"


class _Credentials:
    """The `Authorization` header, and when it and the certificates are asked for anew."""

    def __init__(
        self, configuration: Any, refresh: Refresh | None, certificates: CertificateFiles, clock: Clock
    ) -> None:
        self._configuration = configuration
        self._refresh = refresh
        self._certificates = certificates
        self._clock = clock
        self._lock = asyncio.Lock()
        self._asked_at: Instant | None = None

    async def header(self, *, refresh: bool) -> str | None:
        if refresh or self._is_due():
            before = self._asked_at
            async with self._lock:
                # Whoever waited for the lock takes what the one before got.
                if self._asked_at == before:
                    await self._ask(is_refused=refresh)
        if "BearerToken" not in self._configuration.api_key:
            return None
        value = cast("str | None", await self._configuration.get_api_key_with_prefix("BearerToken"))
        # A token file written with an editor or `echo` ends in a line end, which no header may hold.
        return value.strip() if value is not None else None

    def _is_due(self) -> bool:
        now = self._clock.now()
        if self._asked_at is None:
            self._asked_at = now  # loading the configuration was the first time
        return now - self._asked_at >= seconds(_REFRESH_SECONDS)

    async def _ask(self, *, is_refused: bool) -> None:
        try:
            if self._refresh is not None:
                await self._refresh(is_refused)
        except Exception as error:
            # The loader runs plugins and OIDC requests: anything may come. Their texts may hold secrets.
            _log.warning("credentials could not be renewed (%s); the old ones stay", type(error).__name__)
        finally:
            self._asked_at = self._clock.now()
        # Only a version that a session was made of can be outdated.
        if self._certificates.version:
            self._certificates.read()


async def load_config(
    kubeconfig: str | Path | None = None, *, context: str | None = None, service_account: Path = SERVICE_ACCOUNT
) -> ClientConfig:
    """
    Return the configuration that applies here: where the server is, and the credentials for it.

    The first that applies: the file `kubeconfig`; the pod's service account, unless `context` is given; the files
    that `KUBECONFIG` names; `~/.kube/config`. TLS certificates are verified unless the kubeconfig says otherwise. A
    renewed OIDC token is written back to the kubeconfig, as kubectl does.

    Args:
        kubeconfig: A kubeconfig file.
        context: A context in the kubeconfig; None takes its current one.
        service_account: The folder of the pod's service account.

    Raises:
        ConfigurationError: What is wrong, where, and how to mend it.

    Mirrors: controller-runtime `config.GetConfigWithContext`.
    Differs: a pod's service account comes before `KUBECONFIG`.
    """
    if kubeconfig is not None:
        return await _from_files(str(kubeconfig), context)
    if context is None and _is_in_cluster(service_account):
        return _from_service_account(service_account)
    return await _from_files(os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config"), context)


def _new_configuration() -> Any:
    # Imported late: it brings some hundred modules of models with it, and a server in process needs none.
    from kubernetes_asyncio.client import Configuration

    return cast("Any", Configuration)()


def _is_in_cluster(folder: Path) -> bool:
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and (folder / "token").exists()


def _from_service_account(folder: Path) -> ClientConfig:
    from kubernetes_asyncio import config

    configuration = _new_configuration()

    def load() -> None:
        cast("Any", config).load_incluster_config(
            client_configuration=configuration,
            # Its own renewal looks at a wall clock, and not at a refusal.
            try_refresh_token=False,
            token_filename=str(folder / "token"),
            cert_filename=str(folder / "ca.crt"),
        )

    async def refresh(is_refused: bool) -> None:
        load()

    try:
        load()
        namespace_file = folder / "namespace"
        namespace = namespace_file.read_text().strip() if namespace_file.exists() else None
    except (config.ConfigException, OSError) as error:
        raise ConfigurationError(
            f"{folder}: the pod's service account is not usable: {error}; "
            "check automountServiceAccountToken, or name a kubeconfig"
        ) from error
    return ClientConfig(configuration, namespace=namespace or None, source="the pod's service account", refresh=refresh)


async def _from_files(paths: str, context: str | None) -> ClientConfig:
    _check_files(paths)
    kubeconfig = _Kubeconfig(paths)
    try:
        namespace = await kubeconfig.load(context)
    except Exception as error:
        # The loader raises its own kind, KeyError, AttributeError, AssertionError and more for one mistake or another.
        raise ConfigurationError(
            f"{paths}: not a usable kubeconfig: {_in_words(error)}; "
            "check its clusters, users, contexts and current-context (kubectl config view)"
        ) from None
    return ClientConfig(kubeconfig.configuration, namespace=namespace, source=paths, refresh=kubeconfig.refresh)


class _Kubeconfig:
    """One context of a kubeconfig, which may be rewritten while it is in use."""

    def __init__(self, paths: str) -> None:
        self.configuration = _new_configuration()
        self._paths = paths
        self._loader: Any = None
        self._context = ""
        self._version = b""

    async def load(self, context: str | None) -> str | None:
        """Read the files; return the context's namespace."""
        version = self._read_version()
        self._loader = await self._load_into(self.configuration, context)
        found = cast("Mapping[str, Any]", self._loader.current_context)
        self._context, self._version = cast("str", found["name"]), version
        return cast("str | None", found["context"].get("namespace")) or None

    async def refresh(self, is_refused: bool) -> None:
        """Ask for the credentials anew: from the files, if they were rewritten, else from whom they name."""
        if self._is_rewritten():
            try:
                await self._load_again()
            except Exception as error:
                # Perhaps half written: the next minute will tell.
                _log.warning("%s was rewritten and is not usable (%s)", self._paths, type(error).__name__)
            else:
                return
        if is_refused and hasattr(self._loader, "exec_plugin_expiry"):
            del self._loader.exec_plugin_expiry  # else the loader trusts the plugin's last answer until it expires
        await self._loader.load_and_set(self.configuration)

    async def _load_again(self) -> None:
        version = self._read_version()
        _check_files(self._paths)
        fresh = _new_configuration()
        # The same context by its name: `kubectl config use-context` must not send a running process elsewhere.
        loader = await self._load_into(fresh, self._context)
        self._version = version
        if fresh.host != self.configuration.host:
            _log.warning("%s: context %s names another server now; the first stays", self._paths, self._context)
            return
        self._loader = loader
        for name in ("api_key", "ssl_ca_cert", "cert_file", "key_file"):
            setattr(self.configuration, name, getattr(fresh, name))

    async def _load_into(self, configuration: Any, context: str | None) -> Any:
        from kubernetes_asyncio import config

        return await cast("Any", config).load_kube_config(
            config_file=self._paths, context=context, client_configuration=configuration
        )

    def _is_rewritten(self) -> bool:
        try:
            return self._read_version() != self._version
        except OSError:
            return False  # gone, or about to be replaced

    def _read_version(self) -> bytes:
        return digest_of(str(file) for file in _existing(self._paths))


def _in_words(error: Exception) -> str:
    from kubernetes_asyncio.config import ConfigException

    # The loader names a place by its whole content, token and all, from the first brace on; the texts of other errors
    # may quote anything.
    if isinstance(error, ConfigException):
        return str(error).partition("{")[0].strip()
    return f"{error.strerror}: {error.filename}" if isinstance(error, OSError) else type(error).__name__


def _existing(paths: str) -> list[Path]:
    files = [Path(path).expanduser() for path in paths.split(os.pathsep) if path]
    return [file for file in files if file.exists()]


def _check_files(paths: str) -> None:
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


def _proxy_of_environment(host: str) -> str | None:
    parts = urlsplit(host)
    if parts.hostname is None or _is_excepted(parts.hostname):
        return None
    return getproxies().get(parts.scheme)


def _is_excepted(name: str) -> bool:
    if name == "localhost" or proxy_bypass(name):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    # As Go does, and urllib does not: this machine is never behind the proxy, and NO_PROXY may name networks, such as
    # the cluster's services.
    return address.is_loopback or any(address in network for network in _networks(getproxies().get("no", "")))


def _networks(no_proxy: str) -> Iterator[IPv4Network | IPv6Network]:
    for entry in no_proxy.split(","):
        if "/" in entry:
            with suppress(ValueError):
                yield ip_network(entry.strip(), strict=False)
