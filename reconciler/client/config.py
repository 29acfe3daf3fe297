"""
Where the API server is and how to be known to it. With kubeconfig.py the one place that touches kubernetes-asyncio.

That supplies kubeconfig and in-cluster files, credentials (tokens, client certificates, OIDC), the TLS context and the
connection pool. Its generated models are imported with it, and never used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, cast

import aiohttp

from reconciler.client.address import check_authorities, checked_host, checked_proxy, proxy_of_environment
from reconciler.client.certificates import CertificateFiles
from reconciler.client.credentials import Credentials, Refresh, check_token
from reconciler.client.impersonation import Impersonation
from reconciler.client.kubeconfig import Kubeconfig, check_files, in_words, new_configuration
from reconciler.client.useragent import checked_user_agent, default_user_agent
from reconciler.clock import LoopClock
from reconciler.errors import ConfigurationError

__all__ = ["ClientConfig", "load_config"]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its token, its authority's certificate and its namespace."""

_CREDENTIALS_SECONDS = 60.0
_READ_BUFFER_BYTES = 256 * 1024


class ClientConfig:
    """
    One API server, and the credentials for it. Its `repr` shows no secret.

    Attributes:
        host: Such as `https://10.0.0.1:6443`, without a slash at the end; a path prefix may follow.
        namespace: The one that the configuration names; None if it names none.
        source: Where the configuration came from, for messages.
        user_agent: How requests name this program; the part before the `/` owns fields that are written without owner.
        proxy: The address of the HTTP proxy to go through; None for none.
        tls_server_name: The name that the server's certificate must have; None takes the host's.
    """

    def __init__(
        self,
        configuration: Any,
        *,
        namespace: str | None,
        source: str,
        refresh: Refresh | None,
        impersonation: Callable[[], Impersonation | None] = lambda: None,
        user_agent: str | None = None,
    ) -> None:
        """`configuration` is kubernetes-asyncio's. Use `load_config` or `for_host`."""
        self._configuration = configuration
        self.host = checked_host(cast("str", configuration.host), source)
        self.namespace = namespace
        self.source = source
        self.user_agent = default_user_agent() if user_agent is None else checked_user_agent(user_agent)
        self._impersonation = impersonation
        proxy = cast("str | None", configuration.proxy)
        self.proxy = checked_proxy(proxy, f"{source}: proxy-url") if proxy else proxy_of_environment(self.host)
        self.tls_server_name = cast("str | None", configuration.tls_server_name)
        self._certificates = CertificateFiles(
            lambda: (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
        )
        check_token(cast("str | None", configuration.api_key.get("BearerToken")), source)
        self._credentials = Credentials(configuration, refresh, self._certificates, LoopClock())

    @classmethod
    def for_host(
        cls,
        host: str,
        *,
        token: str | None = None,
        ca_file: str | Path | None = None,
        namespace: str | None = None,
        impersonate: Impersonation | None = None,
        user_agent: str | None = None,
    ) -> Self:
        """
        Return a configuration made by hand; `load_config` is the usual way.

        Args:
            host: `http://` or `https://` with the host and its port.
            token: A bearer token.
            ca_file: The PEM file of the authorities to trust; None trusts the system's.
            namespace: The one to work in.
            impersonate: Who the requests are to be taken for.
            user_agent: Such as `backup/1.2`; None makes one of the program's name, its version and the platform.

        Raises:
            ConfigurationError: `host` is no such address, or has a user or password in it; `token` has control
                characters; the environment names a proxy that cannot be used.
            ValueError: `user_agent` cannot stand in a header.
        """
        configuration = new_configuration()
        configuration.host = host
        configuration.ssl_ca_cert = None if ca_file is None else str(ca_file)
        if token is not None:
            configuration.api_key["BearerToken"] = f"Bearer {token}"
        return cls(
            configuration,
            namespace=namespace,
            source="settings in code",
            refresh=None,
            impersonation=lambda: impersonate,
            user_agent=user_agent,
        )

    @property
    def impersonation(self) -> Impersonation | None:
        """Who the requests are to be taken for; None for the credentials' own user."""
        return self._impersonation()

    async def authorization(self) -> str | None:
        """
        Return the value of the `Authorization` header, or None.

        Credentials and certificate files are read again once a minute, and so is a kubeconfig that was rewritten; an
        exec plugin runs only when the token it gave is about to expire (or named no expiry). While that fails, the
        old ones stay. All who wait share one renewal.

        Cancelled: the renewal goes on, and whoever asks next gets what came of it.
        """
        return await self._credentials.header()

    async def authorization_instead_of(self, refused: str | None, certificates_version: bytes) -> str | None:
        """
        Return the `Authorization` header's value after a server refused `refused`, shown with those certificates.

        They are asked for anew only where nobody has got others since; else the others were not refused.

        Mirrors: client-go `exec.Authenticator.maybeRefreshCreds`.
        """
        return await self._credentials.header_instead_of(refused, certificates_version)

    async def aclose(self) -> None:
        """
        End a renewal of the credentials that is under way; an exec plugin is killed. The configuration stays usable.

        A transport calls it when it is closed. A request of another transport, that waits for the same renewal, goes on
        with the old credentials.
        """
        await self._credentials.aclose()

    @property
    def certificates_version(self) -> bytes:
        """Which contents the certificate files had when they were read last; a new one asks for a new session."""
        return self._certificates.version

    def read_certificates(self) -> bool:
        """Read the certificate files again now; return whether their contents are new."""
        before = self._certificates.version
        return self._certificates.read() != before

    def open_session(
        self, *, connections_max: int = 0, trace_configs: Sequence[aiohttp.TraceConfig] = ()
    ) -> aiohttp.ClientSession:
        """
        Return a session over a new pool of connections; the caller closes it. Needs a running loop.

        Its connections use the certificates as they are in their files now.

        Args:
            connections_max: The pool's size; 0 sets no bound.
            trace_configs: Are told what becomes of each request.

        Raises:
            ConfigurationError: The certificates cannot be read.
        """
        from kubernetes_asyncio.client.rest import RESTClientObject

        # Before they are loaded: files that change in between are then seen as new ones, and loaded once more.
        self._certificates.read()
        self._configuration.connection_pool_maxsize = connections_max
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
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=_READ_BUFFER_BYTES,
            trace_configs=[*trace_configs],
        )

    def __repr__(self) -> str:
        return f"<ClientConfig {self.host} from {self.source}>"


async def load_config(
    kubeconfig: str | Path | None = None,
    *,
    context: str | None = None,
    service_account: Path = SERVICE_ACCOUNT,
    credentials_timeout_seconds: float = _CREDENTIALS_SECONDS,
    impersonate: Impersonation | None = None,
    user_agent: str | None = None,
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
        credentials_timeout_seconds: For an exec plugin or an OIDC provider to give credentials, here and whenever they
            are renewed. A plugin is killed then. A request that waits for them gives up at its own time-out, which
            disturbs nobody: what comes later is for the requests after it.
        impersonate: Who the requests are to be taken for; None takes the kubeconfig's `as`, `as-groups`, `as-uid` and
            `as-user-extra`, where it has them.
        user_agent: Such as `backup/1.2`; None makes one of the program's name, its version and the platform.

    Raises:
        ConfigurationError: What is wrong, where, and how to mend it.
        ValueError: `user_agent` cannot stand in a header.

    Cancelled: a plugin that ran is killed.

    Mirrors: controller-runtime `config.GetConfigWithContext`.
    Differs: a pod's service account comes before `KUBECONFIG`.
    """
    if kubeconfig is None and context is None and _is_in_cluster(service_account):
        return _from_service_account(service_account, impersonate, user_agent)
    in_environment = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    paths = in_environment if kubeconfig is None else str(kubeconfig)
    return await _from_files(paths, context, credentials_timeout_seconds, impersonate, user_agent)


def _is_in_cluster(folder: Path) -> bool:
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and (folder / "token").exists()


def _from_service_account(folder: Path, impersonate: Impersonation | None, user_agent: str | None) -> ClientConfig:
    from kubernetes_asyncio import config

    configuration = new_configuration()

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
    return ClientConfig(
        configuration,
        namespace=namespace or None,
        source="the pod's service account",
        refresh=refresh,
        impersonation=lambda: impersonate,
        user_agent=user_agent,
    )


async def _from_files(
    paths: str,
    context: str | None,
    timeout_seconds: float,
    impersonate: Impersonation | None,
    user_agent: str | None,
) -> ClientConfig:
    check_files(paths)
    kubeconfig = Kubeconfig(paths, timeout_seconds)
    try:
        namespace = await kubeconfig.load(context)
    except Exception as error:
        # The loader raises its own kind, KeyError, AttributeError, AssertionError and more for one mistake or another.
        raise ConfigurationError(
            f"{paths}: not a usable kubeconfig: {in_words(error)}; "
            "check its clusters, users, contexts and current-context (kubectl config view)"
        ) from None
    check_authorities(kubeconfig.configuration.ssl_ca_cert, paths)
    return ClientConfig(
        kubeconfig.configuration,
        namespace=namespace,
        source=paths,
        refresh=kubeconfig.refresh,
        impersonation=lambda: kubeconfig.impersonation if impersonate is None else impersonate,
        user_agent=user_agent,
    )
