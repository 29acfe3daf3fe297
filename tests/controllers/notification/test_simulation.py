from __future__ import annotations

import pytest

from reconciler.controllers.notification import custom_resource_definition
from reconciler.testing import run_virtual
from tests.controllers.notification.simulation import check, simulate


@pytest.mark.parametrize("seed", range(50))
def test_whatever_goes_wrong_the_record_is_true_and_no_attempt_is_hurried_lost_or_repeated(seed: int) -> None:
    assert check(run_virtual(simulate(seed))) == []


@pytest.mark.parametrize("seed", range(10))
def test_without_status_delivery_only_the_promises_about_a_killed_send_are_weaker(seed: int) -> None:
    definition = custom_resource_definition()
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["status"]["properties"]["delivery"]
    broken = check(run_virtual(simulate(seed, definition=definition)))
    # An announcement cannot be stored: what a killed controller had sent may be sent again at once, under its number.
    assert [said for said in broken if not said.startswith(("S4", "S5")) and "sent twice" not in said] == []
