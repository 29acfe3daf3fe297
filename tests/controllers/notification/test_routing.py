from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.controllers.notification.config import ConfigFileError
from reconciler.controllers.notification.routing import (
    Resolution,
    Route,
    Routing,
    attributes,
    flatten_context,
    load_routing,
)
from reconciler.controllers.notification.types import NotificationContext, NotificationRequest

RECEIVERS = "receivers:\n- name: a\n"


def load(tmp_path: Path, text: str) -> Routing:
    path = tmp_path / "routing.yaml"
    path.write_text(text, encoding="utf-8")
    return load_routing(path)


def refusal(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigFileError) as caught:
        load(tmp_path, text)
    return str(caught.value).replace(f"{tmp_path}/", "").splitlines()


def warnings(tmp_path: Path, text: str) -> list[str]:
    return [str(warning).replace(f"{tmp_path}/", "") for warning in load(tmp_path, text).warnings]


def request(**spec: Any) -> NotificationRequest:
    return NotificationRequest.model_validate({"spec": {"type": "Simple", "subject": "s", "body": "b", **spec}})


# --- attributes ------------------------------------------------------------------------------------------------------


def test_the_attributes_are_the_spec_fields_the_context_and_the_extensions() -> None:
    notification = request(
        severity="critical",
        reviewSource="AIAnalysis",
        context={"target": {"targetResource": "Pod/a"}},
        extensions={"team": "sre"},
    )
    assert attributes(notification) == {
        "type": "Simple",
        "priority": "Medium",
        "severity": "critical",
        "review-source": "AIAnalysis",
        "targetResource": "Pod/a",
        "team": "sre",
    }


def test_of_two_sources_of_an_attribute_the_spec_field_wins_then_the_context() -> None:
    notification = request(
        phase="field",
        context={"analysis": {"outcome": "context"}},
        extensions={"phase": "extension", "outcome": "extension", "severity": "extension"},
    )
    found = attributes(notification)
    assert (found["phase"], found["outcome"], found["severity"]) == ("field", "context", "extension")


def test_every_part_of_the_context_has_the_key_of_the_original() -> None:
    context = NotificationContext.model_validate(
        {
            "lineage": {"remediationRequest": "1", "aiAnalysis": "2"},
            "workflow": {
                "selectedWorkflow": "3",
                "confidence": "4",
                "workflowId": "5",
                "workflowName": "not seen",
                "actionType": "not seen",
                "executionEngine": "6",
            },
            "analysis": {"approvalReason": "7", "rootCause": "8", "outcome": "9"},
            "review": {
                "reason": "10",
                "subReason": "11",
                "humanReviewReason": "12",
                "rootCauseAnalysis": "13",
                "alignmentVerdict": "14",
                "circuitBreakerActivated": True,
            },
            "execution": {
                "retryCount": "15",
                "maxRetries": "16",
                "lastExitCode": "17",
                "previousExecution": "18",
                "timeoutPhase": "19",
                "phaseTimeout": "20",
            },
            "dedup": {"duplicateCount": "21"},
            "target": {"targetResource": "22"},
            "verification": {
                "assessed": True,
                "outcome": "23",
                "reason": "24",
                "summary": "not seen",
                "degraded": True,
                "degradedReason": "25",
            },
        }
    )
    assert flatten_context(context) == {
        "remediationRequest": "1",
        "aiAnalysis": "2",
        "selectedWorkflow": "3",
        "confidence": "4",
        "workflowId": "5",
        "executionEngine": "6",
        "approvalReason": "7",
        "rootCause": "8",
        "outcome": "9",
        "reason": "10",
        "subReason": "11",
        "humanReviewReason": "12",
        "rootCauseAnalysis": "13",
        "alignmentVerdict": "14",
        "circuitBreakerActivated": "true",
        "retryCount": "15",
        "maxRetries": "16",
        "lastExitCode": "17",
        "previousExecution": "18",
        "timeoutPhase": "19",
        "phaseTimeout": "20",
        "duplicateCount": "21",
        "targetResource": "22",
        "verificationAssessed": "true",
        "verificationOutcome": "23",
        "verificationReason": "24",
        "verificationDegraded": "true",
        "verificationDegradedReason": "25",
    }


def test_what_is_empty_in_the_context_is_left_out_but_an_existing_verification_says_false() -> None:
    assert flatten_context(None) == {}
    assert flatten_context(NotificationContext.model_validate({"lineage": {}, "review": {}})) == {}
    verified = NotificationContext.model_validate({"verification": {"assessed": False}})
    assert flatten_context(verified) == {"verificationAssessed": "false", "verificationDegraded": "false"}


# --- choosing --------------------------------------------------------------------------------------------------------

TREE = """
route:
  receiver: root
  routes:
  - match: {type: Escalation}
    receiver: escalation
    routes:
    - match: {severity: critical, team: sre}
      receiver: pager
    - match: {team: silent}
  - match: {owner: ""}
    receiver: ownerless
  - match: {type: Simple}
    receiver: never-before-ownerless
  - match: {port: 0x1F, on: yes}
    receiver: text
  - match: {stop: here}
receivers:
- name: root
- name: escalation
- name: pager
- name: ownerless
- name: never-before-ownerless
- name: text
"""


@pytest.mark.parametrize(
    ("given_attributes", "receiver"),
    [
        pytest.param({"type": "Escalation"}, "escalation", id="a child that fits"),
        pytest.param({"type": "Escalation", "severity": "critical", "team": "sre"}, "pager", id="its child first"),
        pytest.param({"type": "Escalation", "severity": "critical"}, "escalation", id="all pairs must fit"),
        pytest.param({"type": "Escalation", "team": "silent"}, "escalation", id="a nameless grandchild: its parent"),
        pytest.param({"type": "escalation", "owner": "x"}, "root", id="letters count"),
        pytest.param({"type": "Simple"}, "ownerless", id="the first that fits; missing equals empty"),
        pytest.param({"type": "Simple", "owner": "x"}, "never-before-ownerless", id="the next one"),
        pytest.param({"port": "0x1F", "on": "yes", "owner": "x"}, "text", id="values are text as written"),
        pytest.param({"owner": "x"}, "root", id="nothing fits"),
        pytest.param({"stop": "here", "owner": "x"}, "default-console-fallback", id="a child without receiver stops"),
    ],
)
def test_the_first_child_that_fits_decides_depth_first(
    tmp_path: Path, given_attributes: dict[str, str], receiver: str
) -> None:
    resolution = load(tmp_path, TREE).resolve(given_attributes)
    assert resolution.receivers == (receiver,)
    assert resolution.is_fallback is (receiver == "default-console-fallback")


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n...\n"])
def test_an_empty_file_sends_everything_to_the_console(tmp_path: Path, text: str) -> None:
    routing = load(tmp_path, text)
    assert routing.resolve({"type": "Simple"}) == Resolution(("console",), ("console-fallback",))
    assert list(routing.destinations()) == ["console"]


def test_without_a_root_receiver_the_built_in_console_stands_in(tmp_path: Path) -> None:
    routing = load(tmp_path, "route: {}\n" + RECEIVERS)
    assert routing.resolve({}) == Resolution(("console",), ("default-console-fallback",), is_fallback=True)


@pytest.mark.parametrize(
    ("configs", "channels"),
    [
        pytest.param("", ("console",), id="no configs: a receiver cannot be silent"),
        pytest.param("consoleConfigs: []\n  fileConfigs: ~", ("console",), id="empty lists"),
        pytest.param("consoleConfigs: [{}, {enabled: true}]", ("console",), id="two consoles are one"),
        pytest.param("fileConfigs: [{path: /a}]", ("file:r",), id="one path"),
        pytest.param("fileConfigs: [{path: /a}, {path: /b}]", ("file:r:0", "file:r:1"), id="two paths"),
        pytest.param("fileConfigs: [{enabled: true}]", ("file",), id="no path: the service-wide one"),
        pytest.param("fileConfigs: [~, {path: /b}, {path: ''}]", ("file", "file:r:1"), id="a mixture"),
        pytest.param("fileConfigs: [{path: /a}]\n  consoleConfigs: [~]", ("console", "file:r"), id="console first"),
    ],
)
def test_a_receiver_names_channel_keys(tmp_path: Path, configs: str, channels: tuple[str, ...]) -> None:
    routing = load(tmp_path, f"route: {{receiver: r}}\nreceivers:\n- name: r\n  {configs}\n")
    assert routing.resolve({}).channels == channels
    assert set(channels) <= set(routing.destinations())


def test_destinations_say_what_each_channel_needs_and_where_that_is_written(tmp_path: Path) -> None:
    routing = load(tmp_path, "route: {}\nreceivers:\n- name: r\n  fileConfigs:\n  - path: /a\n  - enabled: true\n")
    found = routing.destinations()
    assert (found["console"].kind, found["console"].declared_at) == ("console", "")
    assert (found["file:r:0"].kind, found["file:r:0"].directory) == ("file", "/a")
    assert (found["file"].kind, found["file"].directory) == ("file", "")
    assert found["file"].declared_at == f"{tmp_path}/routing.yaml:6: receivers[0].fileConfigs[1]"


@given(st.data())
def test_a_resolution_never_names_a_channel_that_is_unknown_or_twice(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    # Given any routing file of this version,
    names = st.sampled_from(["a", "b", "c d"])
    words = st.sampled_from(["", "x", "y"])
    pairs = st.dictionaries(st.sampled_from(["k", "l"]), words, max_size=2)
    leaf = st.fixed_dictionaries({}, optional={"receiver": names, "match": pairs})
    routes = st.recursive(
        leaf,
        lambda inner: st.fixed_dictionaries(
            {"routes": st.lists(inner, max_size=3)}, optional={"receiver": names, "match": pairs}
        ),
        max_leaves=6,
    )
    entries = st.lists(st.sampled_from([{}, {"path": "/x"}, {"path": "/y"}, {"path": ""}]), max_size=3)
    receivers = [
        {
            "name": name,
            "fileConfigs": data.draw(entries),
            "consoleConfigs": data.draw(st.lists(st.just({}), max_size=2)),
        }
        for name in ["a", "b", "c d"]
    ]
    path = tmp_path_factory.getbasetemp() / "drawn.yaml"
    path.write_text(yaml.safe_dump({"route": data.draw(routes), "receivers": receivers}), encoding="utf-8")
    routing = load_routing(path)
    # when any attributes are resolved,
    resolution = routing.resolve(data.draw(pairs))
    # then each channel is known, each is there once, and there is one.
    assert resolution.channels
    assert len(set(resolution.channels)) == len(resolution.channels)
    assert set(resolution.channels) <= set(routing.destinations())


def test_a_route_reports_a_receiver_only_if_one_is_named() -> None:
    assert Route("", {}, (Route("", {"a": "b"}),)).choose({"a": "b"}) == ""


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("{}\n", ["routing.yaml:1: receivers: at least one receiver is required",
                              "routing.yaml:1: route: route is required"], id="nothing in it"),
        pytest.param("\nroute:\n" + RECEIVERS, ["routing.yaml:2: route: route is required"], id="no route"),
        pytest.param("route: {}\nreceivers: []\n",
                     ["routing.yaml:2: receivers: at least one receiver is required"], id="no receivers"),
        pytest.param("route: {}\nreceivers:\n- name: a\n-\n",
                     ["routing.yaml:4: receivers[1]: receivers[1] is empty"], id="an empty receiver"),
        pytest.param("route: {}\nreceivers:\n- name: a\n- consoleConfigs: []\n",
                     ["routing.yaml:4: receivers[1].name: receiver name cannot be empty"], id="no name"),
        pytest.param("route: {}\nreceivers:\n- consoleConfigs: []\n  name: ''\n",
                     ["routing.yaml:4: receivers[0].name: receiver name cannot be empty"], id="an empty name"),
        pytest.param("route:\n  routes:\n  - receiver: a\n  -\n" + RECEIVERS,
                     ["routing.yaml:4: route.routes[1]: route has an empty child route"], id="an empty child"),
        pytest.param("route:\n  receiver: b\n" + RECEIVERS,
                     ["routing.yaml:2: route.receiver: receiver 'b' not found in receivers list"], id="unknown root"),
        pytest.param("route:\n  routes:\n  - routes:\n    - {receiver: b}\n" + RECEIVERS,
                     ["routing.yaml:4: route.routes[0].routes[0].receiver: receiver 'b' not found in receivers list"],
                     id="an unknown receiver further down"),
        pytest.param("route:\n  routes:\n  - matchRe: {team: 'sre|ops'}\n" + RECEIVERS,
                     ["routing.yaml:3: route.routes[0].matchRe: this version matches exact values only: use match"],
                     id="matchRe"),
        pytest.param("route:\n  routes:\n  - receiver: a\n    continue: true\n" + RECEIVERS,
                     ["routing.yaml:4: route.routes[0].continue: this version stops at the first route that fits: "
                      "put both channels into one receiver"], id="continue"),
        *(
            pytest.param(f"route: {{}}\nreceivers:\n- name: a\n  {kind}:\n  - {{}}\n",
                         [f"routing.yaml:4: receivers[0].{kind}: "
                          "this version has console and file receivers only: remove it"], id=kind)
            for kind in (
                "slackConfigs", "pagerdutyConfigs", "teamsConfigs", "emailConfigs", "webhookConfigs", "logConfigs"
            )
        ),
        pytest.param("route: [a]\n" + RECEIVERS, ["routing.yaml:1: route: must hold keys and values"], id="a list"),
        pytest.param("route: {match: a}\n" + RECEIVERS,
                     ["routing.yaml:1: route.match: must hold keys and values"], id="match is text"),
        pytest.param("route:\n  routes:\n  - match:\n      team: [a]\n" + RECEIVERS,
                     ["routing.yaml:4: route.routes[0].match.team: must be text"], id="a list to match"),
        pytest.param("route: {routes: {}}\n" + RECEIVERS,
                     ["routing.yaml:1: route.routes: must be a list"], id="routes that are no list"),
        pytest.param("route: {}\nreceivers: {a: b}\n", ["routing.yaml:2: receivers: must be a list"], id="receivers"),
        pytest.param("route: {}\nreceivers: [a]\n",
                     ["routing.yaml:2: receivers[0]: must hold keys and values"], id="a receiver that is text"),
        pytest.param("route: {}\nreceivers:\n- name: a\n  fileConfigs:\n  - path: [x]\n",
                     ["routing.yaml:5: receivers[0].fileConfigs[0].path: must be text"], id="a path that is a list"),
        pytest.param("route: {}\nreceivers:\n- name: a\n  name: b\n",
                     ["routing.yaml:4: receivers[0].name: is there twice, first in line 3"], id="a key twice"),
        pytest.param("route: {}\nreceivers:\n- {name: 'a:0', fileConfigs: [{path: /x}]}\n"
                     "- {name: a, fileConfigs: [{path: /y}, {path: /z}]}\n",
                     ["routing.yaml:4: receivers[1].fileConfigs[0]: gives the channel key file:a:0, which "
                      "routing.yaml:3: receivers[0].fileConfigs[0] gives too"], id="one channel key for two paths"),
        pytest.param("just text\n", ["routing.yaml:1: must hold keys and values"], id="text for the whole"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_file_line_key_and_reason(tmp_path: Path, text: str, said: list[str]) -> None:
    assert refusal(tmp_path, text) == said


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match="cannot be read"):
        load_routing(tmp_path / "none.yaml")


def test_keys_that_ask_for_nothing_are_accepted_in_silence(tmp_path: Path) -> None:
    text = (
        "route: {matchRe: {}, continue: false, routes: ~}\nreceivers:\n- {name: a, slackConfigs: [], logConfigs: ~}\n"
    )
    assert warnings(tmp_path, text) == []


def test_keys_without_effect_are_warned_about_with_their_place(tmp_path: Path) -> None:
    text = """
global: {}
route:
  groupBy: [team]
  groupWait: 30s
  match: {a: b}
receivers:
- name: a
  consoleConfigs:
  - enabled: false
    colour: red
- name: b
  fileConfigs: [{path: /x, mode: 1}]
- name: b
  silent: true
"""
    assert sorted(warnings(tmp_path, text)) == sorted(
        [
            "routing.yaml:2: global: unknown key, ignored",
            "routing.yaml:4: route.groupBy: has no effect, ignored",
            "routing.yaml:5: route.groupWait: unknown key, ignored",
            "routing.yaml:6: route.match: has no effect: the root takes whatever no child takes",
            "routing.yaml:10: receivers[0].consoleConfigs[0].enabled: "
            "has no effect: an entry that is there counts; remove the entry",
            "routing.yaml:11: receivers[0].consoleConfigs[0].colour: unknown key, ignored",
            "routing.yaml:12: receivers[1]: ignored: a later receiver is called 'b' too",
            "routing.yaml:15: receivers[2].silent: unknown key, ignored",
        ]
    )
