"""What aiohttp says when a connection fails: which exceptions those are, in our words, and no second try."""

from __future__ import annotations

import os
import ssl

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

__all__ = ["FAILURES", "failure_in_words", "send_once"]


class _SentOnceError(Exception):
    """Stands for an error of aiohttp that must not lead to a second try."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__()
        self.cause = cause


# TimeoutError and ssl.SSLError are OSErrors. aiohttp says RuntimeError where a connection was closed under a reader.
FAILURES = (aiohttp.ClientError, OSError, HttpProcessingError, RuntimeError, _SentOnceError)


async def send_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Pass a request on, and keep aiohttp from sending it twice."""
    # aiohttp repeats PUT and DELETE where a kept connection breaks; the first try may have been executed, and a
    # repeated one would be told "conflict" about our own write. It repeats only its own kinds of error.
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise  # no connection, so no first try; aiohttp does not repeat it, and new certificates may help
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _SentOnceError(error) from error


_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (aiohttp.ClientConnectorCertificateError, "the server's certificate is not trusted"),
    (aiohttp.ClientSSLError, "the TLS handshake failed"),
    (aiohttp.ClientConnectorDNSError, "the host name does not resolve"),
    (aiohttp.ClientProxyConnectionError, "the proxy cannot be reached"),
    (aiohttp.ClientHttpProxyError, "the proxy refused"),
    (aiohttp.ServerDisconnectedError, "the server closed the connection without an answer"),
    (aiohttp.ClientPayloadError, "the answer broke off"),
    (aiohttp.ClientResponseError, "the answer is not HTTP"),
    (HttpProcessingError, "the answer is not HTTP"),
    (RuntimeError, "the connection is closed"),
    (ssl.SSLError, "the TLS connection broke"),
)


def failure_in_words(error: BaseException, seconds: float | None) -> str:
    """Return what happened to a connection; `seconds` is the time that a request had."""
    # Never str(error): a proxy's address may hold a password.
    if isinstance(error, _SentOnceError):
        error = error.cause
    if isinstance(error, TimeoutError):
        return f"no answer within {seconds:g} s" if seconds is not None else "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        found = error.certificate_error
        why = found.verify_message if isinstance(found, ssl.SSLCertVerificationError) else ""
        return "the server's certificate is not trusted" + (f": {why}" if why else "")
    words = next((words for kind, words in _WORDS if isinstance(error, kind)), "")
    if words:
        return words
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return f"the connection failed ({type(error).__name__})"
