from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.api import (
    AlreadyOwnedError,
    KubeObject,
    ObjectMeta,
    OwnerError,
    OwnerReference,
    ResourceType,
    add_finalizer,
    contains_finalizer,
    controller_of,
    has_owner_reference,
    is_controlled_by,
    remove_finalizer,
    remove_owner_reference,
    set_controller_reference,
    set_owner_reference,
)


class Widget(KubeObject):
    resource = ResourceType("example.com", "v1", "Widget", "widgets")


class Realm(KubeObject):
    resource = ResourceType("example.com", "v1", "Realm", "realms", is_namespaced=False)


Make = Callable[..., Any]


def typed(name: str = "a", namespace: str = "default", uid: str = "", **more: Any) -> KubeObject:
    kind = Widget if namespace else Realm
    return kind(metadata=ObjectMeta(name=name, namespace=namespace, uid=uid, **more))


def untyped(name: str = "a", namespace: str = "default", uid: str = "") -> dict[str, Any]:
    return typed(name, namespace, uid).to_wire()


@pytest.fixture(params=[typed, untyped], ids=["typed", "untyped"])
def make(request: pytest.FixtureRequest) -> Make:
    found: Make = request.param
    return found


def wire_of(obj: Any) -> dict[str, Any]:
    found: dict[str, Any] = obj.to_wire() if isinstance(obj, KubeObject) else obj
    return found


def owners_of(obj: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = wire_of(obj)["metadata"].get("ownerReferences", [])
    return found


OWNER = typed("owner", uid="u1")


def test_the_controller_reference_says_all_that_the_garbage_collector_needs(make: Make) -> None:
    child = make("child")
    assert set_controller_reference(make("owner", uid="u1"), child)
    assert owners_of(child) == [
        {
            "apiVersion": "example.com/v1",
            "kind": "Widget",
            "name": "owner",
            "uid": "u1",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert is_controlled_by(child, OWNER)


def test_setting_the_same_controller_twice_changes_nothing(make: Make) -> None:
    child = make("child")
    set_controller_reference(OWNER, child)
    before = owners_of(child)
    assert not set_controller_reference(OWNER, child)
    assert owners_of(child) == before


def test_an_object_of_another_controller_is_refused_and_stays_as_it_was(make: Make) -> None:
    child = make("child")
    set_controller_reference(OWNER, child)
    before = owners_of(child)
    with pytest.raises(AlreadyOwnedError, match="Widget default/child is controlled by Widget owner already") as raised:
        set_controller_reference(make("other", uid="u2"), child)
    assert raised.value.owner.uid == "u1"
    assert owners_of(child) == before


def test_a_re_created_owner_replaces_the_reference_to_its_predecessor() -> None:
    child = typed("child")
    set_controller_reference(typed("owner", uid="old"), child)
    assert not is_controlled_by(child, OWNER)
    assert set_controller_reference(OWNER, child)
    assert [owner["uid"] for owner in owners_of(child)] == ["u1"]


def test_an_owner_of_another_version_of_the_group_is_the_same_owner() -> None:
    child = typed("child")
    older = {**untyped("owner", uid="u1"), "apiVersion": "example.com/v1alpha1"}
    set_controller_reference(older, child)
    assert set_controller_reference(OWNER, child)
    assert [owner["apiVersion"] for owner in owners_of(child)] == ["example.com/v1"]


def test_an_owner_of_another_group_is_another_owner() -> None:
    child = typed("child")
    set_owner_reference({**untyped("owner", uid="u9"), "apiVersion": "v1"}, child)
    set_controller_reference(OWNER, child)
    assert [owner["apiVersion"] for owner in owners_of(child)] == ["v1", "example.com/v1"]


def test_an_owner_in_another_namespace_is_refused(make: Make) -> None:
    child = make("child", namespace="elsewhere")
    with pytest.raises(OwnerError, match="Widget default/owner cannot own Widget elsewhere/child"):
        set_controller_reference(OWNER, child)
    with pytest.raises(OwnerError):
        set_owner_reference(OWNER, child)
    assert owners_of(child) == []


def test_an_owner_with_a_namespace_cannot_own_an_object_without_one(make: Make) -> None:
    with pytest.raises(OwnerError, match="Realm child has no namespace"):
        set_controller_reference(OWNER, make("child", namespace=""))


@pytest.mark.parametrize("namespace", ["default", ""])
def test_a_cluster_scoped_owner_may_own_anything(make: Make, namespace: str) -> None:
    child = make("child", namespace=namespace)
    assert set_controller_reference(make("realm", namespace="", uid="u3"), child)
    assert [owner["kind"] for owner in owners_of(child)] == ["Realm"]


def test_an_owner_that_was_never_stored_is_refused(make: Make) -> None:
    with pytest.raises(OwnerError, match="Widget default/owner has no UID"):
        set_controller_reference(make("owner"), typed("child"))


def test_an_untyped_owner_must_say_its_kind() -> None:
    with pytest.raises(OwnerError, match="the owner a has no apiVersion or no kind"):
        set_owner_reference({"metadata": {"name": "a", "namespace": "default", "uid": "u"}}, typed("child"))


def test_an_owner_that_is_no_controller_stands_beside_the_controller(make: Make) -> None:
    child = make("child")
    set_controller_reference(OWNER, child)
    assert set_owner_reference(make("other", uid="u2"), child, block_owner_deletion=False)
    assert owners_of(child)[1] == {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "name": "other",
        "uid": "u2",
        "blockOwnerDeletion": False,
    }
    assert controller_of(child) == OwnerReference.model_validate(owners_of(child)[0])


def test_an_owner_reference_to_the_controller_makes_it_a_plain_owner() -> None:
    # As in Go: the reference is overwritten.
    child = typed("child")
    set_controller_reference(OWNER, child)
    assert set_owner_reference(OWNER, child)
    assert controller_of(child) is None
    assert len(owners_of(child)) == 1


def test_the_controller_that_is_returned_is_a_copy(make: Make) -> None:
    child = make("child")
    set_controller_reference(OWNER, child)
    found = controller_of(child)
    assert found is not None
    found.name = "changed"
    assert owners_of(child)[0]["name"] == "owner"


def test_a_reference_is_taken_out_whatever_its_uid(make: Make) -> None:
    child = make("child")
    set_controller_reference(OWNER, child)
    set_owner_reference(typed("other", uid="u2"), child)
    successor = make("owner", uid="u7")
    assert has_owner_reference(successor, child)
    assert remove_owner_reference(successor, child)
    assert [owner["name"] for owner in owners_of(child)] == ["other"]
    assert not has_owner_reference(successor, child)
    assert not remove_owner_reference(successor, child)
    assert remove_owner_reference(typed("other"), child)
    assert "ownerReferences" not in wire_of(child)["metadata"]


def test_unknown_fields_of_the_other_references_survive() -> None:
    child = untyped("child")
    foreign = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u5", "since": "always"}
    child["metadata"]["ownerReferences"] = [foreign]
    set_controller_reference(OWNER, child)
    assert owners_of(child)[0] == foreign


def test_a_finalizer_is_added_once_and_last(make: Make) -> None:
    obj = make()
    assert not contains_finalizer(obj, "example.com/one")
    assert add_finalizer(obj, "example.com/one")
    assert add_finalizer(obj, "example.com/two")
    assert not add_finalizer(obj, "example.com/one")
    assert wire_of(obj)["metadata"]["finalizers"] == ["example.com/one", "example.com/two"]
    assert contains_finalizer(obj, "example.com/one")


def test_a_finalizer_is_removed_every_time_that_it_stands_there(make: Make) -> None:
    obj = make()
    if isinstance(obj, KubeObject):
        obj.metadata.finalizers = ["a", "b", "a"]
    else:
        obj["metadata"]["finalizers"] = ["a", "b", "a"]
    assert remove_finalizer(obj, "a")
    assert wire_of(obj)["metadata"]["finalizers"] == ["b"]
    assert not remove_finalizer(obj, "a")
    assert remove_finalizer(obj, "b")
    assert "finalizers" not in wire_of(obj)["metadata"]


def test_a_dictionary_without_metadata_gets_one() -> None:
    obj: dict[str, Any] = {"metadata": None}
    assert not remove_finalizer(obj, "a")
    assert add_finalizer(obj, "a")
    assert obj == {"metadata": {"finalizers": ["a"]}}
