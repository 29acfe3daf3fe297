"""Writes a greeting into the status of every `Greeting` object."""

import asyncio
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


class Words(ApiModel):
    name: str = "world"
    text: str = ""


class Greeting(KubeObject):
    resource: ClassVar[ResourceType] = ResourceType("example.com", "v1", "Greeting", "greetings")
    spec: Words = Words()
    status: Words = Words()


def add_to(manager: Manager) -> None:
    async def reconcile(request: Request) -> Result | None:
        try:
            greeting = await manager.cached_reader.get(Greeting, request.key)
        except NotFoundError:
            return None
        greeting.status.text = f"Hello, {greeting.spec.name}!"
        await manager.client.status.update(greeting)
        return None

    controller_managed_by(manager).for_(Greeting).complete(reconcile)


async def main() -> None:
    config = await load_config()
    manager = Manager(AiohttpTransport(config), namespace=config.namespace or "default")
    add_to(manager)
    await manager.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main())
