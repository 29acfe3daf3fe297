"""The kubeconfig file that lets kubectl and controllers into an embedded server."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
from pathlib import Path

import yaml

from reconciler.apiserver.exchange import JsonObject
from reconciler.apiserver.http import Address

__all__ = ["write_kubeconfig"]

_MARK = "# Written by reconciler for its embedded API server; it is replaced at the next start.\n"


def write_kubeconfig(
    path: str | os.PathLike[str], address: Address, *, namespace: str = "default", name: str = "reconciler"
) -> Path:
    """
    Write a kubeconfig for `address`, readable by its owner alone (mode 0600), and return its absolute path.

    The file appears whole or not at all. It blocks on the disk.

    Args:
        path: The file; its folder must exist.
        address: URL, CA and token.
        namespace: The one that kubectl uses where none is named.
        name: Of the cluster, user and context in the file.

    Raises:
        FileExistsError: A file of that name is there that this function did not write: perhaps the user's own.
        OSError: The file cannot be written.
    """
    target = Path(path).absolute()
    _refuse_foreign(target)
    text = _MARK + yaml.safe_dump(_config(address, namespace, name), sort_keys=False)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        temporary.replace(target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
    return target


def _refuse_foreign(target: Path) -> None:
    if not target.exists():
        return
    with target.open("rb") as file:
        start = file.read(len(_MARK))
    if start not in (b"", _MARK.encode()):
        raise FileExistsError(f"{target} is there already and was not written by reconciler: it is left alone")


def _config(address: Address, namespace: str, name: str) -> JsonObject:
    authority = base64.b64encode(address.ca_pem).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": address.url, "certificate-authority-data": authority}}],
        "users": [{"name": name, "user": {"token": address.token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
        "current-context": name,
    }
