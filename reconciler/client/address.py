"""A server's address, the proxy before it, and the authorities that vouch for it: checked when they are read."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from reconciler.errors import ConfigurationError

__all__ = ["check_authorities", "checked_host", "proxy_of_environment"]


def check_authorities(file: str | None, source: str) -> None:
    """Raise `ConfigurationError` where the certificates of the authorities to trust are not there, or are none."""
    if file is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except OSError as error:
        why = "not PEM" if isinstance(error, ssl.SSLError) else f"{error.strerror}: {file}"
        raise ConfigurationError(
            f"{source}: the certificates of the authorities to trust cannot be loaded ({why}); "
            "check certificate-authority and certificate-authority-data"
        ) from None


def checked_host(host: str, source: str) -> str:
    """Return a server's address without a slash at its end. Raises `ConfigurationError` where it is none."""
    try:
        parts = urlsplit(host)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and " " not in host
        is_address = is_address and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        # Not quoted: there may be a password in it.
        raise ConfigurationError(
            f"{source}: the server's address is no http or https URL; give it as https://HOST:PORT"
        )
    return host.rstrip("/")


def proxy_of_environment(host: str) -> str | None:
    """Return the proxy that the environment names for an address; None for none."""
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
