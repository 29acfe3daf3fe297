"""Every model against the real kube-apiserver; those whose kinds the embedded one serves, against that, too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, get_args

import pytest

from reconciler.api import ApiModel, KubeObject, ObjectKey, ObjectMeta, set_controller_reference
from reconciler.client import JsonObject, OperationResult, create_or_patch, create_or_update, merge_from
from reconciler.envtest import RealServer
from reconciler.errors import ConflictError
from reconciler.kinds import (
    ConfigMap,
    Container,
    CoreV1Event,
    CustomResourceDefinition,
    Deployment,
    EventsV1Event,
    KindCondition,
    Lease,
    LeaseSpec,
    Namespace,
    Pod,
    PodSelector,
    PodSpec,
    ResourceRequirements,
    Secret,
    ServiceAccount,
    Volume,
    label_selector_of,
)
from tests.client import test_servers
from tests.client.test_servers import CRD, Setting

server = test_servers.server
setting = test_servers.setting
asynchronous = pytest.mark.asyncio

POD_SPEC: JsonObject = {
    "serviceAccountName": "runner",
    "automountServiceAccountToken": False,
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["unknown-to-the-model"]}],
    "initContainers": [{"name": "first", "image": "busybox", "command": ["true"]}],
    "volumes": [
        {"name": "config", "configMap": {"name": "config"}},
        {"name": "scratch", "emptyDir": {}},
        {"name": "host", "hostPath": {"path": "/var"}},
    ],
    "containers": [
        {
            "name": "main",
            "image": "nginx",
            "args": ["--port", "80"],
            "ports": [{"containerPort": 80, "name": "http"}],
            "env": [
                {"name": "PLAIN", "value": "1"},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            ],
            "envFrom": [{"configMapRef": {"name": "config"}}],
            "resources": {"requests": {"cpu": "500m", "memory": "64Mi"}, "limits": {"cpu": 1}},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/config", "readOnly": True}],
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
            "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
        }
    ],
}
SCALE: JsonObject = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.ready"}
TEMPLATE: JsonObject = {"metadata": {"labels": {"app": "web"}, "annotations": {"a": "b"}}, "spec": POD_SPEC}

CASES: Mapping[type[KubeObject], JsonObject] = {
    Namespace: {"metadata": {"name": "kinds-NAMESPACE", "labels": {"team": "blue"}}},
    CoreV1Event: {
        "metadata": {"name": "a"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "NAMESPACE", "fieldPath": "spec.containers{main}"},
        "type": "Warning",
        "reason": "Failed",
        "message": "it failed",
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "action": "Try",
        "reportingComponent": "example.com/tester",
        "reportingInstance": "tester-0",
        "series": {"count": 3, "lastObservedTime": "2026-01-01T00:00:05.000000Z"},
    },
    EventsV1Event: {
        "metadata": {"name": "b"},
        "regarding": {"kind": "Pod", "name": "p", "namespace": "NAMESPACE"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "type": "Normal",
        "reason": "Tried",
        "note": "it was tried",
        "action": "Try",
        "reportingController": "example.com/tester",
        "reportingInstance": "tester-0",
        "series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.500000Z"},
    },
    CustomResourceDefinition: {
        "metadata": {"name": "gears.NAMESPACE.example.com"},
        "spec": {
            **CRD["spec"],
            "group": "NAMESPACE.example.com",
            "names": {"kind": "Gear", "plural": "gears", "shortNames": ["gr"], "categories": ["all"]},
            "versions": [
                {
                    **CRD["spec"]["versions"][0],
                    "subresources": {"status": {}, "scale": SCALE},
                    "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
                    "selectableFields": [{"jsonPath": ".spec.color"}],
                    "deprecated": True,
                    "deprecationWarning": "turn no more",
                }
            ],
        },
    },
    ConfigMap: {
        "metadata": {"name": "a"},
        "data": {"text": "a\nb", "empty": ""},
        "binaryData": {"bytes": "/wD+"},
        "immutable": True,
    },
    Secret: {"metadata": {"name": "a"}, "type": "Opaque", "data": {"password": "aHVudGVyMg==", "empty": ""}},
    ServiceAccount: {
        "metadata": {"name": "runner"},
        "automountServiceAccountToken": False,
        "imagePullSecrets": [{"name": "registry"}],
        "secrets": [{"name": "token"}],
    },
    Lease: {
        "metadata": {"name": "leader"},
        "spec": {
            "holderIdentity": "a",
            "leaseDurationSeconds": 15,
            "acquireTime": "2026-01-01T00:00:00.000000Z",
            "renewTime": "2026-01-01T00:00:01.250000Z",
            "leaseTransitions": 1,
        },
    },
    Pod: {"metadata": {"name": "a", "labels": {"app": "web"}}, "spec": POD_SPEC},
    Deployment: {
        "metadata": {"name": "a"},
        "spec": {
            "replicas": 0,
            "selector": {
                "matchLabels": {"app": "web"},
                "matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}],
            },
            "template": TEMPLATE,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}},
            "minReadySeconds": 3,
            "progressDeadlineSeconds": 60,
        },
    },
}  # fmt: skip
EMBEDDED = {Namespace, CoreV1Event, CustomResourceDefinition}
"""What the embedded server has, too."""

STATUSES: Mapping[type[KubeObject], JsonObject] = {
    Pod: {
        "phase": "Running",
        "hostIP": "10.0.0.2",
        "podIP": "10.1.0.2",
        "podIPs": [{"ip": "10.1.0.2"}],
        "startTime": "2026-01-01T00:00:00Z",
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:05Z"}],
        "containerStatuses": [
            {
                "name": "main",
                "ready": True,
                "started": True,
                "restartCount": 1,
                "image": "nginx",
                "imageID": "sha256:1",
                "containerID": "containerd://2",
                "state": {"running": {"startedAt": "2026-01-01T00:00:04Z"}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "signal": 9}},
            }
        ],
    },
    Deployment: {
        "observedGeneration": 1,
        "replicas": 2,
        "updatedReplicas": 2,
        "readyReplicas": 1,
        "availableReplicas": 1,
        "unavailableReplicas": 1,
        "conditions": [
            {
                "type": "Available",
                "status": "True",
                "reason": "MinimumReplicasAvailable",
                "message": "m",
                "lastUpdateTime": "2026-01-01T00:00:00Z",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ],
    },
}


def wanted(kind: type[KubeObject], namespace: str) -> JsonObject:
    text = json.dumps({"apiVersion": kind.resource.api_version, "kind": kind.resource.kind, **CASES[kind]})
    obj: JsonObject = json.loads(text.replace("NAMESPACE", namespace))
    if kind.resource.is_namespaced:
        obj["metadata"]["namespace"] = namespace
    return obj


def without_nulls(value: Any) -> Any:
    """As Go reads it: a null is the same as nothing."""
    if isinstance(value, dict):
        return {name: without_nulls(found) for name, found in value.items() if found is not None}
    return [without_nulls(found) for found in value] if isinstance(value, list) else value


def pairs(kinds: Mapping[type[KubeObject], object]) -> list[Any]:
    places = [(kind, place) for kind in kinds for place in ("real", "embedded") if place == "real" or kind in EMBEDDED]
    return [pytest.param(kind, place, id=f"{kind.__name__}-{place}") for kind, place in places]


@asynchronous
@pytest.mark.parametrize(("kind", "server"), pairs(CASES), indirect=["server"])
async def test_a_round_trip_through_the_model_loses_nothing(setting: Setting, kind: type[KubeObject]) -> None:
    client, resource = setting.client, kind.resource
    created = await client.create(wanted(kind, setting.namespace), resource=resource)
    key = ObjectKey(created["metadata"].get("namespace", ""), created["metadata"]["name"])
    if kind in STATUSES:
        created = await client.status.patch(resource, key, {"status": STATUSES[kind]})
    if kind is CustomResourceDefinition:
        await _established(setting, key)
    typed, plain = await client.get(kind, key), await client.get(resource, key)
    assert typed.to_wire() == without_nulls(plain)
    # The server agrees that nothing changed: a write without a change makes no new version.
    assert (await client.update(typed)).metadata.resource_version == plain["metadata"]["resourceVersion"]


async def _established(setting: Setting, key: ObjectKey) -> None:
    async with setting.client.watch(
        CustomResourceDefinition, field_selector=f"metadata.name={key.name}", idle_seconds=20
    ) as events:
        async for event in events:
            status = event.object.status
            if status and any(
                found.type == "Established" and found.status == "True" for found in status.conditions or ()
            ):
                return


@asynchronous
@pytest.mark.parametrize("server", ["real"], indirect=True)
async def test_a_lease_is_written_with_times_that_the_server_takes(setting: Setting) -> None:
    # A whole second: Go's MicroTime refuses one that is written without its six zeros.
    at = datetime(2026, 1, 1, tzinfo=UTC)
    meta = ObjectMeta(name="leader", namespace=setting.namespace)
    lease = await setting.client.create(Lease(metadata=meta, spec=LeaseSpec(holder_identity="a", acquire_time=at)))
    assert lease.spec.acquire_time == at
    lease.spec.renew_time = at.replace(microsecond=250_000)
    assert (await setting.client.update(lease)).spec.renew_time == at.replace(microsecond=250_000)


@asynchronous
@pytest.mark.parametrize("server", ["real"], indirect=True)
async def test_a_secret_is_written_as_bytes_and_as_text(setting: Setting) -> None:
    meta = ObjectMeta(name="a", namespace=setting.namespace)
    secret = await setting.client.create(Secret(metadata=meta, data={"a": b"\xff\x00"}, string_data={"b": "text"}))
    assert (secret.data, secret.string_data, secret.type) == ({"a": b"\xff\x00", "b": b"text"}, None, "Opaque")


@asynchronous
@pytest.mark.parametrize("server", ["real"], indirect=True)
async def test_a_deployment_is_created_scaled_left_alone_and_owned(setting: Setting) -> None:
    client = setting.client
    owner = await client.create(ConfigMap(metadata=ObjectMeta(name="owner", namespace=setting.namespace)))

    def two(deployment: Deployment) -> None:
        spec, template = deployment.spec, deployment.spec.template
        spec.replicas = 2
        spec.selector = PodSelector(match_labels={"app": "web"})
        template.metadata.labels = {"app": "web"}
        # What the server filled in stays: containers are found by name, not made anew.
        found = next((container for container in template.spec.containers if container.name == "main"), None)
        if found is None:
            template.spec.containers.append(found := Container(name="main"))
        found.image = "nginx"
        set_controller_reference(owner, deployment)

    def three(deployment: Deployment) -> None:
        two(deployment)
        deployment.spec.replicas = 3

    given = Deployment(metadata=ObjectMeta(name="web", namespace=setting.namespace))
    results = [await create_or_update(client, given, step) for step in (two, two, three)]
    results += [await create_or_patch(client, given, step) for step in (three, two)]
    assert [result for result, _ in results] == [
        OperationResult.CREATED,
        OperationResult.NONE,
        OperationResult.UPDATED,
        OperationResult.NONE,
        OperationResult.UPDATED,
    ]
    stored = results[-1].object
    assert (stored.spec.replicas, stored.metadata.generation) == (2, 3)
    assert [found.uid for found in stored.metadata.owner_references or ()] == [owner.metadata.uid]


@asynchronous
@pytest.mark.parametrize("server", ["real"], indirect=True)
@pytest.mark.parametrize("upsert", [create_or_update, create_or_patch])
async def test_what_means_the_same_is_not_written_again_and_what_does_not_is(setting: Setting, upsert: Any) -> None:
    client = setting.client
    given = Deployment(metadata=ObjectMeta(name="web", namespace=setting.namespace))
    labels = {"app": "web"}

    def mutate(deployment: Deployment) -> None:
        spec, pods = deployment.spec, deployment.spec.template.spec
        spec.selector = PodSelector(match_labels=labels, match_expressions=[])
        spec.template.metadata.labels = labels
        spec.template.metadata.annotations = {}
        if not pods.containers:
            pods.containers = [Container(name="main", image="nginx")]
        pods.volumes, pods.node_selector, pods.init_containers = [], {}, []
        pods.containers[0].command = []
        pods.containers[0].resources = ResourceRequirements(requests={"cpu": "1000m", "memory": "1024Mi"}, limits={})

    def other(deployment: Deployment) -> None:
        mutate(deployment)
        deployment.spec.template.spec.containers[0].resources = ResourceRequirements(requests={"cpu": "1001m"})

    def volume(deployment: Deployment) -> None:
        other(deployment)
        deployment.spec.template.spec.volumes = [Volume(name="scratch", empty_dir={})]

    def no_volume(deployment: Deployment) -> None:
        volume(deployment)
        deployment.spec.template.spec.volumes = []

    steps = [mutate, mutate, other, other, volume, no_volume, other]
    results = [await upsert(client, given, step) for step in steps]
    assert [str(result) for result, _ in results] == [
        "created",
        "unchanged",
        "updated",
        "unchanged",
        "updated",
        "updated",
        "unchanged",
    ]
    stored = await client.get(Deployment, given.key)
    assert (stored.spec.template.spec.volumes, stored.metadata.generation) == (None, 4)


@asynchronous
@pytest.mark.parametrize("server", ["real"], indirect=True)
async def test_the_pods_of_a_deployment_are_listed_by_its_selector(setting: Setting) -> None:
    client, meta = setting.client, setting.namespace
    for name, labels in {"a": {"app": "web"}, "b": {"app": "web", "canary": ""}, "c": {"app": "db"}}.items():
        metadata = ObjectMeta(name=name, namespace=meta, labels=labels)
        await client.create(Pod(metadata=metadata, spec=PodSpec(containers=[Container(name="x", image="y")])))
    await client.create(wanted(Deployment, meta), resource=Deployment.resource)
    deployment = await client.get(Deployment, setting.key())

    async def selected(selector: PodSelector | JsonObject | None) -> list[str]:
        pods = await client.list(Pod, namespace=meta, label_selector=label_selector_of(selector))
        return [pod.metadata.name for pod in pods]

    assert await selected(deployment.spec.selector) == ["a", "b"]
    assert await selected({"matchExpressions": [{"key": "canary", "operator": "DoesNotExist"}]}) == ["a", "c"]
    assert await selected(PodSelector()) == ["a", "b", "c"]
    assert await selected(None) == []


@asynchronous
@pytest.mark.parametrize("server", ["real"], indirect=True)
async def test_a_patch_with_the_lock_is_refused_after_a_foreign_write(setting: Setting) -> None:
    client, key = setting.client, setting.key("config")
    old = await client.create(
        ConfigMap(metadata=ObjectMeta(name="config", namespace=setting.namespace), data={"a": "1", "b": "1"})
    )
    new = old.model_copy(deep=True)
    new.data = {"a": "2"}
    await client.patch(ConfigMap, key, {"data": {"c": "foreign"}})
    with pytest.raises(ConflictError):
        await client.patch(ConfigMap, key, merge_from(old, new, optimistic_lock=True))
    assert (await client.patch(ConfigMap, key, merge_from(old, new))).data == {"a": "2", "c": "foreign"}


PREFIXES = {"": "io.k8s.api.core.v1", "apps": "io.k8s.api.apps.v1", "coordination.k8s.io": "io.k8s.api.coordination.v1",
            "events.k8s.io": "io.k8s.api.events.v1",
            "apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"}  # fmt: skip


def test_every_field_of_the_models_is_one_of_the_server(real_server: RealServer) -> None:
    status, document = real_server.request("GET", "/openapi/v2")
    assert status == 200
    definitions = json.loads(document)["definitions"]
    known: dict[type[ApiModel], set[str]] = {}
    todo: list[tuple[type[ApiModel], str]] = [
        (kind, f"{PREFIXES[kind.resource.group]}.{kind.resource.kind}") for kind in CASES
    ]
    done: set[tuple[type[ApiModel], str]] = set()
    while todo:
        model, name = pair = todo.pop()
        if pair in done:
            continue
        done.add(pair)
        properties = definitions[name].get("properties", {})
        known.setdefault(model, set()).update(properties)
        for field in model.model_fields.values():
            schema = properties.get(field.serialization_alias, {})
            target = schema.get("$ref") or schema.get("items", {}).get("$ref")
            todo += [(inner, target.removeprefix("#/definitions/")) for inner in _models(field.annotation) if target]
    wrong = {
        f"{model.__name__}.{name}"
        for model, fields in known.items()
        for name, field in model.model_fields.items()
        if field.serialization_alias not in fields
    }
    assert wrong == set()
    assert KindCondition in known


def _models(annotation: Any) -> list[type[ApiModel]]:
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]
