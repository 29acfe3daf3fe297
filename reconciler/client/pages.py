"""Lists, a page at a time: how the pages hang together, and what happens when the server forgets their moment."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

import msgspec

from reconciler.api import ResourceType
from reconciler.client.codec import ListPage, decode_list, read_header
from reconciler.client.contract import ResourceVersionMatch
from reconciler.client.rest import RestClient, list_words
from reconciler.errors import ExpiredError

__all__ = ["PagedList"]


@dataclass(frozen=True, slots=True)
class PagedList:
    """
    What is to be listed.

    All pages of one list show one moment, the resource version of its first page. A server keeps a moment for some
    minutes (5 by default): a reader that is slower gets 410 for its next page.
    """

    rest: RestClient
    resource: ResourceType
    namespace: str | None = None
    label_selector: str = ""
    field_selector: str = ""
    resource_version: str | None = None
    resource_version_match: ResourceVersionMatch | None = None

    @property
    def doing(self) -> str:
        """The request in words; its errors begin with them."""
        return list_words("list", self.resource, self.namespace)

    async def whole(self, limit: int | None) -> tuple[list[msgspec.Raw], str]:
        """Return all items and their moment. Raises `ExpiredError` where the server forgets it between two pages."""
        items: list[msgspec.Raw] = []
        token: str | None = None
        while True:
            page = await self._page(limit, token)
            items += page.items or ()
            token = page.metadata.continue_
            if not token:
                return items, page.metadata.resource_version

    async def pages(self, limit: int, *, restart_when_expired: bool) -> AsyncGenerator[ListPage, None]:
        """
        Yield the pages.

        Raises:
            ExpiredError: The moment was forgotten; with `restart_when_expired` a fresh list takes over instead, without
                the objects that stand before the last one yielded.
        """
        token: str | None = None
        read, last, start = 0, b"", b""
        while True:
            try:
                page = await self._page(limit, token)
            except ExpiredError as error:
                if token is None:
                    raise
                # A server that forgets again before anything new came would be asked for ever.
                if not restart_when_expired or start == last:
                    raise _with_sentence(error, read) from error
                token, start = None, last
                continue
            items = page.items or []
            if start:
                items = [item for item in items if _place(item) > start]
            if items:
                last = _place(items[-1])
            token = page.metadata.continue_
            # After a restart the first pages may hold nothing new; an empty list is one page all the same.
            if items or not (token or read):
                yield ListPage(page.metadata, items)
            read += len(items)
            if not token:
                return

    async def _page(self, limit: int | None, token: str | None) -> ListPage:
        body = await self.rest.list_page(
            self.resource,
            namespace=self.namespace,
            label_selector=self.label_selector or None,
            field_selector=self.field_selector or None,
            limit=limit,
            continue_token=token,
            # A continue token holds the moment.
            resource_version=None if token else self.resource_version,
            resource_version_match=None if token else self.resource_version_match,
        )
        return decode_list(body, self.resource, doing=self.doing)


def _place(item: msgspec.Raw) -> bytes:
    # The server's order: that of the keys under which it stores objects.
    header = read_header(item)
    return f"{header.namespace}/{header.name}".encode()


def _with_sentence(error: ExpiredError, count: int) -> ExpiredError:
    status = error.status
    sentence = (
        f"the server forgot the moment that this list shows, after {count} objects were read; list again, with bigger "
        "pages or a faster reader, or allow a fresh list to take over (restart_when_expired=True)"
    )
    return ExpiredError(replace(status, message=f"{sentence} ({status.message})"), error.doing)
