"""A watch that fell silent, a version that is gone, a token that was rotated, a list that is forbidden."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from reconciler.api import ObjectKey
from reconciler.client import AiohttpTransport, Client, RestClient, load_config
from reconciler.errors import UnauthorizedError
from tests.cache.objects import Widget
from tests.cache.world import World, in_world
from tests.cache.world import refusal as refused

from .proxy import refusal, status
from .stage import Lamp, Stage

ON_QUICK_RETRIES = pytest.mark.usefixtures("quick_retries")

GONE = status(410, "Expired", "too old resource version")


@ON_QUICK_RETRIES
@pytest.mark.asyncio
async def test_a_watch_that_falls_silent_is_opened_again_and_nothing_is_missed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The connection stays open and nothing comes: a load balancer forgot it.

    Elsewhere: nolar/kopf#585, #787, #955; kubernetes_asyncio#360.
    """
    monkeypatch.setattr("reconciler.cache.reflector.IDLE_SECONDS", 1.0)
    await stage.create("a", 1)
    async with stage.follower() as follower:
        await follower.until_sizes({"a": 1})
        await stage.proxy.until(lambda: stage.proxy.open_watches == 1)
        # Given a watch whose connection is open and dead,
        watches = len(stage.proxy.asked("watch"))
        stage.proxy.stall()
        assert stage.proxy.open_watches == 1
        # The next watch gets the real limit: on a busy machine it might be silent for a second, and that means a list.
        monkeypatch.setattr("reconciler.cache.reflector.IDLE_SECONDS", 90.0)
        # when something happens meanwhile,
        await stage.resize(2)
        await stage.create("b", 3)
        # then the cache has it after the idle limit, by another watch from the last version and without a list.
        await follower.until_sizes({"a": 2, "b": 3})
        assert len(stage.proxy.asked("watch")) > watches
        assert len(stage.proxy.asked("list")) == 1
    assert [(event.verb, event.key.name) for event in follower.told] == [
        ("create", "a"),
        ("update", "a"),
        ("create", "b"),
    ]


@ON_QUICK_RETRIES
@pytest.mark.asyncio
@pytest.mark.parametrize("form", ["an ERROR event", "a status"])
async def test_a_version_that_is_gone_costs_one_list_and_loses_nothing(stage: Stage, form: str) -> None:
    """
    410, in both forms that a server has for it.

    Elsewhere: kr8s#476; kube-rs#1042.
    """
    await stage.create("a", 1)
    await stage.create("gone", 1)
    async with stage.follower() as follower:
        await follower.until_sizes({"a": 1, "gone": 1})
        await stage.proxy.until(lambda: stage.proxy.open_watches == 1)
        # A watch that brought nothing would be followed by a list in any case.
        await stage.resize(9)
        await follower.until_sizes({"a": 9, "gone": 1})
        stage.proxy.stall()
        await stage.resize(2)
        await stage.direct.delete(Lamp, stage.key("gone"))
        if form == "a status":
            stage.proxy.answer_next("watch", refusal(410, "Expired", "too old resource version"))
            stage.proxy.cut()
        else:
            stage.proxy.say(msgspec.json.encode({"type": "ERROR", "object": GONE}))
        await follower.until_sizes({"a": 2})
        assert len(stage.proxy.asked("list")) == 2
        # It watches again, from the new list's version.
        await stage.resize(3)
        await follower.until_sizes({"a": 3})
        assert len(stage.proxy.asked("list")) == 2
        assert follower.cache.problem() is None


def test_a_version_that_is_gone_again_and_again_is_asked_for_ever_more_seldom() -> None:
    """
    Every watch is answered with 410, also right after a list: a broken server, or a proxy.

    Elsewhere 351 requests were seen in 2 s: kr8s#476; kube-rs#1042.
    """

    async def story(world: World) -> None:
        world.transport.watches += [refused(410, "Expired", "too old resource version")] * 1000
        world.cache.informer(Widget)
        async with world.running():
            await asyncio.sleep(2)
            assert 2 <= len(world.transport.requests) <= 4
            await asyncio.sleep(598)
            assert len(world.transport.requests) < 60
            assert "says again and again that the version is too old" in (world.cache.problem() or "")
            # It ends as soon as the server is well.
            world.transport.watches.clear()
            await world.write("a", 1)
            await asyncio.sleep(130)
            assert await world.sizes() == {"a": 1}
            assert world.cache.problem() is None

    in_world(story)


@ON_QUICK_RETRIES
@pytest.mark.asyncio
async def test_a_version_that_is_gone_again_and_again_is_said_until_a_watch_brings_something(stage: Stage) -> None:
    """
    The lists in between succeed, so the cache is ever more behind, and nothing fails for good.

    Elsewhere: kr8s#476; kube-rs#1042.
    """
    said = "the API server says again and again that the version is too old"
    await stage.create("a", 1)
    stage.proxy.answer_always("watch", refusal(410, "Expired", "too old resource version"))
    async with stage.follower() as follower:
        await stage.proxy.until(lambda: len(stage.proxy.asked("watch")) >= 3)
        assert said in (follower.cache.problem() or "")
        stage.proxy.answer_always("watch", None)
        await stage.proxy.until(lambda: stage.proxy.open_watches == 1)
        # Until it has lasted for a second it may be one more that ends in vain.
        await asyncio.sleep(1.1)
        assert said in (follower.cache.problem() or "")
        await stage.resize(2)
        await follower.until_sizes({"a": 2})
        assert follower.cache.problem() is None


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("old")
    return file


async def with_token_file(stage: Stage, token: Path) -> AiohttpTransport:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": stage.proxy.url}}],
        "users": [{"name": "u", "user": {"tokenFile": str(token)}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    file = token.with_name("kubeconfig")
    file.write_bytes(msgspec.json.encode(config))  # JSON is YAML
    return AiohttpTransport(await load_config(file))


@ON_QUICK_RETRIES
@pytest.mark.asyncio
async def test_a_token_that_was_rotated_costs_one_refused_request_that_nobody_sees(stage: Stage, token: Path) -> None:
    """
    The old token is refused, and the new one lies in its file already.

    Elsewhere: nolar/kopf#926; kubernetes-client/python#2297.
    """
    stage.proxy.tokens = {"old"}
    await stage.create("a", 1)
    through = await with_token_file(stage, token)
    async with stage.follower(through) as follower:
        await follower.until_sizes({"a": 1})
        await stage.proxy.until(lambda: stage.proxy.open_watches == 1)
        token.write_text("new")  # noqa: ASYNC240  # a few bytes
        stage.proxy.tokens = {"new"}
        await Client(RestClient(through)).patch(Lamp, stage.key(), {"spec": {"size": 2}})
        await follower.until_sizes({"a": 2})
        stage.proxy.cut()
        await stage.resize(3)
        await follower.until_sizes({"a": 3})
    assert [seen.what for seen in stage.proxy.seen if seen.status == 401] == ["write"]
    assert [seen.status for seen in stage.proxy.asked("write")] == [401, 200]


@ON_QUICK_RETRIES
@pytest.mark.asyncio
async def test_a_token_that_comes_late_is_waited_for_said_and_taken_up(stage: Stage, token: Path) -> None:
    """
    The old token is refused for a while before there is a new one: requests fail, and the cache recovers by itself.

    Elsewhere: nolar/kopf#926; kubernetes-client/python#2297.
    """
    stage.proxy.tokens = {"old"}
    await stage.create("a", 1)
    through = await with_token_file(stage, token)
    async with stage.follower(through) as follower:
        await follower.until_sizes({"a": 1})
        await stage.proxy.until(lambda: stage.proxy.open_watches == 1)
        # Given a token that is refused,
        stage.proxy.tokens = {"new"}
        stage.proxy.cut()
        await stage.proxy.until(lambda: len(refusals(stage)) >= 2)
        # when a write is tried, it says so, and the cache says that it may be behind,
        with pytest.raises(UnauthorizedError):
            await Client(RestClient(through)).patch(Lamp, ObjectKey(stage.namespace, "a"), {"spec": {"size": 9}})
        assert "not authenticated" in (follower.cache.problem() or "")
        # then the new token is taken up without anybody's help.
        await stage.resize(2)
        token.write_text("new")  # noqa: ASYNC240  # a few bytes
        await follower.until_sizes({"a": 2})
        await stage.proxy.until(lambda: stage.proxy.open_watches == 1)
        assert len(refusals(stage)) < 20
        assert (await Client(RestClient(through)).get(Lamp, stage.key())).spec.size == 2


def refusals(stage: Stage) -> list[str]:
    return [seen.what for seen in stage.proxy.seen if seen.status == 401]
