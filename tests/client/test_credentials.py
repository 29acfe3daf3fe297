"""Who asks for credentials, who waits for them, and what becomes of both when one gives up; in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from kubernetes_asyncio.client import Configuration

from reconciler.client import ClientConfig
from reconciler.errors import ConfigurationError
from reconciler.testing import run_virtual

from .scripted import after_refusal

Work = Callable[["Provider", ClientConfig], Awaitable[Any]]


class Provider:
    """Gives a new token after so many seconds each time; remembers why it was asked, and whether it was stopped."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.error: Exception | None = None
        self.asked: list[bool] = []
        self.stopped = 0
        self.configuration = Configuration(host="http://127.0.0.1:1", api_key={"BearerToken": "Bearer 0"})

    async def refresh(self, is_refused: bool) -> None:
        self.asked.append(is_refused)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        if self.error is not None:
            raise self.error
        self.configuration.api_key["BearerToken"] = f"Bearer {len(self.asked)}"


def _run(work: Work, *, seconds: float = 2.0) -> tuple[Provider, Any]:
    provider = Provider(seconds)

    async def main() -> Any:
        config = ClientConfig(provider.configuration, namespace=None, source="here", refresh=provider.refresh)
        assert await config.authorization() == "Bearer 0"
        return await work(provider, config)

    return provider, run_virtual(main())


def test_one_who_gives_up_takes_nothing_from_the_others_who_wait() -> None:
    async def work(provider: Provider, config: ClientConfig) -> list[str | None]:
        # Given one that asked after a refusal, and others that wait with it,
        impatient = asyncio.create_task(config.authorization_instead_of("Bearer 0", b""))
        patient = [asyncio.create_task(config.authorization_instead_of("Bearer 0", b"")) for _ in range(3)]
        await asyncio.sleep(1)
        # when the first one is cancelled, then the others get what it asked for.
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        return await asyncio.gather(*patient)

    provider, found = _run(work)
    assert (found, provider.asked, provider.stopped) == (["Bearer 1"] * 3, [True], 0)


def test_a_late_refusal_of_old_credentials_leaves_the_new_ones() -> None:
    async def work(provider: Provider, config: ClientConfig) -> list[str | None]:
        first = await config.authorization_instead_of("Bearer 0", b"")
        # The refusal of the old ones came later; that of the new ones asks again.
        return [first, *[await config.authorization_instead_of(shown, b"") for shown in ("Bearer 0", "Bearer 1")]]

    provider, found = _run(work)
    assert (found, provider.asked) == (["Bearer 1", "Bearer 1", "Bearer 2"], [True, True])


def test_new_certificates_are_new_credentials_too() -> None:
    async def work(provider: Provider, config: ClientConfig) -> str | None:
        return await config.authorization_instead_of("Bearer 0", b"an older version")

    provider, found = _run(work)
    assert (found, provider.asked) == ("Bearer 0", [])


def test_nobody_but_the_first_waits_for_a_slow_provider_unless_refused() -> None:
    async def work(provider: Provider, config: ClientConfig) -> list[str | None]:
        await asyncio.sleep(60)
        # Given a renewal that is due, and the request that gave up waiting for it,
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await config.authorization()
        # when others ask, then they try the old ones at once,
        async with asyncio.timeout(0.001):
            found = [await config.authorization()]
        # one that is refused waits, first for this renewal, and not for another one where it brought news,
        found.append(await config.authorization_instead_of("Bearer 0", b""))
        # and the new ones are there for all.
        return [*found, await config.authorization()]

    provider, found = _run(work)
    assert (found, provider.asked) == (["Bearer 0", "Bearer 1", "Bearer 1"], [False])


def test_a_refusal_asks_again_where_the_renewal_under_way_brought_nothing_new() -> None:
    async def work(provider: Provider, config: ClientConfig) -> list[str | None]:
        provider.error = ConfigurationError("no")
        await asyncio.sleep(60)
        due = asyncio.create_task(config.authorization())
        await asyncio.sleep(1)
        refused = [asyncio.create_task(config.authorization_instead_of("Bearer 0", b"")) for _ in range(3)]
        return await asyncio.gather(due, *refused)

    # One that took the credentials for good ones was under way; then one more, for all who were refused.
    provider, found = _run(work)
    assert (found, provider.asked) == (["Bearer 0"] * 4, [False, True])


def test_closing_ends_a_renewal_and_the_wait_for_it() -> None:
    async def work(provider: Provider, config: ClientConfig) -> list[str | None]:
        waiting = [asyncio.create_task(config.authorization_instead_of("Bearer 0", b"")) for _ in range(2)]
        await asyncio.sleep(1)
        await config.aclose()
        assert provider.stopped == 1
        async with asyncio.timeout(0.001):
            found = await asyncio.gather(*waiting)
        # It can be asked again.
        return [*found, await after_refusal(config)]

    provider, found = _run(work)
    assert (found, provider.asked) == (["Bearer 0", "Bearer 0", "Bearer 2"], [True, True])


def test_closing_starts_no_other_renewal_for_one_who_was_refused() -> None:
    async def work(provider: Provider, config: ClientConfig) -> list[str | None]:
        await asyncio.sleep(60)
        due = asyncio.create_task(config.authorization())
        refused = asyncio.create_task(config.authorization_instead_of("Bearer 0", b""))
        await asyncio.sleep(1)
        await config.aclose()
        return await asyncio.gather(due, refused)

    provider, found = _run(work)
    assert (found, provider.asked, provider.stopped) == (["Bearer 0"] * 2, [False], 1)


def test_an_error_of_the_provider_is_logged_once_for_all_who_wait(caplog: pytest.LogCaptureFixture) -> None:
    async def work(provider: Provider, config: ClientConfig) -> list[str | None]:
        provider.error = RuntimeError("hunter2")
        return await asyncio.gather(*(config.authorization_instead_of("Bearer 0", b"") for _ in range(3)))

    assert _run(work)[1] == ["Bearer 0"] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "credentials could not be renewed (RuntimeError); the old ones stay"
    ]


@pytest.mark.parametrize("error", [ConfigurationError("no"), RuntimeError("hunter2")], ids=["ours", "any other"])
def test_what_a_provider_left_half_done_is_not_used(error: Exception) -> None:
    class Fickle(Provider):
        async def refresh(self, is_refused: bool) -> None:
            await super().refresh(is_refused)
            self.configuration.api_key["BearerToken"] = "Bearer half"
            raise error

    async def main() -> str | None:
        config = ClientConfig(provider.configuration, namespace=None, source="here", refresh=provider.refresh)
        return await after_refusal(config)

    provider = Fickle(0)
    assert run_virtual(main()) == "Bearer 0"
