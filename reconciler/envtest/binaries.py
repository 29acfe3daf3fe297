"""
Builds etcd and kube-apiserver from their published Go modules, once into a cache directory.

The versions are pinned by `gomod/go.mod` and `gomod/go.sum`, so that the same sources are built everywhere and the
checksum of each module is known beforehand.

Expected flow:
    1  Both programs are in `<cache>/bin/<version>/`: nothing to do, Go is not asked for.
    2  Else one process at a time (a lock on `<cache>/.lock`) builds what is missing, with a Go build cache of its own
       in the cache directory, which is removed afterwards (2.8 GiB); Go's module cache stays (600 MiB).
    3  Each program appears under its name by a rename, whole or not at all.

Guarantees: an interrupted or killed build leaves neither a running compiler nor its build cache behind.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.envtest.processes import EnvtestError, Processes, Stopwatch, tail
from reconciler.errors import ConfigurationError

__all__ = [
    "COMPONENTS",
    "GO_VERSION_MIN",
    "KUBERNETES_VERSION",
    "Binaries",
    "BuildError",
    "GoMissingError",
    "Progress",
    "build",
    "built",
    "cache_dir_default",
    "print_progress",
]

KUBERNETES_VERSION = "v1.36.3"
"""The version of k8s.io/kubernetes that `gomod/go.mod` pins."""

GO_VERSION_MIN = (1, 26)
"""What that module asks of Go."""

Progress = Callable[[str], None]
"""Takes one line of text without its end."""

_GOMOD = Path(__file__).parent / "gomod"
_WORK_PREFIX = ".reconciler-envtest-build-"
_POLL_SECONDS = 0.1
REPORT_SECONDS = 10.0
_GO_ANSWER_SECONDS_MAX = 300.0  # it may have to download a newer Go first


class GoMissingError(ConfigurationError):
    """Something has to be built, and there is no Go, or one that is too old."""


class BuildError(EnvtestError):
    """The build of a program failed; the message ends with what Go said."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """Where the two programs are, and which version of Kubernetes they are meant to be."""

    etcd: Path
    kube_apiserver: Path
    version: str


@dataclass(frozen=True, slots=True)
class _Recipe:
    package: str
    seconds_usual: int  # on two cores, with the module downloads
    ldflags: str


def _version_flags() -> str:
    variable = "k8s.io/component-base/version"
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    # Without these the server calls itself v0.0.0-master+$Format:%H$.
    values = {
        "gitVersion": KUBERNETES_VERSION,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "0" * 40,
        "buildDate": "1970-01-01T00:00:00Z",
    }
    return " ".join(["-s -w", *(f"-X {variable}.{name}={value}" for name, value in values.items())])


_RECIPES: Mapping[str, _Recipe] = {
    "etcd": _Recipe("go.etcd.io/etcd/server/v3", 60, "-s -w"),
    "kube-apiserver": _Recipe("k8s.io/kubernetes/cmd/kube-apiserver", 180, _version_flags()),
}

COMPONENTS: Sequence[str] = tuple(_RECIPES)
"""The names of the programs, in the order in which they are built."""


def cache_dir_default(environ: Mapping[str, str] = os.environ) -> Path:
    """Return `$RECONCILER_ENVTEST_DIR`, else `reconciler-envtest` in `$XDG_CACHE_HOME`, else in `~/.cache`."""
    if own := environ.get("RECONCILER_ENVTEST_DIR"):
        return Path(own).expanduser()
    if caches := environ.get("XDG_CACHE_HOME"):
        return Path(caches) / "reconciler-envtest"
    return Path.home() / ".cache" / "reconciler-envtest"


def built(*, cache_dir: Path | None = None) -> Binaries | None:
    """Return what is in the cache directory, or `None` where a program is missing. Builds nothing."""
    folder = _bin(cache_dir or cache_dir_default())
    return None if _missing(folder, COMPONENTS) else _binaries(folder)


def print_progress(line: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"reconciler.envtest: {line}\n")
    sys.stderr.flush()


def build(
    *,
    cache_dir: Path | None = None,
    components: Sequence[str] = COMPONENTS,
    progress: Progress = print_progress,
    abandon: threading.Event | None = None,
) -> Binaries:
    """
    Return the programs, after building those of `components` that are not in the cache directory yet.

    It blocks: minutes for a build, nothing else. Where another process builds into the same directory, it waits.

    Args:
        cache_dir: Default `cache_dir_default()`. Made where it is missing.
        components: Names out of `COMPONENTS`; a path of the answer whose program is not among them may not exist.
        progress: Told what is built, and about every 10 s for how long; not called where nothing is to be done.
        abandon: Set from another thread, it ends the build with a `BuildError`.

    Raises:
        GoMissingError: Something is to be built, and Go is missing or too old.
        BuildError: Go failed.
    """
    cache = cache_dir or cache_dir_default()
    folder = _bin(cache)
    if not _missing(folder, components):
        return _binaries(folder)
    go = _find_go()
    folder.mkdir(parents=True, exist_ok=True)
    abandon = abandon or threading.Event()
    with _one_at_a_time(cache, progress, abandon):
        for left_behind in cache.glob(f"{_WORK_PREFIX}*"):  # by a machine that was switched off
            shutil.rmtree(left_behind, ignore_errors=True)
        if missing := _missing(folder, components):
            _build_missing(missing, go=go, cache=cache, progress=progress, abandon=abandon)
    return _binaries(folder)


def _bin(cache: Path) -> Path:
    return cache / "bin" / KUBERNETES_VERSION


def _binaries(folder: Path) -> Binaries:
    return Binaries(folder / "etcd", folder / "kube-apiserver", KUBERNETES_VERSION)


def _missing(folder: Path, components: Sequence[str]) -> list[str]:
    return [name for name in components if not os.access(folder / name, os.X_OK)]


def _go_environment() -> dict[str, str]:
    ours = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false", "GOWORK": "off"}
    # GOOS and GOARCH may be set for somebody's cross build; these programs run here.
    inherited = {name: value for name, value in os.environ.items() if name not in {"GOOS", "GOARCH"}}
    return inherited | ours


def _find_go() -> str:
    """Return the path of a Go that can build our modules."""
    wanted = ".".join(str(number) for number in GO_VERSION_MIN)
    advice = (
        f"kube-apiserver {KUBERNETES_VERSION} and etcd are built once, with Go {wanted} or newer: "
        "install it from https://go.dev/dl/ and put its `go` on PATH, or let RECONCILER_ENVTEST_DIR name a directory "
        f"that has bin/{KUBERNETES_VERSION}/etcd and bin/{KUBERNETES_VERSION}/kube-apiserver already"
    )
    go = shutil.which("go")
    if go is None:
        raise GoMissingError(f"Go is not on PATH. {advice}")
    version, complaint = _ask_go_version(go)
    numbers = re.match(r"(?:devel )?go(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < GO_VERSION_MIN:
        said = version or complaint or "it names no version"
        raise GoMissingError(f"{go} is too old or does not work ({said}). {advice}")
    return go


def _ask_go_version(go: str) -> tuple[str, str]:
    """Return what Go calls itself in the module's folder, where it may switch to a newer toolchain, and its errors."""
    try:
        answer = subprocess.run(
            [go, "env", "GOVERSION"],
            cwd=_GOMOD,
            env=_go_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_GO_ANSWER_SECONDS_MAX,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    return answer.stdout.strip(), answer.stderr.strip()


@contextmanager
def _one_at_a_time(cache: Path, progress: Progress, abandon: threading.Event) -> Generator[None]:
    """Hold the lock of a cache directory; it is freed when this process ends, however it ends."""
    with (cache / ".lock").open("ab") as lock:
        waiting = _Waiting(progress, abandon)
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waiting.step(lambda seconds: f"another process builds into {cache}; waiting for it, {seconds:.0f} s")
        yield


def _build_missing(names: Sequence[str], *, go: str, cache: Path, progress: Progress, abandon: threading.Event) -> None:
    usual = sum(_RECIPES[name].seconds_usual for name in names)
    progress(
        f"building {' and '.join(names)} for Kubernetes {KUBERNETES_VERSION}, once, into {cache}: "
        f"usually {_minutes(usual)} on two cores"
    )
    total = Stopwatch()
    with Processes(prefix=_WORK_PREFIX, parent=cache) as processes:
        for name in names:
            _build_one(name, go=go, target=_bin(cache) / name, processes=processes, progress=progress, abandon=abandon)
    progress(f"ready after {total.seconds():.0f} s: {_bin(cache)}")


def _build_one(
    name: str, *, go: str, target: Path, processes: Processes, progress: Progress, abandon: threading.Event
) -> None:
    recipe = _RECIPES[name]
    work = processes.directory
    result, log = work / name, work / f"{name}.log"
    scratch = {"GOCACHE": str(work / "gocache"), "GOTMPDIR": str(work)}
    command = [go, "build", "-ldflags", recipe.ldflags, "-o", str(result), recipe.package]
    waiting = _Waiting(progress, abandon)
    processes.spawn(name, command, log=log, cwd=_GOMOD, env=_go_environment() | scratch)
    while (code := processes.exit_code(name)) is None:
        waiting.step(lambda seconds: f"{name}: {seconds:.0f} s (usually {_minutes(recipe.seconds_usual)})")
    if code != 0:
        raise BuildError(f"building {name}: `go build {recipe.package}` ended with {code}{tail(log)}")
    os.replace(result, target)
    progress(f"{name}: built in {waiting.seconds():.0f} s, {target.stat().st_size / 2**20:.0f} MiB")


def _minutes(seconds: int) -> str:
    return f"about {seconds // 60} min" if seconds >= 60 else f"about {seconds} s"


class _Waiting:
    """Waits in small steps, and says so about every 10 s."""

    def __init__(self, progress: Progress, abandon: threading.Event) -> None:
        self._progress = progress
        self._abandon = abandon
        self._watch = Stopwatch()
        self._next_report_seconds = REPORT_SECONDS

    def seconds(self) -> float:
        return self._watch.seconds()

    def step(self, report: Callable[[float], str]) -> None:
        if self._abandon.wait(_POLL_SECONDS):
            raise BuildError("the build was abandoned")
        if (seconds := self.seconds()) >= self._next_report_seconds:
            self._next_report_seconds += REPORT_SECONDS
            self._progress(report(seconds))
