from __future__ import annotations

from typing import Any

import pytest

from reconciler.apiserver.failure import StatusError
from reconciler.apiserver.patch import json_patch, merge_patch, strategic_patch


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        # The examples of RFC 7386, appendix A.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_does_what_its_rfc_shows(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


def test_no_patch_touches_what_it_was_given() -> None:
    target = {"a": {"b": [1]}, "metadata": {"finalizers": ["x"]}}
    merge_patch(target, {"a": {"b": [2], "c": 1}})
    strategic_patch(target, {"a": {"c": 1}, "metadata": {"finalizers": ["y"]}})
    json_patch(target, [{"op": "add", "path": "/a/b/-", "value": 2}, {"op": "remove", "path": "/a/b/0"}])
    assert target == {"a": {"b": [1]}, "metadata": {"finalizers": ["x"]}}


@pytest.mark.parametrize(
    ("operations", "result"),
    [
        pytest.param([{"op": "add", "path": "/l/1", "value": 9}], {"l": [1, 9, 2], "m": {"k": "v"}}, id="insert"),
        pytest.param([{"op": "add", "path": "/l/-", "value": 9}], {"l": [1, 2, 9], "m": {"k": "v"}}, id="append"),
        pytest.param([{"op": "remove", "path": "/l/0"}], {"l": [2], "m": {"k": "v"}}, id="remove from a list"),
        pytest.param([{"op": "replace", "path": "/m/k", "value": 1}], {"l": [1, 2], "m": {"k": 1}}, id="replace"),
        pytest.param(
            [{"op": "replace", "path": "/n", "value": 1}], {"l": [1, 2], "m": {"k": "v"}, "n": 1},
            id="replace what is not there",
        ),
        pytest.param([{"op": "test", "path": "/n", "value": None}], {"l": [1, 2], "m": {"k": "v"}}, id="test for null"),
        pytest.param(
            [{"op": "copy", "from": "/n", "path": "/c"}], {"l": [1, 2], "m": {"k": "v"}, "c": None},
            id="copy what is not there",
        ),
        pytest.param([{"op": "add", "path": "/m"}], {"l": [1, 2], "m": None}, id="no value"),
        pytest.param([{"op": "move", "from": "/m/k", "path": "/n"}], {"l": [1, 2], "m": {}, "n": "v"}, id="move"),
        pytest.param([{"op": "copy", "from": "/l", "path": "/m"}], {"l": [1, 2], "m": [1, 2]}, id="copy"),
        pytest.param([{"op": "test", "path": "/l/1", "value": 2}], {"l": [1, 2], "m": {"k": "v"}}, id="test"),
        pytest.param([{"op": "replace", "path": "", "value": {"x": 1}}], {"x": 1}, id="the whole document"),
        pytest.param(
            [{"op": "add", "path": "/m/a~1b~0c", "value": 1}], {"l": [1, 2], "m": {"k": "v", "a/b~c": 1}}, id="escapes"
        ),
    ],
)  # fmt: skip
def test_a_json_patch_does_its_operations(operations: Any, result: Any) -> None:
    assert json_patch({"l": [1, 2], "m": {"k": "v"}}, operations) == result


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param({"op": "remove", "path": "/none"}, id="remove what is not there"),
        pytest.param({"op": "replace", "path": "/none/deep", "value": 1}, id="replace in what is not there"),
        pytest.param({"op": "replace", "path": "/l/2", "value": 1}, id="replace an element that is not there"),
        pytest.param({"op": "move", "from": "/none", "path": "/m/in"}, id="move what is not there"),
        pytest.param({"op": "test", "path": "/none/deep", "value": None}, id="a test in what is not there"),
        pytest.param({"op": "test", "path": "/m/k", "value": "other"}, id="a test that fails"),
        pytest.param({"op": "frob", "path": "/m"}, id="an unknown operation"),
        pytest.param({"op": "add", "path": "/l/7", "value": 1}, id="an index beyond the end"),
        pytest.param({"op": "add", "path": "/l/-1", "value": 1}, id="a negative index"),
        pytest.param({"op": "add", "path": "/m/k/deep", "value": 1}, id="a child of a text"),
        pytest.param({"op": "add", "path": "m", "value": 1}, id="a path that is no pointer"),
        pytest.param({"op": "move", "from": "/m", "path": "/m/in"}, id="a move into itself"),
        pytest.param({"op": "test", "path": "/m/k"}, id="a test without a value, of one that is there"),
        pytest.param("remove", id="no operation at all"),
    ],
)
def test_a_json_patch_that_cannot_be_done_is_refused(operation: Any) -> None:
    with pytest.raises(StatusError) as refusal:
        json_patch({"l": [1, 2], "m": {"k": "v"}}, [operation])
    assert (refusal.value.code, refusal.value.status["reason"]) == (422, "Invalid")


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        pytest.param({"m": {"a": 1, "b": 2}}, {"m": {"a": None, "c": 3}}, {"m": {"b": 2, "c": 3}}, id="maps merge"),
        pytest.param({"l": [1, 2]}, {"l": [3]}, {"l": [3]}, id="lists are replaced"),
        pytest.param(
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"finalizers": ["b", "c"]}},
            {"metadata": {"finalizers": ["a", "b", "c"]}},
            id="finalizers are a set",
        ),
        pytest.param(
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "$setElementOrder/finalizers": ["b"]}},
            {"metadata": {"finalizers": ["b"]}},
            id="finalizers are taken away by directive",
        ),
        pytest.param({"m": {"a": 1}}, {"m": {"$patch": "replace", "b": 2}}, {"m": {"b": 2}}, id="replace by directive"),
        pytest.param({"m": {"a": 1}}, {"m": {"$patch": "delete"}}, {"m": {}}, id="delete by directive"),
    ],
)
def test_a_strategic_patch_merges_within_its_limits(target: Any, patch: Any, result: Any) -> None:
    assert strategic_patch(target, patch) == result
