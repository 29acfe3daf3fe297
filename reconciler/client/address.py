"""A server's address, the proxy before it, and the authorities that vouch for it: checked when they are read."""

from __future__ import annotations

import ssl
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies_environment

from reconciler.errors import ConfigurationError

__all__ = ["check_authorities", "checked_host", "checked_proxy", "proxy_of_environment"]


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
    parts = _parts(host)
    # Not quoted, here and below: there may be a password in it.
    if parts is None or parts.scheme not in {"http", "https"}:
        raise ConfigurationError(
            f"{source}: the server's address is no http or https URL; give it as https://HOST:PORT"
        )
    if "@" in parts.netloc:
        raise ConfigurationError(
            f"{source}: the server's address has a user or password in it; give a token or a client certificate instead"
        )
    return host.rstrip("/")


def checked_proxy(proxy: str, source: str) -> str:
    """Return a proxy's address. Raises `ConfigurationError`, which begins with `source`, where it cannot be used."""
    parts = _parts(proxy)
    if parts is not None and parts.scheme in {"socks5", "socks5h"}:
        raise ConfigurationError(f"{source}: SOCKS proxies are not supported; name an HTTP proxy as http://HOST:PORT")
    if parts is None or parts.scheme not in {"http", "https"}:
        raise ConfigurationError(f"{source}: the proxy's address is no http or https URL; give it as http://HOST:PORT")
    return proxy


def _parts(address: str) -> SplitResult | None:
    if any(letter <= " " or letter == "\x7f" for letter in address):
        return None
    try:
        parts = urlsplit(address)
        is_address = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if is_address else None


def proxy_of_environment(host: str) -> str | None:
    """
    Return the proxy that the environment names for an address; None for none.

    `HTTPS_PROXY` or `HTTP_PROXY` counts, by the address, and `NO_PROXY`; in lower case too, which comes first. A proxy
    without `http://` gets it.

    Raises:
        ConfigurationError: It is no address of an HTTP proxy.

    Mirrors: Go `golang.org/x/net/http/httpproxy`.
    Differs: SOCKS proxies are refused.
    """
    parts = urlsplit(host)
    named = getproxies_environment()
    proxy = named.get(parts.scheme)
    if parts.hostname is None or not proxy:
        return None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if _is_this_machine(parts.hostname) or any(
        _excepts(entry.strip().lower(), parts.hostname, port) for entry in named.get("no", "").split(",")
    ):
        return None
    return checked_proxy(proxy if "://" in proxy else f"http://{proxy}", f"{parts.scheme.upper()}_PROXY")


def _is_this_machine(name: str) -> bool:
    address = _address(name)
    return name == "localhost" or (address is not None and address.is_loopback)


def _excepts(entry: str, name: str, port: int) -> bool:
    """Return whether an entry of `NO_PROXY` is for a host: `*`, a network, an address or a name, with a port or not."""
    if entry == "*":
        return True
    address = _address(name)
    if "/" in entry:
        try:
            return address is not None and address in ip_network(entry, strict=False)
        except ValueError:
            return False
    host, entry_port = _host_and_port(entry)
    if not host or entry_port not in {"", str(port)}:
        return False
    excepted = _address(host)
    if excepted is not None or address is not None:
        return excepted == address
    # `x.y` is for itself and what is below, `.x.y` and `*.x.y` for what is below alone.
    below = host[1:] if host.startswith("*.") else host
    return name.endswith(below if below.startswith(".") else f".{below}") or name == host


def _host_and_port(entry: str) -> tuple[str, str]:
    if entry.startswith("["):
        host, _, port = entry[1:].partition("]")
        return host, port.removeprefix(":")
    host, _, port = entry.partition(":")
    return (entry, "") if ":" in port else (host, port)  # more than one colon: an address of IPv6


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None
