from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest

from reconciler.client import ClientConfig, load_config
from reconciler.errors import ConfigurationError
from reconciler.testing import run_virtual

from .scripted import after_refusal

ONE = """
apiVersion: v1
kind: Config
current-context: one
clusters:
- {name: c1, cluster: {server: "https://one.example:6443/"}}
- {name: c2, cluster: {server: "https://two.example"}}
users:
- {name: u1, user: {token: hunter2}}
- {name: u2, user: {username: me, password: mine}}
contexts:
- {name: one, context: {cluster: c1, user: u1, namespace: work}}
- {name: two, context: {cluster: c2, user: u2}}
"""


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "KUBECONFIG",
        "KUBERNETES_SERVICE_HOST",
        "KUBERNETES_SERVICE_PORT",
        "https_proxy",
        "HTTPS_PROXY",
        "no_proxy",
        "NO_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def _write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def _pod(folder: Path, monkeypatch: pytest.MonkeyPatch, namespace: str | None = "work\n") -> Path:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    _write(folder / "token", "pod-token")
    _write(folder / "ca.crt", "a certificate")
    if namespace is not None:
        _write(folder / "namespace", namespace)
    return folder


def _header(config: ClientConfig) -> str | None:
    return run_virtual(config.authorization())


def test_a_kubeconfig_gives_host_namespace_and_credentials_of_its_current_context(tmp_path: Path) -> None:
    file = _write(tmp_path / "config", ONE)
    config = run_virtual(load_config(file))
    assert (config.host, config.namespace, config.tls_server_name) == ("https://one.example:6443", "work", None)
    assert _header(config) == "Bearer hunter2"
    assert repr(config) == f"<ClientConfig https://one.example:6443 from {file}>"


def test_another_context_may_be_named(tmp_path: Path) -> None:
    config = run_virtual(load_config(_write(tmp_path / "config", ONE), context="two"))
    assert (config.host, config.namespace) == ("https://two.example", None)
    assert _header(config) == "Basic " + base64.b64encode(b"me:mine").decode()


def test_a_user_without_credentials_has_no_header(tmp_path: Path) -> None:
    file = _write(tmp_path / "config", ONE.replace("{token: hunter2}", "{}"))
    assert _header(run_virtual(load_config(file))) is None


def test_the_pods_service_account_is_taken_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pod = _pod(tmp_path / "pod", monkeypatch)
    monkeypatch.setenv("KUBECONFIG", str(_write(tmp_path / "config", ONE)))
    config = run_virtual(load_config(service_account=pod))
    assert (config.host, config.namespace, config.source) == (
        "https://[fd00::1]:443",
        "work",
        "the pod's service account",
    )
    assert _header(config) == "Bearer pod-token"


@pytest.mark.parametrize("explicit", ["file", "context"])
def test_a_named_file_or_context_comes_before_the_pod(
    explicit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = _pod(tmp_path / "pod", monkeypatch)
    file = _write(tmp_path / "config", ONE)
    monkeypatch.setenv("KUBECONFIG", str(file))
    call = (
        load_config(file, service_account=pod)
        if explicit == "file"
        else load_config(context="one", service_account=pod)
    )
    assert run_virtual(call).host == "https://one.example:6443"


def test_a_service_account_without_a_namespace_file_names_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_virtual(load_config(service_account=_pod(tmp_path, monkeypatch, None))).namespace is None


def test_outside_of_pods_kubeconfig_names_the_files_and_the_first_that_has_an_entry_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "clusters: [{name: c1, cluster: {server: 'https://late.example'}}]\nusers: []\ncontexts: []\n"
    files = [tmp_path / "missing", _write(tmp_path / "a", ONE), _write(tmp_path / "b", other)]
    monkeypatch.setenv("KUBECONFIG", ":".join(map(str, files)))
    assert run_virtual(load_config(service_account=tmp_path)).host == "https://one.example:6443"


def test_the_file_in_the_home_directory_comes_last(tmp_path: Path) -> None:
    _write(tmp_path / "home" / ".kube" / "config", ONE)
    assert run_virtual(load_config(service_account=tmp_path)).host == "https://one.example:6443"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(None, "no kubeconfig there; name one", id="is not there"),
        pytest.param("", "a kubeconfig is a mapping, this is NoneType", id="is empty"),
        pytest.param("- a", "a kubeconfig is a mapping, this is list", id="is a list"),
        pytest.param("token: hunter2\nb: [", "config:2: not YAML", id="is not YAML"),
        pytest.param(
            ONE.replace("current-context: one", "current-context: none"), "with name none", id="names no context"
        ),
        pytest.param(ONE.replace("current-context: one\n", ""), "current-context", id="has no current context"),
        pytest.param(ONE.replace("cluster: c1", "cluster: c9"), "with name c9", id="names no cluster"),
        pytest.param(ONE.replace("users:\n", "x:\n"), "not a usable kubeconfig", id="has no users"),
        pytest.param(
            ONE.replace('6443/"', '6443/", certificate-authority: gone.pem'), "gone.pem", id="names a missing file"
        ),
        pytest.param(
            ONE.replace(
                "{token: hunter2}", "{token: hunter2, auth-provider: {name: oidc, config: {id-token: a.e30.c}}}"
            ).replace("e30", "eyJleHAiOjF9"),
            "oidc: No valid id-token",
            id="has an OIDC token that cannot be renewed",
        ),
        pytest.param(
            ONE.replace("{cluster: c1, user: u1", "{user: u1"),
            "Expected key cluster in .*; check",
            id="has a context without a cluster",
        ),
        pytest.param(
            ONE.replace(
                "{token: hunter2}",
                "{auth-provider: {name: oidc, config: {client-id: a, client-secret: hunter2, refresh-token: hunter2}}}",
            ),
            "Expected key idp-issuer-url in .*; check",
            id="has a secret beside what is missing",
        ),
        pytest.param(
            ONE.replace(
                "{token: hunter2}",
                "{auth-provider: {name: oidc, config: {client-id: a, client-secret: hunter2, refresh-token: hunter2, "
                "idp-issuer-url: 'http://127.0.0.1:1', id-token: a.eyJleHAiOjF9.c}}}",
            ),
            "the user's auth-provider: .*refused",
            id="has an OIDC provider that is away",
            marks=pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # kubernetes-asyncio's own
        ),
        pytest.param(
            ONE.replace("{token: hunter2}", "{client-certificate-data: '@hunter2', client-key-data: a}"),
            "an entry that ends in -data is not base64",
            id="has a certificate that is not base64",
        ),
        pytest.param(
            ONE.replace('6443/"', '6443/", certificate-authority-data: "@hunter2"'),
            "an entry that ends in -data is not base64",
            id="has an authority that is not base64",
        ),
        pytest.param(
            ONE.replace('6443/"', '6443/", certificate-authority-data: aHVudGVyMg=='),
            r"the authorities to trust cannot be loaded \(not PEM\)",
            id="has an authority that is no certificate",
        ),
        pytest.param(ONE.replace("https://one.example:6443/", "x:y:z"), "no http or https URL", id="has half a server"),
        pytest.param(ONE.replace("https://one.example:6443/", "https://"), "no http or https URL", id="has no host"),
        pytest.param(
            ONE.replace("https://one.example:6443/", "one.example:6443 hunter2"),
            "the server's address is no http or https URL; give it as https://HOST:PORT",
            id="has a server that is no URL",
        ),
        pytest.param(
            ONE.replace('server: "https://one.example:6443/"', "x: 1"), "the server's address", id="has no server"
        ),
        pytest.param(
            ONE.replace("{token: hunter2}", "{exec: {apiVersion: a, command: 'false'}}"),
            "exec",
            id="has a plugin that fails",
        ),
    ],
)
@pytest.mark.asyncio
async def test_an_error_is_named_where_the_kubeconfig(text: str | None, says: str, tmp_path: Path) -> None:
    file = tmp_path / "config"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigurationError, match=says) as caught:
        await load_config(file)
    assert str(file) in str(caught.value)
    assert "; " in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_folder_in_the_kubeconfigs_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be read: Is a directory"):
        run_virtual(load_config(tmp_path))


def test_a_broken_service_account_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pod = _pod(tmp_path, monkeypatch)
    (pod / "ca.crt").unlink()
    with pytest.raises(ConfigurationError, match=rf"^{tmp_path}: the pod's service account is not usable: .*; check"):
        run_virtual(load_config(service_account=pod))


def test_a_token_file_is_read_again_once_a_minute(tmp_path: Path) -> None:
    token = _write(tmp_path / "token", "first")
    file = _write(tmp_path / "config", ONE.replace("{token: hunter2}", f"{{tokenFile: {token}}}"))

    async def main() -> list[str | None]:
        config = await load_config(file)
        seen = [await config.authorization()]
        token.write_text("second")
        for seconds in (59, 1, 1):
            await asyncio.sleep(seconds)
            seen.append(await config.authorization())
        return seen

    assert run_virtual(main()) == ["Bearer first", "Bearer first", "Bearer second", "Bearer second"]


def test_credentials_that_cannot_be_renewed_stay_and_a_warning_says_so_without_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = _write(tmp_path / "hunter2", "first")
    file = _write(tmp_path / "config", ONE.replace("{token: hunter2}", f"{{tokenFile: {token}}}"))

    async def main() -> list[str | None]:
        config = await load_config(file)
        token.unlink()
        return [await after_refusal(config), await config.authorization()]

    assert run_virtual(main()) == ["Bearer first", "Bearer first"]
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "credentials could not be renewed (FileNotFoundError); the old ones stay"
    ]


def test_a_configuration_can_be_made_by_hand() -> None:
    config = ClientConfig.for_host("http://127.0.0.1:8001/", token="hunter2", namespace="work")
    assert (config.host, config.namespace) == ("http://127.0.0.1:8001", "work")
    assert _header(config) == "Bearer hunter2"
    assert "hunter2" not in repr(config)


def test_configurations_do_not_share_credentials() -> None:
    ClientConfig.for_host("http://a", token="hunter2")
    assert _header(ClientConfig.for_host("http://b")) is None


@pytest.mark.asyncio
async def test_unreadable_certificates_are_named_when_the_first_connection_is_made(tmp_path: Path) -> None:
    config = ClientConfig.for_host("https://127.0.0.1:1", ca_file=_write(tmp_path / "ca", "no certificate"))
    with pytest.raises(ConfigurationError, match="certificates or keys cannot be loaded"):
        config.open_session()


@pytest.mark.parametrize(
    ("no_proxy", "proxy"),
    [("", "http://proxy.example:3128"), ("one.example", None), ("*", None)],
)
def test_the_proxy_of_the_environment_is_used_unless_it_excepts_the_host(
    no_proxy: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert run_virtual(load_config(_write(tmp_path / "config", ONE))).proxy == proxy


@pytest.mark.parametrize(
    ("host", "is_excepted"),
    [
        ("https://10.96.0.1", True),
        ("https://10.97.0.1", False),
        ("https://[fd00::1]", True),
        ("https://127.0.0.1:6443", True),
        ("https://[::1]:6443", True),
        ("https://localhost:6443", True),
        ("https://inside.example", True),
        ("https://outside.example", False),
    ],
)
def test_the_proxys_exceptions_may_be_networks_and_this_machine_always_is_one(
    host: str, is_excepted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example, 10.96.0.0/16,fd00::/8,not/one")
    assert (ClientConfig.for_host(host).proxy is None) is is_excepted


def test_the_kubeconfigs_proxy_comes_before_the_environments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    file = _write(tmp_path / "config", ONE.replace('6443/"', '6443/", proxy-url: "http://mine.example:1"'))
    assert run_virtual(load_config(file)).proxy == "http://mine.example:1"


@pytest.mark.parametrize(
    ("no_proxy", "host", "is_excepted"),
    [
        ("10.0.0.1:6443", "https://10.0.0.1:6443", True),
        ("10.0.0.1:6443", "https://10.0.0.1:6444", False),
        ("10.0.0.1:443", "https://10.0.0.1", True),
        ("[fd00::1]:6443", "https://[fd00::1]:6443", True),
        ("[fd00::1]", "https://[fd00:0::1]:6443", True),
        ("fd00::1", "https://[fd00::1]:6443", True),
        ("api.x.y:6443", "https://api.x.y:6443", True),
        ("api.x.y:6443", "https://api.x.y", False),
        ("*.x.y", "https://api.x.y", True),
        ("*.x.y", "https://x.y", False),
        (".x.y", "https://api.x.y", True),
        (".x.y", "https://x.y", False),
        ("x.y", "https://x.y", True),
        ("x.y", "https://api.X.Y", True),
        ("X.Y", "https://api.x.y", True),
        ("x.y", "https://ax.y", False),
        ("0.0.1", "https://10.0.0.1", False),
        (" , ,:6443", "https://api.x.y:6443", False),
    ],
)
def test_an_exception_from_the_proxy_is_read_as_go_reads_it(
    no_proxy: str, host: str, is_excepted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (ClientConfig.for_host(host).proxy is None) is is_excepted


def test_a_proxy_of_the_environment_without_a_scheme_is_an_http_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "user:hunter2@proxy.example:3128")
    assert ClientConfig.for_host("https://10.1.1.1").proxy == "http://user:hunter2@proxy.example:3128"


NO_URL = "the proxy's address is no http or https URL; give it as http://HOST:PORT"
SOCKS = "SOCKS proxies are not supported; name an HTTP proxy as http://HOST:PORT"


@pytest.mark.parametrize(
    ("proxy", "says"),
    [
        ("socks5://u:hunter2@proxy.example:1080", SOCKS),
        ("ftp://u:hunter2@proxy.example:1", NO_URL),
        ("http://u:hunter2@proxy.example:99999", NO_URL),
        ("http://u:hunter2@", NO_URL),
        ("http://u:hunter2@a b", NO_URL),
        ("u:hunter2@proxy.example:3128", None),
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused_when_it_is_read(
    proxy: str, says: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = _write(tmp_path / "config", ONE.replace('6443/"', f'6443/", proxy-url: "{proxy}"'))
    # The kubeconfig's needs a scheme, as in Go; the environment's does not.
    with pytest.raises(ConfigurationError) as caught:
        run_virtual(load_config(file))
    assert str(caught.value) == f"{file}: proxy-url: {says or NO_URL}"
    if says is not None:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        with pytest.raises(ConfigurationError) as caught:
            ClientConfig.for_host("https://10.1.1.1")
        assert str(caught.value) == f"HTTPS_PROXY: {says}"
        # It is for others alone.
        assert ClientConfig.for_host("https://127.0.0.1:6443").proxy is None


def test_an_address_with_a_password_is_refused_and_not_shown(tmp_path: Path) -> None:
    file = _write(tmp_path / "config", ONE.replace("https://", "https://u:hunter2@"))
    for load in (lambda: ClientConfig.for_host("https://u:hunter2@h:1"), lambda: run_virtual(load_config(file))):
        with pytest.raises(ConfigurationError, match="the server's address has a user or password in it") as caught:
            load()
        assert "hunter2" not in f"{caught.value!r}"


@pytest.mark.parametrize("token", ["hunter2\nX: y", "hunter2\x00", "hun\x7fter2"])
def test_a_token_that_no_header_may_hold_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(ConfigurationError, match="settings in code: the token has a line end or another") as caught:
        ClientConfig.for_host("https://h:1", token=token)
    assert "hun" not in f"{caught.value!r}"
