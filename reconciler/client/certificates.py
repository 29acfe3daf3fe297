"""
The certificate files that TLS connections are made of, and whether they are still the ones that were read.

It reads files, compares them, and writes what a plugin gave; it opens no connection, and knows nothing of tokens.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["CertificateFiles", "WrittenPair", "digest_of"]

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


class WrittenPair:
    """
    A client certificate and its key, in two files that this user alone can read.

    They are removed with `remove`, with this object, or when the process ends.

    Attributes:
        certificate_file: Where the certificate is.
        key_file: Where its key is.
    """

    def __init__(self, certificate: str, key: str) -> None:
        """Raises OSError where they cannot be written."""
        folder = tempfile.mkdtemp(prefix="reconciler-")
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.certificate_file = os.path.join(folder, "tls.crt")
        self.key_file = os.path.join(folder, "tls.key")
        for file, content in ((self.certificate_file, certificate), (self.key_file, key)):
            Path(file).touch(mode=0o600)
            Path(file).write_text(content)

    def remove(self) -> None:
        """Remove both files; they are not needed once a TLS context was made of them."""
        self._remove()


def digest_of(names: Iterable[str | None]) -> bytes:
    """Return a digest of the files' contents. Raises OSError where one cannot be read."""
    whole = hashlib.sha256()
    for name in names:
        # Each by its own digest, so that no bytes can move from one file to the next unseen.
        whole.update(b"-" if name is None else hashlib.sha256(Path(name).read_bytes()).digest())
    return whole.digest()
