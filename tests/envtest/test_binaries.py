from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path

import pytest

from reconciler.envtest import KUBERNETES_VERSION, BuildError, GoMissingError, build, built, cache_dir_default
from reconciler.envtest.binaries import COMPONENTS, GO_VERSION_MIN
from tests.envtest.watching import becomes_true, is_running, python

FakeGo = Callable[..., Path]

# Notes each call, says its version, and "builds" by writing its environment and arguments.
FAKE_GO = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
case $1 in
env) %(env)s ;;
build)
  %(build)s
  while [ "$1" != -o ]; do shift; done
  echo "#!/bin/sh\n# $3 GOFLAGS=$GOFLAGS GOOS=$GOOS GOCACHE=$GOCACHE in $PWD" > "$2"
  touch "$GOCACHE.used"
  chmod 755 "$2" ;;
esac
"""


@pytest.fixture
def fake_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGo:
    def install(*, env: str = "echo go1.26.8", build: str = ":") -> Path:
        folder = tmp_path / "path"
        folder.mkdir(exist_ok=True)
        (folder / "go").write_text(FAKE_GO % {"env": env, "build": build})
        (folder / "go").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        return folder

    return install


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def calls(folder: Path, verb: str) -> list[str]:
    return [line for line in (folder / "calls").read_text().splitlines() if line.startswith(verb)]


def put_binaries(cache: Path) -> None:
    folder = cache / "bin" / KUBERNETES_VERSION
    folder.mkdir(parents=True)
    for name in COMPONENTS:
        (folder / name).touch(mode=0o755)


def files(cache: Path) -> set[str]:
    return {str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param({"RECONCILER_ENVTEST_DIR": "/a", "XDG_CACHE_HOME": "/b"}, "/a", id="our own variable wins"),
        pytest.param({"RECONCILER_ENVTEST_DIR": "~/a"}, "~/a", id="a tilde is the home directory"),
        pytest.param({"RECONCILER_ENVTEST_DIR": "", "XDG_CACHE_HOME": "/b"}, "/b/reconciler-envtest", id="XDG"),
        pytest.param({}, "~/.cache/reconciler-envtest", id="else a folder of the home directory"),
    ],
)
def test_the_cache_directory_comes_from_the_environment(environ: dict[str, str], expected: str) -> None:
    assert cache_dir_default(environ) == Path(expected).expanduser()


def test_the_pinned_modules_are_package_data_and_name_the_same_versions_as_the_code() -> None:
    gomod = resources.files("reconciler.envtest") / "gomod"
    text = (gomod / "go.mod").read_text()
    assert f"require k8s.io/kubernetes {KUBERNETES_VERSION}" in text
    assert f"\ngo {GO_VERSION_MIN[0]}.{GO_VERSION_MIN[1]}." in text
    assert f"k8s.io/kubernetes {KUBERNETES_VERSION} h1:" in (gomod / "go.sum").read_text()


def test_what_is_built_is_used_without_go_and_without_a_word(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given both programs in the cache, and no Go,
    assert built(cache_dir=cache) is None
    put_binaries(cache)
    monkeypatch.setenv("PATH", "")
    # when they are asked for, then they are there at once.
    said: list[str] = []
    binaries = build(cache_dir=cache, progress=said.append)
    assert binaries == built(cache_dir=cache)
    assert binaries.kube_apiserver == cache / "bin" / KUBERNETES_VERSION / "kube-apiserver"
    assert said == []


def test_a_missing_go_is_a_configuration_error_that_says_which_and_where(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(GoMissingError, match=r"Go is not on PATH.*Go 1\.26 or newer.*https://go\.dev/dl/"):
        build(cache_dir=cache)
    assert not cache.exists()


@pytest.mark.parametrize(
    ("env", "message"),
    [
        pytest.param("echo go1.25.9", r"too old.*\(go1\.25\.9\).*Go 1\.26 or newer", id="one minor version too old"),
        pytest.param("echo go1.9", r"too old.*\(go1\.9\)", id="numbers are not compared as text"),
        pytest.param("echo", r"it names no version", id="so old that it does not know the question"),
        pytest.param(
            "echo 'go: go.mod requires go >= 1.26.0 (running go 1.24.1; GOTOOLCHAIN=local)' >&2; exit 1",
            r"running go 1\.24\.1; GOTOOLCHAIN=local",
            id="it may not switch to a newer toolchain",
        ),
    ],
)
def test_a_go_that_is_too_old_is_a_configuration_error_in_its_own_words(
    cache: Path, fake_go: FakeGo, env: str, message: str
) -> None:
    folder = fake_go(env=env)
    with pytest.raises(GoMissingError, match=message):
        build(cache_dir=cache)
    assert calls(folder, "build") == []


@pytest.mark.parametrize("version", ["go1.26.0", "go1.27rc1", "go2.0", "devel go1.28-abcdef Thu"])
def test_a_go_that_is_new_enough_builds(cache: Path, fake_go: FakeGo, version: str) -> None:
    fake_go(env=f"echo '{version}'")
    assert build(cache_dir=cache, progress=lambda _: None) == built(cache_dir=cache)


def test_a_build_is_pinned_and_leaves_only_the_programs(
    cache: Path, fake_go: FakeGo, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a Go, and settings of somebody's cross build,
    fake_go()
    monkeypatch.setenv("GOOS", "plan9")
    monkeypatch.setenv("GOFLAGS", "-mod=vendor")
    # when it builds,
    binaries = build(cache_dir=cache, progress=lambda _: None)
    # then with the pinned modules, with a build cache inside the cache directory that is gone now.
    text = binaries.kube_apiserver.read_text()
    assert "k8s.io/kubernetes/cmd/kube-apiserver GOFLAGS=-mod=readonly -trimpath -buildvcs=false GOOS= " in text
    assert f"GOCACHE={cache}/.reconciler-envtest-build-" in text
    assert text.rstrip().endswith("reconciler/envtest/gomod")
    assert files(cache) == {f"bin/{KUBERNETES_VERSION}/etcd", f"bin/{KUBERNETES_VERSION}/kube-apiserver", ".lock"}


def test_only_the_missing_program_that_was_asked_for_is_built(cache: Path, fake_go: FakeGo) -> None:
    folder = fake_go()
    build(cache_dir=cache, components=["etcd"], progress=lambda _: None)
    assert [call.split()[-1] for call in calls(folder, "build")] == ["go.etcd.io/etcd/server/v3"]
    build(cache_dir=cache, progress=lambda _: None)
    assert [call.split()[-1] for call in calls(folder, "build")][1:] == ["k8s.io/kubernetes/cmd/kube-apiserver"]


def test_progress_says_what_is_built_for_how_long_and_how_long_it_takes(
    cache: Path, fake_go: FakeGo, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_go(build="sleep 0.5")
    monkeypatch.setattr("reconciler.envtest.binaries.REPORT_SECONDS", 0.2)
    said: list[str] = []
    build(cache_dir=cache, components=["etcd"], progress=said.append)
    assert re.match(r"building etcd for Kubernetes v1\.\d+\.\d+, once, into \S+cache: usually about 1 min", said[0])
    assert said[1] == "etcd: 0 s (usually about 1 min)"
    assert re.match(r"etcd: built in \d s, 0 MiB", said[-2])
    assert re.match(r"ready after \d s: \S+", said[-1])


def test_progress_goes_to_standard_error_by_default(
    cache: Path, fake_go: FakeGo, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_go()
    build(cache_dir=cache)
    shown = capsys.readouterr()
    assert "reconciler.envtest: building etcd and kube-apiserver" in shown.err
    assert shown.out == ""


def test_a_failed_build_ends_with_what_go_said_and_keeps_what_was_built(cache: Path, fake_go: FakeGo) -> None:
    fake_go(build='case "$*" in *kube-apiserver) echo "no space left on device" >&2; exit 1 ;; esac')
    with pytest.raises(BuildError, match=r"(?s)building kube-apiserver: .* ended with 1\n    no space left on device"):
        build(cache_dir=cache, progress=lambda _: None)
    assert files(cache) == {f"bin/{KUBERNETES_VERSION}/etcd", ".lock"}


def test_builds_at_the_same_time_build_once(cache: Path, fake_go: FakeGo, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a build that takes a while,
    folder = fake_go(build="sleep 0.3")
    monkeypatch.setattr("reconciler.envtest.binaries.REPORT_SECONDS", 0.2)
    said: list[str] = []
    # when three ask for it at once,
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: build(cache_dir=cache, progress=said.append), range(3)))
    # then one builds, and the others wait for it and say so.
    assert len(calls(folder, "build")) == len(COMPONENTS)
    assert set(answers) == {built(cache_dir=cache)}
    assert any("another process builds into" in line for line in said)


def test_an_abandoned_build_stops_go_and_leaves_nothing(cache: Path, fake_go: FakeGo) -> None:
    # Given a build that would take very long,
    folder = fake_go(build='echo $$ > "$(dirname "$0")/pid"; exec sleep 1000')
    abandon = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        building = pool.submit(build, cache_dir=cache, progress=lambda _: None, abandon=abandon)
        assert becomes_true(lambda: bool(read(folder / "pid")), within_seconds=10)
        # when it is abandoned,
        abandon.set()
        # then it fails, and Go is gone.
        with pytest.raises(BuildError, match="abandoned"):
            building.result(timeout=10)
    assert not is_running(int(read(folder / "pid")))
    assert files(cache) == {".lock"}


def test_sigkill_of_the_builder_stops_go_frees_the_lock_and_removes_the_build_cache(
    cache: Path, fake_go: FakeGo
) -> None:
    # Given a process that builds,
    folder = fake_go(build='echo $$ > "$(dirname "$0")/pid"; exec sleep 1000')
    with python(
        f"from pathlib import Path; from reconciler.envtest import build; build(cache_dir=Path({str(cache)!r}))"
    ) as builder:
        assert becomes_true(lambda: bool(read(folder / "pid")), within_seconds=10)
        # when it is killed,
        os.kill(builder.pid, signal.SIGKILL)
        # then Go ends, its build cache goes, and the next build finds the lock free.
        assert becomes_true(lambda: not is_running(int(read(folder / "pid"))), within_seconds=3)
        assert becomes_true(lambda: files(cache) == {".lock"}, within_seconds=3)
    fake_go()
    assert build(cache_dir=cache, progress=lambda _: None) == built(cache_dir=cache)


def test_leftovers_of_a_machine_that_was_switched_off_are_removed_and_nothing_else(
    cache: Path, fake_go: FakeGo
) -> None:
    fake_go()
    for name in (".reconciler-envtest-build-x", "build-mine"):
        (cache / name).mkdir(parents=True)
        (cache / name / "file").touch()
    build(cache_dir=cache, progress=lambda _: None)
    assert {name.split("/")[0] for name in files(cache)} == {"bin", ".lock", "build-mine"}


def read(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def test_a_build_inside_of_a_test_run_shows_its_progress_though_output_is_captured(
    cache: Path, fake_go: FakeGo, tmp_path: Path
) -> None:
    fake_go()
    asking = tmp_path / "test_asking.py"
    asking.write_text("def test_it(real_binaries): assert real_binaries.etcd.exists()\n")
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "--rootdir", root, asking],
        cwd=root,
        env={**os.environ, "RECONCILER_ENVTEST_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "reconciler.envtest: building etcd and kube-apiserver" in done.stdout
