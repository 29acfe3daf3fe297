"""The table of schemas through the whole of either server: recorded from a real one, it must stay true."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .api import DEFINITIONS, Answer, Api

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "schema_cases.json").read_text())["cases"]
PLAIN = [case for case in CASES if "old" not in case and "root" not in case]
BATCH_SIZE = 60
# Tells that the definition is served: a value that is refused.
SENTINEL = {"type": "string", "enum": ["right"]}


def has_rules(case: dict[str, Any]) -> bool:
    return "x-kubernetes-validations" in json.dumps(case["spec"])


def batches() -> Iterator[Any]:
    # Apart, since one rule anywhere in a definition adds a cause to every other object that is refused.
    for name, cases in (
        ("values", [case for case in PLAIN if not has_rules(case)]),
        ("rules", [case for case in PLAIN if has_rules(case)]),
    ):
        for start in range(0, len(cases), BATCH_SIZE):
            yield pytest.param(f"{name}{start}s", cases[start : start + BATCH_SIZE], id=f"{name} from {start}")


def definition(plural: str, properties: dict[str, Any]) -> dict[str, Any]:
    kind = plural.capitalize()
    spec = {"type": "object", "properties": {**properties, "sentinel": SENTINEL}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.table.example.com"},
        "spec": {
            "group": "table.example.com",
            "scope": "Cluster",
            "names": {"kind": kind, "plural": plural, "singular": plural, "listKind": f"{kind}List"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


def in_order(causes: list[dict[str, str]]) -> list[dict[str, str]]:
    # A real server visits fields in any order.
    return sorted(causes, key=lambda cause: json.dumps(cause, sort_keys=True))


class Table:
    """One kind with a field for each case."""

    def __init__(self, api: Api, plural: str) -> None:
        self._api, self._plural = api, plural

    def create(self, spec: dict[str, Any]) -> Answer:
        body = {"apiVersion": "table.example.com/v1", "kind": self._plural.capitalize(), "metadata": {"name": "o"}}
        path = f"/apis/table.example.com/v1/{self._plural}"
        return self._api.request("POST", path, {**body, "spec": spec}, query="fieldValidation=Ignore&dryRun=All")

    def wait_served(self) -> None:
        # A real server takes a moment; the embedded one serves a definition at once.
        pause = threading.Event()
        for _ in range(300):
            if self.create({"sentinel": "wrong"}).status == 422:
                return
            pause.wait(0.1)
        raise AssertionError(f"{self._plural} is not served")


@pytest.mark.parametrize(("plural", "cases"), list(batches()))
def test_both_servers_refuse_the_objects_of_the_table_for_the_same_causes(
    api: Api, plural: str, cases: list[dict[str, Any]]
) -> None:
    table = Table(api, plural)
    fields = {f"c{index}": case["spec"] for index, case in enumerate(cases)}
    made = api.request("POST", DEFINITIONS, definition(plural, fields))
    assert made.status in {201, 409}, made.text  # 409: left by an earlier run on the same server
    table.wait_served()
    for index, case in enumerate(cases):
        answer = table.create({f"c{index}": case["value"]})
        causes = answer.json.get("details", {}).get("causes", []) if answer.status == 422 else []
        text = json.dumps(causes, sort_keys=True).replace(f"spec.c{index}", "spec").replace(f"spec[c{index}]", "spec")
        assert in_order(json.loads(text)) == in_order(case["causes"]), case["name"]
        assert answer.status == (422 if case["causes"] else 201), case["name"]
