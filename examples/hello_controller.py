"""Greets every `Greeting` object by writing into its status."""

import asyncio
from datetime import timedelta
from typing import ClassVar

from reconciler import (
    AiohttpTransport,
    ApiModel,
    KubeObject,
    Manager,
    NotFoundError,
    Request,
    ResourceType,
    Result,
    controller_managed_by,
    load_config,
)


class GreetingSpec(ApiModel):
    name: str = "world"


class GreetingStatus(ApiModel):
    text: str = ""


class Greeting(KubeObject):
    resource: ClassVar[ResourceType] = ResourceType("example.com", "v1", "Greeting", "greetings")
    spec: GreetingSpec = GreetingSpec()
    status: GreetingStatus = GreetingStatus()


def add_to(manager: Manager) -> None:
    async def reconcile(request: Request) -> Result | None:
        try:
            greeting = await manager.cached_reader.get(Greeting, request.key)
        except NotFoundError:
            return None
        text = f"Hello, {greeting.spec.name}!"
        if greeting.status.text != text:
            greeting.status.text = text
            await manager.client.status.update(greeting)
        return Result(requeue_after=timedelta(minutes=10))

    controller_managed_by(manager).for_(Greeting).complete(reconcile)


async def main() -> None:
    config = await load_config()
    manager = Manager(AiohttpTransport(config), namespace=config.namespace or "default")
    add_to(manager)
    await manager.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main())
