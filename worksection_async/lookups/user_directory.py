"""Cached lookup of members by ID, email address or name, because the service has no `get_user`.

::

    users = UserDirectory(ws)
    anna = await users.by_email("Anna@Example.com")
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import attrs

from .._session.session import Session
from ..models import Member

__all__ = ["UserDirectory"]


@attrs.frozen
class _Index:
    """The members of one reply, indexed by ID, email address and name."""

    members: tuple[Member, ...]
    requested_at: float
    by_id: dict[int, Member]
    by_email: dict[str, Member]
    by_name: dict[str, tuple[Member, ...]]


class UserDirectory:
    """The members of an account, read with one `get_users` call and cached for *max_age* seconds.

    Concurrent lookups share one request, in any event loop. Writes through the session do not invalidate the cache;
    call `refresh` after `add_user`, for example. The directory does not contain deactivated members, ANY and NOONE.

    Lookups raise the errors of `get_users`. After an error, an expired cache is not used; the next lookup sends a
    new request. Scope ``users_read``. Vendor page: https://worksection.com/en/faq/api-user.html

    Args:
        ws: Session, or a view of one with the desired priority lane.
        max_age: Maximum age of the cache, in seconds.
    """

    def __init__(self, ws: Session, max_age: float = 300.0) -> None:
        # With coalesce=True, concurrent lookups share one request.
        self._ws = ws.with_options(coalesce=True, max_age=0)
        self._max_age = max_age
        self._clock = ws._caller.clock
        self._index: _Index | None = None

    async def all(self) -> tuple[Member, ...]:
        """Return all members, in the order of the service."""
        return (await self._current_index()).members

    async def by_id(self, id_user: int) -> Member | None:
        """Return the member with this ID, or None."""
        return (await self._current_index()).by_id.get(id_user)

    async def by_email(self, email: str) -> Member | None:
        """Return the member with this email address, or None; case and surrounding whitespace are ignored."""
        return (await self._current_index()).by_email.get(_normalize(email))

    async def by_name(self, name: str) -> tuple[Member, ...]:
        """Return all members with this full name; case and extra whitespace are ignored.

        Names are not unique. ``[member] = await users.by_name(...)`` raises ValueError unless there is exactly one.
        """
        return (await self._current_index()).by_name.get(_normalize(name), ())

    async def refresh(self) -> None:
        """Read the members again, regardless of the age of the cache."""
        self._index = None
        await self._current_index()

    async def _current_index(self) -> _Index:
        index, requested_at = self._index, self._clock.monotonic()
        if index is not None and requested_at - index.requested_at < self._max_age:
            return index
        members = await self._ws.get_users()
        index = self._index  # a concurrent lookup may have stored it meanwhile
        if index is None or index.requested_at < requested_at:
            index = self._index = _build_index(members, requested_at)
        return index

    def __repr__(self) -> str:
        return f"<UserDirectory {'not read yet' if self._index is None else f'{len(self._index.members)} members'}>"


def _build_index(members: Iterable[Member], requested_at: float) -> _Index:
    members = tuple(members)
    by_name: dict[str, tuple[Member, ...]] = {}
    for member in members:
        by_name[_normalize(member.name)] = (*by_name.get(_normalize(member.name), ()), member)
    by_id = {member.id: member for member in members if member.id is not None}
    by_email = {_normalize(member.email): member for member in members if member.email}
    return _Index(members, requested_at, by_id, by_email, by_name)


def _normalize(text: str) -> str:
    """Return *text* in the form used for comparison: NFC, case-folded, single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())
