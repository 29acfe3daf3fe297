from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.controllers.notification.config import (
    RULES,
    ConfigFileError,
    NotificationConfig,
    load_notification_config,
)
from reconciler.errors import ConfigurationError


def load(tmp_path: Path, text: str) -> NotificationConfig:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return load_notification_config(path)


def refusal(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigFileError) as caught:
        load(tmp_path, text)
    return str(caught.value).replace(f"{tmp_path}/", "").splitlines()


def test_without_a_file_the_defaults_are_those_of_the_original() -> None:
    config = NotificationConfig()
    assert (config.health_probe_addr, config.file_output_dir, config.file_format) == (":8081", "", "json")
    assert (config.logging_level, config.logging_format, config.file_strict) == ("INFO", "json", False)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "controller:\ndelivery: {file: }\n"])
def test_a_file_that_says_nothing_gives_the_defaults(tmp_path: Path, text: str) -> None:
    config = load(tmp_path, text)
    assert config == NotificationConfig(file=str(tmp_path / "config.yaml"))


def test_every_honoured_key_is_read(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
controller: {healthProbeAddr: "127.0.0.1:0"}
delivery:
  console: {enabled: true}
  file: {outputDir: /var/notes, format: yaml, strict: yes}
logging: {level: DEBUG, format: console}
""",
    )
    assert config == NotificationConfig(
        health_probe_addr="127.0.0.1:0",
        file_output_dir="/var/notes",
        file_format="yaml",
        file_strict=True,
        logging_level="DEBUG",
        logging_format="console",
        file=str(tmp_path / "config.yaml"),
    )


def test_an_empty_value_means_the_default_as_in_the_original(tmp_path: Path) -> None:
    config = load(tmp_path, 'controller: {healthProbeAddr: ""}\nlogging: {level: "", format: ~}\n')
    assert config == NotificationConfig(file=str(tmp_path / "config.yaml"))


# One line for each refusal: what stands in the file, and what the error says.
REFUSED = [
    pytest.param(
        'controller:\n  metricsAddr: ":9090"\n',
        'config.yaml:2: controller.metricsAddr: this version serves no metrics: remove the key, or set it to "0"',
        id="metrics",
    ),
    pytest.param(
        "controller:\n  healthProbeAddr: :8081\n  leaderElection: true\n",
        "config.yaml:3: controller.leaderElection: this version elects no leader: run one replica, and set it to false",
        id="leader election",
    ),
    pytest.param(
        "\n\ndelivery: {log: {enabled: true}}\n",
        "config.yaml:3: delivery.log.enabled: this version has no log channel: set it to false",
        id="log channel",
    ),
    pytest.param(
        "delivery:\n  slack:\n    timeout: 10s\n",
        "config.yaml:3: delivery.slack.timeout: this version has no Slack, PagerDuty or Teams channel: remove the key",
        id="slack",
    ),
    pytest.param(
        "delivery:\n  credentials:\n    dir: /etc/x\n",
        "config.yaml:3: delivery.credentials.dir: this version has no channel that needs credentials: remove the key",
        id="credentials",
    ),
    pytest.param(
        "datastorage:\n  url: http://x\n",
        "config.yaml:2: datastorage.url: this version writes no audit events: remove the key",
        id="audit",
    ),
    pytest.param(
        "datastorage:\n  buffer:\n    batchSize: 1\n",
        "config.yaml:3: datastorage.buffer.batchSize: this version writes no audit events: remove the key",
        id="audit buffer",
    ),
    pytest.param(
        "tlsProfile: Modern\n", "config.yaml:1: tlsProfile: this version serves no TLS: remove the key", id="TLS"
    ),
    pytest.param(
        "delivery:\n  file:\n    format: xml\n",
        "config.yaml:3: delivery.file.format: must be one of json, yaml; is 'xml'",
        id="an unknown format",
    ),
    pytest.param(
        "logging:\n  level: info\n",
        "config.yaml:2: logging.level: must be one of DEBUG, INFO, WARN, ERROR; is 'info'",
        id="a level in small letters",
    ),
    pytest.param(
        "controller:\n  healthProbeAddr: 8081\n",
        "config.yaml:2: controller.healthProbeAddr: must be HOST:PORT, where HOST may be empty; is '8081'",
        id="an address without a colon",
    ),
    pytest.param(
        "controller:\n  healthProbeAddr: :99999\n",
        "config.yaml:2: controller.healthProbeAddr: must be HOST:PORT, where HOST may be empty; is ':99999'",
        id="a port that does not exist",
    ),
    pytest.param(
        "delivery:\n  file:\n    strict: maybe\n",
        "config.yaml:3: delivery.file.strict: must be true or false, is 'maybe'",
        id="a bool that is none",
    ),
    pytest.param(
        "delivery:\n  file:\n    outputDir: [a]\n",
        "config.yaml:3: delivery.file.outputDir: must be text",
        id="a list for a text",
    ),
    pytest.param("delivery:\n  file: on\n", "config.yaml:2: delivery.file: must hold keys and values", id="no section"),
    pytest.param("- a\n", "config.yaml:1: must hold keys and values", id="a list for the whole"),
    pytest.param(
        "logging:\n  level: INFO\n  format: json\n  level: WARN\n",
        "config.yaml:4: logging.level: is there twice, first in line 2",
        id="a key twice",
    ),
    pytest.param(
        "a: &a {b: c}\nlogging:\n  <<: *a\n",
        "config.yaml:3: logging.<<: merge keys are not read here: write the keys out",
        id="a merge key",
    ),
    pytest.param(
        "logging:\n  level: !env X\n", "config.yaml:2: logging.level: the tag !env is not read here", id="tag"
    ),
    pytest.param("? [a]\n: b\n", "config.yaml:1: a key must be text", id="a key that is a list"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED)
def test_a_mistake_is_named_by_file_line_key_and_reason(tmp_path: Path, text: str, said: str) -> None:
    assert refusal(tmp_path, text) == [said]


def test_all_mistakes_are_told_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    said = refusal(tmp_path, "tlsProfile: Old\nlogging:\n  level: LOUD\ncontroller:\n  metricsAddr: :9090\n")
    assert [line.split(": ")[0] for line in said] == ["config.yaml:1", "config.yaml:3", "config.yaml:5"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"a: [1,\nb: {", "config.yaml:2: is not YAML: ", id="broken brackets"),
        pytest.param(b"a: b\n\tc: d\n", "config.yaml:2: is not YAML: ", id="a tab"),
        pytest.param(b"a: 1\n---\nb: 2\n", "config.yaml:2: is not YAML: ", id="two documents"),
        pytest.param(b"a: \xff\n", "config.yaml: is not UTF-8: ", id="another encoding"),
        pytest.param(b"a: \x01\n", "config.yaml: is not YAML: ", id="a control character"),
        pytest.param(b"a: *b\n", "config.yaml:1: is not YAML: ", id="an unknown alias"),
        pytest.param(b"a: &b [*b]\n", "config.yaml: is nested too deeply", id="a list within itself"),
        pytest.param(b"a: " + b"[" * 5000, "config.yaml: is nested too deeply", id="five thousand brackets"),
    ],
)
def test_a_file_that_is_no_yaml_is_refused_with_the_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load_notification_config(path)
    assert str(caught.value).startswith(f"{tmp_path}/{said}")


def test_a_file_that_is_not_there_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match="no-such-file: cannot be read: No such file or directory"):
        load_notification_config(tmp_path / "no-such-file")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("controller: {leaderElection: false, leaderElectionId: notification.kubernaut.ai}", id="election"),
        pytest.param('controller: {metricsAddr: "0"}', id="metrics switched off"),
        pytest.param("delivery: {log: {enabled: false, format: json}}", id="log channel off"),
        pytest.param('tlsProfile: ""', id="no TLS profile"),
        pytest.param("datastorage: {url: ~, buffer: }", id="audit without values"),
    ],
)
def test_a_key_that_asks_for_nothing_this_version_lacks_is_accepted_in_silence(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text).warnings == ()


def test_keys_without_effect_are_warned_about_with_their_place(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
delivery:
  console: {enabled: false}
  file:
    timeout: 5s
    colour: red
telemetry: {endpoint: x, more: {a: b}}
""",
    )
    assert [str(warning).replace(f"{tmp_path}/", "") for warning in config.warnings] == [
        "config.yaml:3: delivery.console.enabled: the console channel cannot be switched off",
        "config.yaml:5: delivery.file.timeout: has no effect, as in the original",
        "config.yaml:6: delivery.file.colour: unknown key, ignored",
        "config.yaml:7: telemetry: unknown key, ignored",
    ]


def test_every_key_of_the_original_has_a_rule() -> None:
    assert set(RULES) - {"delivery.file.strict"} == {
        *(f"controller.{name}" for name in ("metricsAddr", "healthProbeAddr", "leaderElection", "leaderElectionId")),
        *(f"delivery.file.{name}" for name in ("outputDir", "format", "timeout")),
        *(f"delivery.log.{name}" for name in ("enabled", "format")),
        "delivery.console.enabled",
        "delivery.slack.timeout",
        "delivery.credentials.dir",
        *(f"datastorage.{name}" for name in ("url", "healthUrl", "timeout")),
        *(f"datastorage.buffer.{name}" for name in ("bufferSize", "batchSize", "flushInterval", "maxRetries")),
        "logging.level",
        "logging.format",
        "tlsProfile",
    }
