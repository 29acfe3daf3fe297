"""
Own writes that end an object or take it out of the cache's selection, on the embedded server and on a real one.

The watch brings one event and waits then, so that each state in between can be looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ObjectKey, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.cache import Cache, CachedReader
from reconciler.client import AiohttpTransport, Client, RestClient, Transport, load_config
from reconciler.clock import LoopWallClock
from reconciler.envtest import RealServer
from reconciler.errors import AlreadyExistsError, ApiError, CacheNotSyncedError, NotFoundError
from reconciler.testing import InProcessTransport, run_virtual
from tests.definitions import definition

from .faults import FaultyTransport

# A group of its own: the real server is shared with other tests.
COGS = ResourceType("ends.reconciler.test", "v1", "Cog", "cogs")
# The same objects in another version.
OLD_COGS = ResourceType(COGS.group, "v1beta1", COGS.kind, COGS.plural)
CRD = definition(COGS, spec={"size": {"type": "integer"}}, status={"seen": {"type": "integer"}})
(VERSION,) = CRD["spec"]["versions"]
VERSION["subresources"]["scale"] = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.seen"}
CRD["spec"]["versions"] = [VERSION, {**VERSION, "name": OLD_COGS.version, "storage": False}]
FINALIZER = "reconciler.test/hold"
LAG_SECONDS = 0.3


class Setting:
    """
    A client that a reader follows, another one, and a cache whose watch can be held up.

    Attributes:
        own: The client that the reader follows.
        other: Somebody else's.
    """

    def __init__(self, transport: Transport, namespace: str) -> None:
        self.namespace = namespace
        self.own, self.other = Client(RestClient(transport)), Client(RestClient(transport))
        self._watch = FaultyTransport(transport)

    @asynccontextmanager
    async def reader(self, **options: Any) -> AsyncGenerator[CachedReader, None]:
        cache, stopping = Cache(RestClient(self._watch), namespace=self.namespace), asyncio.Event()
        cache.options(COGS, **options)
        reader = CachedReader(cache, client=self.own)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(cache.run(stopping))
            await asyncio.sleep(0)
            await reader.list(COGS)
            # One event, and no more before `go_on`.
            cache.informer(COGS).add_handler(lambda event: self._watch.may_pass.clear())
            self._watch.may_pass.clear()
            yield reader
            self._watch.may_pass.set()
            stopping.set()

    def key(self, name: str) -> ObjectKey:
        return ObjectKey(self.namespace, name)

    def cog(self, name: str, **metadata: Any) -> dict[str, Any]:
        return {"metadata": {"name": name, "namespace": self.namespace, **metadata}, "spec": {"size": 1}}

    def go_on(self) -> None:
        self._watch.may_pass.set()

    def go_on_later(self) -> None:
        asyncio.get_running_loop().call_later(LAG_SECONDS, self._watch.may_pass.set)

    async def until_read(self, reader: CachedReader, *names: str, uid: str = "") -> None:
        """Wait until a plain read shows these objects."""
        async with asyncio.timeout(20):
            while True:
                found = await reader.list(COGS)
                is_it = not uid or uid in [each["metadata"]["uid"] for each in found]
                if is_it and {each["metadata"]["name"] for each in found} == set(names):
                    return
                await asyncio.sleep(0.005)

    async def names(self, reader: CachedReader) -> list[str]:
        return [each["metadata"]["name"] for each in await reader.list(COGS, after_own_writes=True)]


Story = Callable[[Setting], Awaitable[None]]


async def the_last_finalizer_goes(setting: Setting) -> None:
    async def by_patch(key: ObjectKey) -> None:
        await setting.own.patch(COGS, key, {"metadata": {"finalizers": None}})

    async def by_update(key: ObjectKey) -> None:
        held = await setting.own.get(COGS, key)
        held["metadata"]["finalizers"] = []
        await setting.own.update(held, resource=COGS)

    for name, deleter, remove in (
        ("a", setting.own, by_patch),
        ("b", setting.other, by_patch),
        ("c", setting.own, by_update),
        ("d", setting.other, by_update),
    ):
        key = setting.key(name)
        await setting.own.create(setting.cog(name, finalizers=[FINALIZER]), resource=COGS)
        await deleter.delete(COGS, key)
        async with setting.reader() as reader:
            # The status does not touch finalizers, so the object stays.
            await setting.own.status.patch(COGS, key, {"metadata": {"finalizers": None}, "status": {"seen": 1}})
            setting.go_on_later()
            assert (await reader.get(COGS, key, after_own_writes=True))["status"]["seen"] == 1
            await remove(key)
            assert (await reader.get(COGS, key))["metadata"]["deletionTimestamp"]
            setting.go_on_later()
            with pytest.raises(NotFoundError):
                await reader.get(COGS, key, after_own_writes=True)
            assert await setting.names(reader) == []


async def what_was_never_seen_is_deleted(setting: Setting) -> None:
    async with setting.reader() as reader:
        await setting.other.create(setting.cog("a"), resource=COGS)
        await setting.own.delete(COGS, setting.key("a"))
        # There is nothing to be seen now, and that is what the server would say.
        assert await setting.names(reader) == []
        # The creation comes late,
        setting.go_on()
        await setting.until_read(reader, "a")
        # and is not believed, since we know better.
        setting.go_on_later()
        with pytest.raises(NotFoundError):
            await reader.get(COGS, setting.key("a"), after_own_writes=True)
        assert await setting.names(reader) == []
        again = await setting.other.create(setting.cog("a"), resource=COGS)
        setting.go_on()
        await setting.until_read(reader, "a", uid=again["metadata"]["uid"])
        assert await setting.names(reader) == ["a"]


async def the_predecessor_of_what_is_deleted_is_gone_too(setting: Setting) -> None:
    key = setting.key("a")
    await setting.other.create(setting.cog("a"), resource=COGS)
    async with setting.reader() as reader:
        await setting.other.delete(COGS, key)
        await setting.own.create(setting.cog("a"), resource=COGS)
        await setting.own.delete(COGS, key)
        # Another uid than the one that we deleted, and older.
        assert (await reader.get(COGS, key))["metadata"]["name"] == "a"
        setting.go_on_later()
        with pytest.raises(NotFoundError):
            await reader.get(COGS, key, after_own_writes=True)


async def a_collection_is_deleted(setting: Setting) -> None:
    async with setting.reader() as reader:
        await setting.other.create(setting.cog("a"), resource=COGS)
        await setting.own.create(setting.cog("b", finalizers=[FINALIZER]), resource=COGS)
        await setting.own.delete_collection(COGS, namespace=setting.namespace)
        setting.go_on()
        await setting.until_read(reader, "a")
        reading = asyncio.create_task(reader.list(COGS, after_own_writes=True))
        while not reading.done():
            await asyncio.sleep(0.01)
            setting.go_on()
        # The one is gone, the other one waits for its finalizer.
        (left,) = await reading
        assert (left["metadata"]["name"], "deletionTimestamp" in left["metadata"]) == ("b", True)
        await setting.own.patch(COGS, setting.key("b"), {"metadata": {"finalizers": None}})
        setting.go_on_later()
        assert await setting.names(reader) == []


async def what_a_collection_held_is_seen_before_its_deletion(setting: Setting) -> None:
    a, b = setting.key("a"), setting.key("b")
    await setting.own.create(setting.cog("a", finalizers=[FINALIZER]), resource=COGS)
    await setting.own.delete(COGS, a)
    async with setting.reader() as reader:
        # It is being deleted already, and so shown; its last write is not.
        await setting.own.patch(COGS, a, {"spec": {"size": 7}})
        await setting.own.delete_collection(COGS, namespace=setting.namespace)
        setting.go_on_later()
        assert (await reader.get(COGS, a, after_own_writes=True))["spec"]["size"] == 7
        # Nothing is shown of this one, and its finalizer keeps it.
        await setting.own.create(setting.cog("b", finalizers=[FINALIZER]), resource=COGS)
        await setting.own.delete_collection(COGS, namespace=setting.namespace)
        reading = asyncio.create_task(setting.names(reader))
        while not reading.done():
            await asyncio.sleep(0.01)
            setting.go_on()
        assert await reading == ["a", "b"]
        for key in (a, b):
            await setting.own.patch(COGS, key, {"metadata": {"finalizers": None}})
        reading = asyncio.create_task(setting.names(reader))
        while not reading.done():
            await asyncio.sleep(0.01)
            setting.go_on()
        assert await reading == []


async def a_write_through_another_version_of_the_kind_is_seen(setting: Setting) -> None:
    key = setting.key("a")
    async with setting.reader() as reader:
        await setting.own.create(setting.cog("a"), resource=OLD_COGS)
        setting.go_on_later()
        assert (await reader.get(COGS, key, after_own_writes=True))["apiVersion"] == COGS.api_version
        await setting.own.delete(OLD_COGS, key)
        setting.go_on_later()
        assert await setting.names(reader) == []


async def what_a_selector_leaves_out_is_not_waited_for(setting: Setting) -> None:
    loop = asyncio.get_running_loop()
    await setting.own.create(setting.cog("a", labels={"app": "web"}), resource=COGS)
    async with setting.reader(label_selector="app=web") as reader:
        began = loop.time()
        await setting.own.create(setting.cog("b", labels={"app": "db"}), resource=COGS)
        await setting.own.patch(COGS, setting.key("b"), {"spec": {"size": 2}})
        assert await setting.names(reader) == ["a"]
        assert loop.time() - began < 5
        # What leaves the selection is waited for, as long as the cache shows it.
        await setting.own.patch(COGS, setting.key("a"), {"metadata": {"labels": {"app": "db"}}})
        assert [each["metadata"]["name"] for each in await reader.list(COGS)] == ["a"]
        setting.go_on_later()
        assert await setting.names(reader) == []
        # And so is what comes into it,
        await setting.own.patch(COGS, setting.key("a"), {"metadata": {"labels": {"app": "web"}}})
        setting.go_on_later()
        assert await setting.names(reader) == ["a"]
        # also where it is out again before its coming was seen.
        await setting.own.patch(COGS, setting.key("b"), {"metadata": {"labels": {"app": "web"}}})
        await setting.own.patch(COGS, setting.key("b"), {"metadata": {"labels": {"app": "db"}}})
        assert await setting.names(reader) == ["a"]
        setting.go_on()
        await setting.until_read(reader, "a", "b")
        setting.go_on_later()
        assert await setting.names(reader) == ["a"]


async def what_a_selector_over_names_leaves_out_is_not_waited_for(setting: Setting) -> None:
    began = asyncio.get_running_loop().time()
    async with setting.reader(field_selector="metadata.name!=z,metadata.namespace!=elsewhere") as reader:
        await setting.own.create(setting.cog("z"), resource=COGS)
        assert await setting.names(reader) == []
        assert asyncio.get_running_loop().time() - began < 5
        await setting.own.create(setting.cog("a"), resource=COGS)
        setting.go_on_later()
        assert await setting.names(reader) == ["a"]


async def what_is_in_another_namespace_is_not_waited_for(setting: Setting) -> None:
    began = asyncio.get_running_loop().time()
    async with setting.reader() as reader:
        await setting.own.create({"metadata": {"name": "a", "namespace": "default"}}, resource=COGS)
        assert await setting.names(reader) == []
        assert asyncio.get_running_loop().time() - began < 5
        with pytest.raises(ValueError, match="not of 'default'"):
            await reader.get(COGS, ObjectKey("default", "a"), after_own_writes=True)
    await setting.own.delete(COGS, ObjectKey("default", "a"))


STORIES: list[Story] = [
    the_last_finalizer_goes,
    what_was_never_seen_is_deleted,
    the_predecessor_of_what_is_deleted_is_gone_too,
    a_collection_is_deleted,
    what_a_collection_held_is_seen_before_its_deletion,
    a_write_through_another_version_of_the_kind_is_seen,
    what_a_selector_leaves_out_is_not_waited_for,
    what_a_selector_over_names_leaves_out_is_not_waited_for,
    what_is_in_another_namespace_is_not_waited_for,
]


async def serve(client: Client, namespace: str) -> None:
    with suppress(AlreadyExistsError):
        await client.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
    async with asyncio.timeout(30):
        while True:
            try:
                await client.list(COGS, namespace=namespace)
            except ApiError:  # served a moment after its creation
                await asyncio.sleep(0.05)
            else:
                return


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_an_own_end_is_seen_on_the_embedded_server(story: Story) -> None:
    async def main() -> None:
        transport = InProcessTransport(ApiServer(wall=LoopWallClock()))
        client = Client(RestClient(transport))
        namespaces = ResourceType("", "v1", "Namespace", "namespaces", is_namespaced=False)
        await client.create({"metadata": {"name": "ours"}}, resource=namespaces)
        await serve(client, "ours")
        await story(Setting(transport, "ours"))

    run_virtual(main())


# The embedded server has no `scale`.
async def a_scale_is_seen_unless_the_selector_leaves_the_object_out(setting: Setting) -> None:
    async def scale(name: str, size: int) -> None:
        await setting.own.subresource("scale").patch(COGS, setting.key(name), {"spec": {"replicas": size}})

    began = asyncio.get_running_loop().time()
    await setting.other.create(setting.cog("in", labels={"app": "web"}), resource=COGS)
    await setting.other.create(setting.cog("out", labels={"app": "db"}), resource=COGS)
    async with setting.reader(label_selector="app=web") as reader:
        await scale("out", 2)
        assert await setting.names(reader) == ["in"]
        await scale("in", 3)
        setting.go_on_later()
        assert (await reader.get(COGS, setting.key("in"), after_own_writes=True))["spec"]["size"] == 3
        # Out of the selection since its creation, which is seen.
        await setting.own.create(setting.cog("moved", labels={"app": "web"}), resource=COGS)
        setting.go_on()
        await setting.until_read(reader, "in", "moved")
        await setting.other.patch(COGS, setting.key("moved"), {"metadata": {"labels": {"app": "db"}}})
        await scale("moved", 2)
        setting.go_on_later()
        assert await setting.names(reader) == ["in"]
        assert asyncio.get_running_loop().time() - began < 9


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "story",
    [*STORIES, a_scale_is_seen_unless_the_selector_leaves_the_object_out],
    ids=lambda story: story.__name__,
)
async def test_an_own_end_is_seen_on_a_real_server(real_server: RealServer, real_namespace: str, story: Story) -> None:
    transport = AiohttpTransport(await load_config(kubeconfig=real_server.kubeconfig))
    try:
        await serve(Client(RestClient(transport)), real_namespace)
        await story(Setting(transport, real_namespace))
    finally:
        await transport.aclose()
        # The broken-off watches' TLS ends a moment later, and the loop must still be there.
        await asyncio.sleep(0.1)


def test_where_a_selector_cannot_be_looked_up_in_the_answer_the_error_says_so() -> None:
    async def main() -> None:
        transport = InProcessTransport(ApiServer(wall=LoopWallClock()))
        client = Client(RestClient(transport))
        await client.create(SELECTABLE, resource=CUSTOM_RESOURCE_DEFINITION)
        await serve(client, "default")
        setting = Setting(transport, "default")
        async with setting.reader(field_selector="spec.size=1") as reader:
            await setting.own.create({**setting.cog("a"), "spec": {"size": 2}}, resource=COGS)
            with pytest.raises(CacheNotSyncedError) as caught:
                await reader.list(COGS, after_own_writes=True)
            assert str(caught.value).endswith(
                "of cogs default/a; whether its selector over spec.size leaves the object out, the answer to a write "
                "does not show"
            )

    run_virtual(main())


SELECTABLE = {
    **CRD,
    "spec": {
        **CRD["spec"],
        "versions": [{**VERSION, "selectableFields": [{"jsonPath": ".spec.size"}]}],
    },
}
