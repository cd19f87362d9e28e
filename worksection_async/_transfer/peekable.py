"""The body of a response, of which the first bytes can be read without consuming them."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from .._transport.http import HttpResponse


class PeekableBody:
    """A body that can be looked at before it is consumed by `chunks`."""

    def __init__(self, response: HttpResponse) -> None:
        self._rest = response.chunks()
        self._head: list[bytes] = []
        self.is_complete = False
        """Whether `peek` has reached the end of the body."""

    async def peek(self, size: int) -> bytes:
        """Return at least the first *size* bytes, or the whole body if it is shorter."""
        while not self.is_complete and sum(map(len, self._head)) < size:
            chunk = await anext(self._rest, None)
            if chunk is None:
                self.is_complete = True
            else:
                self._head.append(chunk)
        return b"".join(self._head)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body, from its beginning."""
        try:
            for chunk in self._head:
                yield chunk
            async for chunk in self._rest:
                yield chunk
        finally:
            await self._rest.aclose()

    async def aclose(self) -> None:
        await self._rest.aclose()
