"""Credential plugins as real processes: one that hangs, fails, is not there, or prints something else."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from reconciler.client import AiohttpTransport, Client, RestClient, load_config
from reconciler.client.exec_plugin import ExecPlugin
from reconciler.errors import ConfigurationError, ConnectionFailedError, UnauthorizedError
from reconciler.kinds import Namespace

from .scripted import after_refusal

pytestmark = pytest.mark.asyncio

VERSION = "client.authentication.k8s.io/v1"
GOOD = f'{{"apiVersion": "{VERSION}", "kind": "ExecCredential", "status": {{"token": "hunter2"}}}}'
CONFIG = """
current-context: c
clusters: [{{name: k, cluster: {{server: "http://127.0.0.1:1"}}}}]
users: [{{name: u, user: {{exec: {exec}}}}}]
contexts: [{{name: c, context: {{cluster: k, user: u}}}}]
"""


def _script(folder: Path, body: str) -> Path:
    file = folder / "plugin"
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)
    return file


def _kubeconfig(folder: Path, command: object, more: str = "") -> Path:
    file = folder / "config"
    file.write_text(CONFIG.format(exec=f"{{apiVersion: {VERSION}, command: '{command}'{more}}}"))
    return file


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # a killed child of a killed shell waits to be collected by init


async def _has_ended(pid: int) -> bool:
    for _ in range(200):
        if not _is_running(pid):
            return True
        await asyncio.sleep(0.01)
    return False


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param("echo hunter2 >&2; echo hunter2; exit 3", "ended with exit code 3; run it by hand", id="fails"),
        pytest.param("kill -9 $$", "was ended by signal 9; run it by hand", id="dies"),
        pytest.param("echo hunter2", "printed no ExecCredential: JSON is malformed", id="prints no JSON"),
        pytest.param("", "printed no ExecCredential: Input data was truncated", id="prints nothing"),
        pytest.param("printf '\\377hunter2'", "printed no ExecCredential: ", id="prints no text"),
        pytest.param("echo '[]'", "printed no ExecCredential: Expected `object`", id="prints a list"),
        pytest.param(
            f"echo '{GOOD}' | sed s/hunter2/3/ | tr -d '\"'", "printed no ExecCredential", id="prints nearly JSON"
        ),
        pytest.param(
            f"echo '{GOOD}' | sed s,io/v1,io/v1beta1,", f"printed no ExecCredential of {VERSION}", id="is older"
        ),
        pytest.param(
            f"echo '{GOOD}' | sed s/token/tocken/", "gave neither a token nor a client certificate", id="gives nothing"
        ),
        pytest.param(
            f"echo '{GOOD}' | sed s/token/clientCertificateData/", "certificate without its key", id="gives half a pair"
        ),
        pytest.param("exec yes hunter2", "printed more than 1048576 bytes", id="prints without end"),
    ],
)
async def test_a_plugin_is_named_and_what_it_prints_is_not_where_it(
    body: str, says: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    plugin = _script(tmp_path, body)
    file = _kubeconfig(tmp_path, plugin, ", args: [hunter2], env: [{name: A, value: hunter2}]")
    with pytest.raises(ConfigurationError) as caught:
        await load_config(file)
    text = str(caught.value)
    assert text.startswith(f"{file}: not a usable kubeconfig: the exec plugin '{plugin}' ")
    assert says in text
    assert "hunter2" not in text + caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("section", "says"),
    [
        pytest.param(
            "{command: a}", "the user's exec section: Object missing required field `apiVersion`", id="version"
        ),
        pytest.param(
            "{apiVersion: v1}", "the user's exec section: Object missing required field `command`", id="command"
        ),
        pytest.param("{apiVersion: v1, command: a, args: b}", "Expected `array | null`, got `str`", id="list"),
        pytest.param(
            "{apiVersion: v1, command: a, env: [{name: A, value: 1}]}", "Expected `str`, got `int`", id="text"
        ),
        pytest.param("hunter2", "Expected `object`, got `str`", id="section"),
    ],
)
async def test_an_exec_section_is_refused_that_has_no(section: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(CONFIG.format(exec=section))
    with pytest.raises(ConfigurationError, match="not a usable kubeconfig") as caught:
        await load_config(file)
    assert says in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_a_plugin_that_is_not_there_or_may_not_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the exec plugin 'no-such-plugin' is not there; install it"):
        await load_config(_kubeconfig(tmp_path, "no-such-plugin"))
    plugin = _script(tmp_path, "true")
    plugin.chmod(0o644)
    with pytest.raises(ConfigurationError, match=f"the exec plugin '{plugin}' cannot be run: Permission denied"):
        await load_config(_kubeconfig(tmp_path, plugin))


async def test_a_plugin_that_hangs_is_killed_with_its_children_when_its_time_is_over(tmp_path: Path) -> None:
    plugin = _script(tmp_path, f"echo $$ > {tmp_path}/pids; sleep 600 & echo $! >> {tmp_path}/pids; wait")
    file = _kubeconfig(tmp_path, plugin)
    with pytest.raises(ConfigurationError, match=f"the exec plugin '{plugin}' gave no credentials within 2 s"):
        await load_config(file, credentials_timeout_seconds=2)
    pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    assert [await _has_ended(pid) for pid in pids] == [True, True]


@asynccontextmanager
async def _refusing(accepted: str = "") -> AsyncGenerator[str, None]:
    """A server that lets in one token alone."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        is_in = accepted and f"Bearer {accepted}\r\n".encode() in head
        body = b'{"kind": "NamespaceList", "apiVersion": "v1", "metadata": {}, "items": []}' if is_in else b""
        status = b"200 OK" if is_in else b"401 Unauthorized"
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def _pointed_at(host: str, file: Path) -> Path:
    file.write_text(file.read_text().replace('127.0.0.1:1"', f'{host}"'))
    return file


async def test_a_plugin_that_hangs_later_costs_a_request_its_time_and_is_killed_when_the_transport_is_closed(
    tmp_path: Path,
) -> None:
    # Given a plugin that answers once, and hangs the next time,
    again = f"test -e {tmp_path}/once && {{ echo $$ > {tmp_path}/pid; exec sleep 600; }}"
    plugin = _script(tmp_path, f"{again}\ntouch {tmp_path}/once; echo '{GOOD}'")
    async with _refusing() as host:
        config = await load_config(_pointed_at(host, _kubeconfig(tmp_path, plugin)))
        # when a refused request waits for it,
        async with AiohttpTransport(config) as transport:
            client = Client(RestClient(transport, timeout_seconds=2))
            # then the request ends at its own time-out, and the plugin has its own,
            with pytest.raises(ConnectionFailedError, match=r"^list namespaces: GET 127.*: no answer within 2 s$"):
                await client.list(Namespace)
            assert _is_running(int((tmp_path / "pid").read_text()))
    # unless nobody is there any more to use what it gives.
    assert await _has_ended(int((tmp_path / "pid").read_text()))


async def test_a_plugin_that_is_slower_than_a_request_serves_the_next_one(tmp_path: Path) -> None:
    # Given a plugin whose second answer takes longer than a request may,
    new = GOOD.replace("hunter2", "fresh")
    again = f"test -e {tmp_path}/once && {{ echo run >> {tmp_path}/runs; sleep 0.7; echo '{new}'; exit; }}"
    plugin = _script(tmp_path, f"{again}\ntouch {tmp_path}/once; echo '{GOOD}'")
    async with _refusing("fresh") as host:
        config = await load_config(_pointed_at(host, _kubeconfig(tmp_path, plugin)))
        async with AiohttpTransport(config) as transport:
            with pytest.raises(ConnectionFailedError, match=r"no answer within 0\.3 s$"):
                await Client(RestClient(transport, timeout_seconds=0.3)).list(Namespace)
            # when the next request waits for the same run, then it comes through.
            assert len(await Client(RestClient(transport)).list(Namespace)) == 0
    assert (tmp_path / "runs").read_text() == "run\n"


async def test_a_plugin_that_hangs_is_named_although_no_request_waits_as_long(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    again = f"test -e {tmp_path}/once && exec sleep 600"
    plugin = _script(tmp_path, f"{again}\ntouch {tmp_path}/once; echo '{GOOD}'")
    async with _refusing() as host:
        file = _pointed_at(host, _kubeconfig(tmp_path, plugin))
        async with AiohttpTransport(await load_config(file, credentials_timeout_seconds=2)) as transport:
            with pytest.raises(ConnectionFailedError, match=r"no answer within 0\.2 s$"):
                await Client(RestClient(transport, timeout_seconds=0.2)).list(Namespace)
            with pytest.raises(UnauthorizedError):
                await Client(RestClient(transport)).list(Namespace)
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        f"credentials could not be renewed: the exec plugin '{plugin}' gave no credentials within 2 s; the old ones "
        "stay"
    ]


async def test_what_a_plugin_left_behind_at_its_output_is_killed_when_the_time_is_over(tmp_path: Path) -> None:
    # Given a plugin that ends, and a child of it that may still print,
    plugin = _script(tmp_path, f"sleep 600 & echo $! > {tmp_path}/pid; echo '{GOOD}'")
    # when the time is over, then the child is gone too.
    with pytest.raises(ConfigurationError, match=r"gave no credentials within 0\.5 s"):
        await load_config(_kubeconfig(tmp_path, plugin), credentials_timeout_seconds=0.5)
    assert await _has_ended(int((tmp_path / "pid").read_text()))


async def test_a_plugin_runs_where_this_process_has_closed_its_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stdin", closed)
    config = await load_config(_kubeconfig(tmp_path, _script(tmp_path, f"echo '{GOOD}'")))
    assert await config.authorization() == "Bearer hunter2"


async def test_a_plugin_shows_neither_its_arguments_nor_its_environment() -> None:
    plugin = ExecPlugin("c", VERSION, arguments=("--client-secret=hunter2",), environment={"A": "hunter2"})
    assert "hunter2" not in f"{plugin!r} {plugin}"


async def test_a_token_that_no_header_may_hold_is_refused_and_the_old_one_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a plugin that gives a good token first, and then one with a line end in it,
    bad = GOOD.replace("hunter2", "hunter2" + r"\\nX: hunter2")
    plugin = _script(
        tmp_path, f"test -e {tmp_path}/once && printf '{bad}' && exit; touch {tmp_path}/once; echo '{GOOD}'"
    )
    config = await load_config(_kubeconfig(tmp_path, plugin))
    assert await after_refusal(config) == "Bearer hunter2"
    assert "the token has a line end or another control character in it" in caplog.text
    # Where it is the first one, there is nothing to go on with.
    with pytest.raises(ConfigurationError, match="the token has a line end") as caught:
        await load_config(_kubeconfig(tmp_path, plugin))
    assert "hunter2" not in str(caught.value) + caplog.text


async def test_a_plugin_that_fails_later_is_named_in_the_log_and_its_last_answer_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plugin = _script(tmp_path, f"test -e {tmp_path}/once && exit 7; touch {tmp_path}/once; echo '{GOOD}'")
    config = await load_config(_kubeconfig(tmp_path, plugin))
    assert await after_refusal(config) == "Bearer hunter2"
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        f"credentials could not be renewed: the exec plugin '{plugin}' ended with exit code 7; run it by hand to see "
        "why; the old ones stay"
    ]


async def test_a_plugin_gets_its_arguments_its_environment_and_the_version_and_is_found_beside_the_kubeconfig(
    tmp_path: Path,
) -> None:
    seen = tmp_path / "seen"
    _script(tmp_path, f"echo \"$1 $2 $COLOR $KUBERNETES_EXEC_INFO\" > {seen}; echo '{GOOD}'")
    file = _kubeconfig(tmp_path, "./plugin", ", args: [get, 3], env: [{name: COLOR, value: red}]")
    assert await (await load_config(file)).authorization() == "Bearer hunter2"
    told = f'{{"apiVersion": "{VERSION}", "kind": "ExecCredential", "spec": {{"interactive": false}}}}'
    assert seen.read_text() == f"get 3 red {told}\n"


async def test_an_end_of_a_token_without_a_zone_is_in_utc(tmp_path: Path) -> None:
    ending = GOOD.replace('"hunter2"', '"t", "expirationTimestamp": "2030-01-01T00:00:00"')
    plugin = ExecPlugin(str(_script(tmp_path, f"echo '{ending}'")), VERSION)
    found = (await plugin.run()).expires_at
    assert found is not None
    assert found.isoformat() == "2030-01-01T00:00:00+00:00"
    assert os.environ.get("KUBERNETES_EXEC_INFO") is None
