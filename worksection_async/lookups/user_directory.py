"""Members by number, by address and by name, without a call for each: the service has no `get_user`.

::

    users = UserDirectory(ws)
    anna = await users.by_email("Anna@Example.com")
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable, Iterable

import attrs

from .._session.session import Session
from ..models import Member

__all__ = ["UserDirectory"]


@attrs.frozen
class _Index:
    members: tuple[Member, ...]
    asked_at: float
    by_id: dict[int, Member]
    by_email: dict[str, Member]
    by_name: dict[str, tuple[Member, ...]]


class UserDirectory:
    """The members of an account, read with one `get_users` and kept for *max_age* seconds.

    Lookups that come together share one request, in any event loop. A write through the session does not empty the
    directory; `refresh` does, after `add_user` for example. Members who were deactivated are not in it, nor are ANY
    and NOONE.

    Args:
        ws: Session, or a view of one with the lane of your choice.
        max_age: Seconds after which the members are asked for again.
        clock: Seconds that only grow.

    Every lookup may raise what `get_users` raises; what was read before is then not used any more if it is too old,
    and the next lookup asks again. Scope ``users_read``. Vendor page: https://worksection.com/en/faq/api-user.html
    """

    def __init__(self, ws: Session, max_age: float = 300.0, *, clock: Callable[[], float] = time.monotonic) -> None:
        # One request for all who ask at one time is what the session does with identical reads.
        self._ws = ws.with_options(coalesce=True, max_age=0)
        self._max_age = max_age
        self._clock = clock
        self._index: _Index | None = None

    async def all(self) -> tuple[Member, ...]:
        """All members, as the service lists them."""
        return (await self._fresh()).members

    async def by_id(self, id_user: int) -> Member | None:
        """The member with this number, or None."""
        return (await self._fresh()).by_id.get(id_user)

    async def by_email(self, email: str) -> Member | None:
        """The member with this address, or None; neither case nor surrounding space matters."""
        return (await self._fresh()).by_email.get(_folded(email))

    async def by_name(self, name: str) -> tuple[Member, ...]:
        """All members with this name, first and last as the service shows it; case and space do not matter.

        Names are no keys: there may be none or several. ``[member] = await users.by_name(...)`` insists on one.
        """
        return (await self._fresh()).by_name.get(_folded(name), ())

    async def refresh(self) -> None:
        """Ask for the members now, however young they are."""
        self._index = None
        await self._fresh()

    async def _fresh(self) -> _Index:
        index, asked_at = self._index, self._clock()
        if index is not None and asked_at - index.asked_at < self._max_age:
            return index
        members = await self._ws.get_users()
        index = self._index  # another lookup that shared the request may have been here
        if index is None or index.asked_at < asked_at:
            index = self._index = _indexed(members, asked_at)
        return index

    def __repr__(self) -> str:
        return f"<UserDirectory {'not read yet' if self._index is None else f'{len(self._index.members)} members'}>"


def _indexed(members: Iterable[Member], asked_at: float) -> _Index:
    members = tuple(members)
    by_name: dict[str, tuple[Member, ...]] = {}
    for member in members:
        by_name[_folded(member.name)] = (*by_name.get(_folded(member.name), ()), member)
    by_id = {member.id: member for member in members if member.id is not None}
    by_email = {_folded(member.email): member for member in members if member.email}
    return _Index(members, asked_at, by_id, by_email, by_name)


def _folded(text: str) -> str:
    """*text* without what does not make it another: case, spacing, the way accents are composed."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())
