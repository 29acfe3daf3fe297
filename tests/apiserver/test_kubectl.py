"""Plain kubectl against `reconciler dev`, two processes on the real clock."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .dev_process import DevProcess, dev_process, write_crd

pytestmark = pytest.mark.usefixtures("require_kubectl")


_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory, require_kubectl: str) -> Iterator[DevProcess]:
    folder = tmp_path_factory.mktemp("dev")
    with dev_process(folder, "--crd", str(write_crd(folder))) as running:
        yield running
        running.end()
        assert "Traceback" not in running.said


@pytest.fixture
def namespace(dev: DevProcess) -> Iterator[str]:
    name = f"ns-{next(_NUMBERS)}"
    ok(dev.kubectl("create", "namespace", name))
    yield name
    ok(dev.kubectl("delete", "namespace", name))


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def manifest(name: str, *, label: str = "", subject: str = "hello", **extra: object) -> str:
    metadata = {"name": name, **({"labels": {"x": label}} if label else {})}
    spec = {"type": "Simple", "subject": subject, **extra}
    return json.dumps({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": metadata, "spec": spec})


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines()]


def test_apply_creates_then_changes_then_leaves_alone(dev: DevProcess, namespace: str) -> None:
    words = ("apply", "-n", namespace, "-f", "-")
    assert ok(dev.kubectl(*words, stdin=manifest("a"))) == "widget.example.com/a created\n"
    assert ok(dev.kubectl(*words, stdin=manifest("a", label="1"))) == "widget.example.com/a configured\n"
    assert ok(dev.kubectl(*words, stdin=manifest("a", label="1"))) == "widget.example.com/a unchanged\n"
    assert ok(dev.kubectl("get", "-n", namespace, "wd", "a", "-o", "jsonpath={.metadata.labels.x}")) == "1"


def test_apply_says_what_the_server_refuses(dev: DevProcess, namespace: str) -> None:
    words = ("apply", "-n", namespace, "-f", "-")
    unknown = dev.kubectl(*words, stdin=manifest("a", subjekt="x"))
    assert unknown.returncode == 1
    assert 'strict decoding error: unknown field "spec.subjekt"' in unknown.stderr
    wrong = dev.kubectl(*words, stdin=manifest("a", priority="Nope"))
    assert 'The Widget "a" is invalid' in wrong.stderr
    assert 'spec.priority: Unsupported value: "Nope": supported values: "High", "Medium"' in wrong.stderr
    ok(dev.kubectl(*words, stdin=manifest("a")))
    changed = dev.kubectl(*words, stdin=manifest("a", subject="other"))
    assert changed.stderr == 'The Widget "a" is invalid: spec: Invalid value: spec is immutable\n'


def test_create_refuses_a_name_that_is_taken(dev: DevProcess, namespace: str) -> None:
    words = ("create", "-n", namespace, "-f", "-")
    assert ok(dev.kubectl(*words, stdin=manifest("a"))) == "widget.example.com/a created\n"
    again = dev.kubectl(*words, stdin=manifest("a"))
    assert 'Error from server (AlreadyExists): error when creating "STDIN"' in again.stderr


def test_get_prints_the_columns_of_the_definition(dev: DevProcess, namespace: str) -> None:
    ok(dev.kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest("a")))
    header, row = rows(ok(dev.kubectl("get", "-n", namespace, "wd")))
    assert header == ["NAME", "TYPE", "PHASE", "AGE"]
    assert row[:2] == ["a", "Simple"]
    wide = rows(ok(dev.kubectl("get", "wd", "-A", "-o", "wide")))
    assert [namespace, "a"] in [line[:2] for line in wide]
    shown = json.loads(ok(dev.kubectl("get", "-n", namespace, "widget", "a", "-o", "json")))
    assert shown["spec"] == {"type": "Simple", "subject": "hello", "priority": "Medium"}
    assert "kind: Widget\n" in ok(dev.kubectl("get", "-n", namespace, "widgets.example.com", "a", "-o", "yaml"))


def test_get_finds_nothing_where_nothing_is(dev: DevProcess, namespace: str) -> None:
    assert dev.kubectl("get", "-n", namespace, "wd").stderr == f"No resources found in {namespace} namespace.\n"
    missing = dev.kubectl("get", "-n", namespace, "wd", "zz")
    assert missing.stderr == 'Error from server (NotFound): widgets.example.com "zz" not found\n'
    unknown = dev.kubectl("get", "-n", namespace, "nope")
    assert unknown.stderr == 'error: the server doesn\'t have a resource type "nope"\n'


def test_get_watches_changes_as_they_come(dev: DevProcess, namespace: str) -> None:
    # Given a watch of one object,
    ok(dev.kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest("a")))
    watching = subprocess.Popen(
        ["kubectl", "get", "-n", namespace, "wd", "a", "-w", "--no-headers"],
        stdout=subprocess.PIPE, text=True, env=dev.environment(),
    )  # fmt: skip
    try:
        assert watching.stdout is not None
        assert watching.stdout.readline().split()[:2] == ["a", "Simple"]
        # when its status changes and it is deleted,
        patch = ("patch", "-n", namespace, "wd", "a", "--subresource=status", "--type=merge")
        ok(dev.kubectl(*patch, "-p", '{"status":{"phase":"Sent"}}'))
        # then a line comes for each.
        assert watching.stdout.readline().split()[:3] == ["a", "Simple", "Sent"]
        ok(dev.kubectl("delete", "-n", namespace, "wd", "a"))
        assert watching.stdout.readline().split()[:3] == ["a", "Simple", "Sent"]
    finally:
        watching.kill()
        watching.wait()
        if watching.stdout is not None:
            watching.stdout.close()


def test_label_annotate_and_describe(dev: DevProcess, namespace: str) -> None:
    ok(dev.kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest("a")))
    ok(dev.kubectl("label", "-n", namespace, "wd", "a", "tier=gold"))
    ok(dev.kubectl("annotate", "-n", namespace, "wd", "a", "note=seen"))
    uid = ok(dev.kubectl("get", "-n", namespace, "wd", "a", "-o", "jsonpath={.metadata.uid}"))
    about = {"apiVersion": "example.com/v1", "kind": "Widget", "name": "a", "namespace": namespace, "uid": uid}
    event = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "a.1", "namespace": namespace},
        "involvedObject": about, "reason": "Delivered", "message": "it went out", "type": "Normal",
        "source": {"component": "tests"},
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1,
    }  # fmt: skip
    ok(dev.kubectl("create", "-f", "-", stdin=json.dumps(event)))
    said = ok(dev.kubectl("describe", "-n", namespace, "wd", "a"))
    assert "tier=gold" in said
    assert "note: seen" in said
    assert ["Normal", "Delivered"] in [line[:2] for line in rows(said)]
    header, row = rows(ok(dev.kubectl("get", "-n", namespace, "events")))
    assert header == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert row[1:] == ["Normal", "Delivered", "widget/a", "it", "went", "out"]


def test_wait_ends_when_the_field_has_the_value(dev: DevProcess, namespace: str) -> None:
    ok(dev.kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest("a")))
    waiting = subprocess.Popen(
        ["kubectl", "wait", "-n", namespace, "wd/a", "--for=jsonpath={.status.phase}=Sent", "--timeout=10s"],
        stdout=subprocess.PIPE, text=True, env=dev.environment(),
    )  # fmt: skip
    patch = ("patch", "-n", namespace, "wd", "a", "--subresource=status", "--type=merge")
    ok(dev.kubectl(*patch, "-p", '{"status":{"phase":"Sent"}}'))
    said, _ = waiting.communicate(timeout=15)
    assert (waiting.returncode, said) == (0, "widget.example.com/a condition met\n")


def test_delete_all_deletes_all(dev: DevProcess, namespace: str) -> None:
    for name in ("a", "b"):
        ok(dev.kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest(name)))
    said = ok(dev.kubectl("delete", "-n", namespace, "wd", "--all"))
    assert said == 'widget.example.com "a" deleted\nwidget.example.com "b" deleted\n'


def test_selectors_select(dev: DevProcess, namespace: str) -> None:
    for name in ("a", "b"):
        ok(dev.kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest(name, label=name)))
    assert ok(dev.kubectl("get", "-n", namespace, "wd", "-l", "x in (b)", "-o", "name")) == "widget.example.com/b\n"
    by_field = ("get", "-n", namespace, "wd", "--field-selector=metadata.name=a", "-o", "name")
    assert ok(dev.kubectl(*by_field)) == "widget.example.com/a\n"


def test_chunks_make_a_whole(dev: DevProcess, namespace: str) -> None:
    for name in ("a", "b", "c"):
        ok(dev.kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest(name)))
    said = ok(dev.kubectl("get", "-n", namespace, "wd", "--chunk-size=1", "-o", "name"))
    assert said.split() == [f"widget.example.com/{name}" for name in ("a", "b", "c")]


def test_the_server_is_discovered_and_explained(dev: DevProcess) -> None:
    found = rows(ok(dev.kubectl("api-resources", "--no-headers")))
    assert ["widgets", "wd", "example.com/v1", "true", "Widget"] in found
    assert ["namespaces", "ns", "v1", "false", "Namespace"] in found
    assert "Server Version: v1." in ok(dev.kubectl("version"))
    assert "priority" in ok(dev.kubectl("explain", "widget.spec"))
    assert "default" in [line[0] for line in rows(ok(dev.kubectl("get", "namespaces")))]
    assert "widgets.example.com" in ok(dev.kubectl("get", "crd"))


def test_server_side_apply_is_refused_honestly(dev: DevProcess, namespace: str) -> None:
    done = dev.kubectl("apply", "-n", namespace, "--server-side", "-f", "-", stdin=manifest("a"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: Server-side apply not available on the server")


def test_a_definition_comes_and_goes(dev: DevProcess, tmp_path: Path) -> None:
    version = {
        "name": "v1", "served": True, "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }  # fmt: skip
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.example.org"},
        "spec": {"group": "example.org", "scope": "Cluster", "versions": [version],
                 "names": {"plural": "gadgets", "kind": "Gadget"}},
    }  # fmt: skip
    path = tmp_path / "crd.json"
    path.write_text(json.dumps(crd))
    ok(dev.kubectl("apply", "-f", str(path)))
    ok(dev.kubectl("wait", "--for=condition=established", "crd/gadgets.example.org", "--timeout=5s"))
    gadget = {"apiVersion": "example.org/v1", "kind": "Gadget", "metadata": {"name": "g"}, "size": 3}
    ok(dev.kubectl("apply", "-f", "-", stdin=json.dumps(gadget)))
    assert ok(dev.kubectl("get", "gadget", "g", "-o", "jsonpath={.size}")) == "3"
    ok(dev.kubectl("delete", "crd", "gadgets.example.org"))
    assert dev.kubectl("get", "gadgets").returncode == 1
