"""Credential plugins as real processes: one that hangs, fails, is not there, or prints something else."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from reconciler.client import AiohttpTransport, Client, RestClient, load_config
from reconciler.client.exec_plugin import ExecPlugin
from reconciler.errors import ConfigurationError, ConnectionFailedError
from reconciler.kinds import Namespace

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
    with pytest.raises(ConfigurationError, match=f"the exec plugin '{plugin}' gave no credentials within 0.5 s"):
        await load_config(file, credentials_timeout_seconds=0.5)
    pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    assert [await _has_ended(pid) for pid in pids] == [True, True]


async def test_a_plugin_that_hangs_later_costs_a_request_its_time_and_is_killed_with_it(tmp_path: Path) -> None:
    # Given a plugin that answers once, and hangs the next time,
    again = f"test -e {tmp_path}/once && {{ echo $$ > {tmp_path}/pid; exec sleep 600; }}"
    plugin = _script(tmp_path, f"{again}\ntouch {tmp_path}/once; echo '{GOOD}'")

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        file = _kubeconfig(tmp_path, plugin)
        file.write_text(file.read_text().replace('127.0.0.1:1"', f'127.0.0.1:{port}"'))
        # when a refused request waits for it,
        async with AiohttpTransport(await load_config(file)) as transport:
            client = Client(RestClient(transport, timeout_seconds=0.5))
            # then the request ends at its own time-out, and the plugin with it.
            with pytest.raises(ConnectionFailedError, match=r"^list namespaces: GET 127.*: no answer within 0\.5 s$"):
                await client.list(Namespace)
    assert await _has_ended(int((tmp_path / "pid").read_text()))


async def test_a_plugin_that_fails_later_is_named_in_the_log_and_its_last_answer_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plugin = _script(tmp_path, f"test -e {tmp_path}/once && exit 7; touch {tmp_path}/once; echo '{GOOD}'")
    config = await load_config(_kubeconfig(tmp_path, plugin))
    assert await config.authorization(refresh=True) == "Bearer hunter2"
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
