"""
Fixtures and rules for tests that need a real kube-apiserver or kubectl.

A test that uses `real_server`, `real_namespace` or `real_binaries` is marked `real_server`; one that uses
`require_kubectl` is marked `kubectl`. Where the thing is missing such a test is skipped with the reason; with
REQUIRE_ENVTEST=1 in the environment each skip of a test so marked is a failure.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Generator, Iterator

import hypothesis
import pytest

from reconciler.envtest import (
    KUBERNETES_VERSION,
    Binaries,
    GoMissingError,
    RealServer,
    build,
    built,
    cache_dir_default,
    running,
)

# Every run looks at the same examples, so that one that fails does so again. --hypothesis-profile=default: at others.
hypothesis.settings.register_profile("the same each time", derandomize=True, deadline=None)
hypothesis.settings.load_profile("the same each time")

MARKED_BY_FIXTURE = {"real_binaries": "real_server", "require_kubectl": "kubectl"}
SERVER_VERSION = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def real_binaries(pytestconfig: pytest.Config) -> Binaries:
    """etcd and kube-apiserver; built now, with its progress shown, where that has not been done yet."""
    terminal = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    capture = pytestconfig.pluginmanager.get_plugin("capturemanager")

    def show(line: str) -> None:
        if terminal is None or capture is None:
            return
        # Captured, the lines would be kept for a failure's report: a build of minutes would look like a hang.
        with capture.global_and_fixture_disabled():
            terminal.ensure_newline()
            terminal.write_line(f"reconciler.envtest: {line}")
            terminal.flush()

    try:
        return build(progress=show)
    except GoMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def real_server(real_binaries: Binaries, pytestconfig: pytest.Config) -> Iterator[RealServer]:
    """A kube-apiserver for the whole session: take a namespace of your own, and never stop it."""
    with running(binaries=real_binaries) as server:
        pytestconfig.stash[SERVER_VERSION] = server.version
        yield server


@pytest.fixture(scope="session")
def _namespace_numbers() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def real_namespace(real_server: RealServer, _namespace_numbers: Iterator[int]) -> str:
    """The name of a fresh namespace in `real_server`."""
    name = f"test-{next(_namespace_numbers)}"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    status, answer = real_server.request("POST", "/api/v1/namespaces", namespace)
    assert status == 201, answer
    return name


@pytest.fixture(scope="session")
def require_kubectl() -> str:
    """The path of kubectl."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not on PATH")
    return kubectl


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for fixture, marker in MARKED_BY_FIXTURE.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)
        callspec = getattr(item, "callspec", None)
        # A fixture that asks for `real_server` by its parameter has no such fixture name.
        if callspec is not None and any(isinstance(each, str) and each == "real" for each in callspec.params.values()):
            item.add_marker("real_server")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    needed = [name for name in MARKED_BY_FIXTURE.values() if item.get_closest_marker(name)]
    if needed and report.skipped and not hasattr(report, "wasxfail") and os.environ.get("REQUIRE_ENVTEST") == "1":
        report.outcome = "failed"
        report.longrepr = f"REQUIRE_ENVTEST=1 forbids to skip a test marked {', '.join(needed)}: {report.longrepr}"
    return report


def pytest_report_header() -> str:
    where = cache_dir_default() / "bin" / KUBERNETES_VERSION
    return f"kube-apiserver: {KUBERNETES_VERSION}, {'built' if built() else 'not built yet'} ({where})"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    version = config.stash.get(SERVER_VERSION, None)
    if version is None:
        return
    terminalreporter.section("real server")
    terminalreporter.write_line(f"kube-apiserver {version}")
    if kubectl := shutil.which("kubectl"):
        said = subprocess.run([kubectl, "version", "--client"], capture_output=True, text=True, check=False)
        terminalreporter.write_line(f"kubectl: {' '.join(said.stdout.split())}")
