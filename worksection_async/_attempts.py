"""The attempts of a call, counted, and what each of them asks for."""

from collections.abc import Callable, Mapping
from typing import Self

import attrs

from ._request import Request


@attrs.define(eq=False)
class Attempts:
    """Counts from 1, and goes on where one call takes several requests: what arrives in part is asked for again."""

    _headers: Callable[[], Mapping[str, str]] = dict
    made: int = attrs.field(default=0, init=False)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> int:
        self.made += 1
        return self.made

    def dress(self, request: Request) -> Request:
        """*request*, with the headers that the present attempt needs."""
        headers = self._headers()
        return attrs.evolve(request, headers={**request.headers, **headers}) if headers else request
