"""
The certificate files that TLS connections are made of, and whether they are still the ones that were read.

It reads files and compares them; it opens no connection, and knows nothing of tokens.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["CertificateFiles", "digest_of"]

_log = logging.getLogger(__name__)


class CertificateFiles:
    """
    The files of one configuration: authorities to trust, client certificate, its key.

    Their contents count, not their names and times: a projected volume swaps links, and a loader may name new files.

    Args:
        names: Returns the files as they are named now; None stands for one that is not used.
    """

    def __init__(self, names: Callable[[], Iterable[str | None]]) -> None:
        self._names = names
        self._version = b""
        self._has_failed = False

    @property
    def version(self) -> bytes:
        """What `read` found last; two versions are equal if all contents are. Empty before the first time."""
        return self._version

    def read(self) -> bytes:
        """
        Look at the files, and return the version.

        One that cannot be read leaves the version as it was: it may be about to be replaced. That is logged once.
        """
        try:
            self._version = digest_of(self._names())
        except OSError as error:
            if not self._has_failed:
                _log.warning("%s cannot be read (%s); the old one stays in use", error.filename, error.strerror)
            self._has_failed = True
        else:
            self._has_failed = False
        return self._version


def digest_of(names: Iterable[str | None]) -> bytes:
    """Return a digest of the files' contents. Raises OSError where one cannot be read."""
    whole = hashlib.sha256()
    for name in names:
        # Each by its own digest, so that no bytes can move from one file to the next unseen.
        whole.update(b"-" if name is None else hashlib.sha256(Path(name).read_bytes()).digest())
    return whole.digest()
