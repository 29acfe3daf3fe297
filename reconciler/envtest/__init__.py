"""
A real kube-apiserver and etcd for tests: built once from their Go modules, started on loopback in seconds.

`running` and `start` give a `RealServer` for the time of a block; `build` makes the two programs beforehand. It knows
no controller code, installs nothing into the server, and is no cluster: there is no controller manager, scheduler or
kubelet. From a shell: `python -m reconciler.envtest --help`.
"""

from reconciler.envtest.binaries import (
    KUBERNETES_VERSION,
    Binaries,
    BuildError,
    GoMissingError,
    build,
    built,
    cache_dir_default,
)
from reconciler.envtest.processes import EnvtestError
from reconciler.envtest.server import RealServer, ServerError, running, start

__all__ = [
    "KUBERNETES_VERSION",
    "Binaries",
    "BuildError",
    "EnvtestError",
    "GoMissingError",
    "RealServer",
    "ServerError",
    "build",
    "built",
    "cache_dir_default",
    "running",
    "start",
]
