from __future__ import annotations

import pytest

from reconciler.apiserver import ApiServer
from reconciler.client import Client, RestClient
from reconciler.clock import LoopWallClock
from reconciler.controllers.notification import NotificationRequest, custom_resource_definition
from reconciler.errors import ConflictError, NotFoundError
from reconciler.status import StatusManager
from reconciler.testing import InProcessTransport, run_virtual
from tests.controllers.notification.world import CRD, KEY, FaultyTransport


async def made() -> tuple[FaultyTransport, Client, NotificationRequest]:
    transport = FaultyTransport(InProcessTransport(ApiServer(wall=LoopWallClock())))
    client = Client(RestClient(transport))
    await client.create(custom_resource_definition(), resource=CRD)
    return transport, client, await create(client)


async def create(client: Client) -> NotificationRequest:
    spec = {"type": "Simple", "priority": "Low", "subject": "s", "body": "b"}
    metadata = {"name": KEY.name, "namespace": KEY.namespace}
    return await client.create(NotificationRequest.model_validate({"metadata": metadata, "spec": spec}))


def say(text: str) -> object:
    def change(obj: NotificationRequest) -> str:
        before = obj.status.message
        obj.status.message = text
        return before

    return change


def test_a_change_is_written_once_and_one_that_changes_nothing_is_not_sent() -> None:
    async def main() -> None:
        transport, client, obj = await made()
        statuses = StatusManager(client)
        first = await statuses.write(obj, say("a"))  # type: ignore[arg-type]
        again = await statuses.write(obj, say("a"))  # type: ignore[arg-type]
        assert (first.was_needed, again.was_needed, again.answer) == (True, False, "a")
        assert transport.status_writes == 1

    run_virtual(main())


def test_after_a_conflict_the_change_is_made_to_what_is_there_now() -> None:
    async def main() -> None:
        transport, client, obj = await made()

        async def interrupt(request: object, send: object) -> object:
            await client.patch(NotificationRequest, KEY, {"metadata": {"labels": {"x": "y"}}})
            return await send()  # type: ignore[operator]

        transport.faults = [interrupt]  # type: ignore[list-item]
        write = await StatusManager(client).write(obj, say("a"))  # type: ignore[arg-type]
        assert (write.stored.status.message, write.stored.metadata.labels) == ("a", {"x": "y"})
        assert transport.status_writes == 2
        transport.faults = [interrupt_always(client, n) for n in range(5)]  # type: ignore[misc]
        with pytest.raises(ConflictError):
            await StatusManager(client).write(obj, say("b"))  # type: ignore[arg-type]

    run_virtual(main())


def interrupt_always(client: Client, number: int) -> object:
    async def interrupt(request: object, send: object) -> object:
        await client.patch(NotificationRequest, KEY, {"metadata": {"labels": {"n": str(number)}}})
        return await send()  # type: ignore[operator]

    return interrupt


def test_an_object_made_again_under_the_same_name_is_never_touched() -> None:
    async def main() -> None:
        _, client, old = await made()
        await client.delete(NotificationRequest, KEY)
        await create(client)
        with pytest.raises(NotFoundError, match="its UID was"):
            await StatusManager(client).write(old, say("a"))  # type: ignore[arg-type]
        assert (await client.get(NotificationRequest, KEY)).status.message == ""

    run_virtual(main())
