"""Writes a greeting into the status of every `Greeting` object."""

import asyncio
from typing import ClassVar

import reconciler


class Words(reconciler.ApiModel):
    name: str = "world"
    text: str = ""


class Greeting(reconciler.KubeObject):
    resource: ClassVar = reconciler.ResourceType("example.com", "v1", "Greeting", "greetings")
    spec: Words = Words()
    status: Words = Words()


def add_to(manager: reconciler.Manager) -> None:
    async def reconcile(request: reconciler.Request) -> reconciler.Result | None:
        try:
            greeting = await manager.cached_reader.get(Greeting, request.key)
        except reconciler.NotFoundError:
            return None
        greeting.status.text = f"Hello, {greeting.spec.name}!"
        await manager.client.status.update(greeting)
        return None

    reconciler.controller_managed_by(manager).for_(Greeting).complete(reconcile)


async def main() -> None:
    config = await reconciler.load_config()
    manager = reconciler.Manager(reconciler.AiohttpTransport(config), namespace=config.namespace or "default")
    add_to(manager)
    await manager.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main())
