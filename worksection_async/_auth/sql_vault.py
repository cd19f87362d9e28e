"""A token vault in a database, encrypted. Needs the extra ``sql``.

Only constructing `SQLTokenVault` imports the packages ``sqlalchemy`` and ``cryptography``.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

import anyio

from .._transport.frames import clears_locals
from ..errors import TokenStoreError
from ..models._extras import needs_extra
from .credentials import hides_arguments
from .token import Token
from .token_stores import TokenStore, acquire_lock
from .token_vaults import encoded_key

if TYPE_CHECKING:
    from sqlalchemy import MetaData, Table
    from sqlalchemy.ext.asyncio import AsyncEngine

    from .token_cipher import TokenCipher
    from .token_rows import TokenRows

NEEDS = "worksection_async.SQLTokenVault"

LOCK_EXPIRED = "the lock expired, and another client has it"


@hides_arguments
class SQLTokenVault:
    """Stores the tokens of many users in the table ``worksection_tokens`` of a database, encrypted.

    PostgreSQL and SQLite, through SQLAlchemy, on asyncio. A pair is encrypted together with the key of its user
    (Fernet: AES-128 and HMAC-SHA256); the keys of the users are stored percent-encoded. The lock of a user is a lease
    in the row, which expires after 90 seconds if its holder dies. No transaction is open during a refresh.

    Args:
        engine: The `sqlalchemy.ext.asyncio.AsyncEngine` of your application, with any driver (asyncpg, aiosqlite).
        encryption_key: The output of ``Fernet.generate_key()`` (package ``cryptography``), or a list of such keys: the
            first one encrypts, all of them decrypt. Each save encrypts anew, so an old key can be removed from the list
            a month after the new one became the first.

    Raises:
        InvalidCall: An argument is invalid; the error does not show the encryption key.
        ModuleNotFoundError: The package ``sqlalchemy`` or ``cryptography`` is not installed.
    """

    def __init__(self, engine: AsyncEngine, encryption_key: str | bytes | Sequence[str | bytes]) -> None:
        with needs_extra("sql", NEEDS):
            from .token_cipher import TokenCipher  # noqa: PLC0415
            from .token_rows import TokenRows  # noqa: PLC0415
        self._rows = TokenRows(engine)
        self._cipher = TokenCipher(encryption_key)

    @staticmethod
    def table_in(metadata: MetaData) -> Table:
        """Return the table as a part of *metadata*, where Alembic finds it.

        It has the columns ``user_key``, ``token`` (encrypted), ``saved_at``, ``holder`` and ``held_until``.
        """
        with needs_extra("sql", NEEDS):
            from .token_rows import table_in  # noqa: PLC0415
        return table_in(metadata)

    async def create_table(self) -> None:
        """Create the table if it does not exist; several processes may do that at once.

        Raises:
            TokenStoreError: The database cannot be used.
        """
        await self._rows.create_table()

    def store(self, key: str) -> TokenStore:
        """Return the token store of the user *key*: text of 1 to 200 characters."""
        return self._store(key)

    async def forget(self, key: str) -> None:
        """Delete the tokens of the user *key* (a logout): the next call raises `ReauthorizationRequired`.

        A refresh in progress ends first: it would store a new pair.

        Raises:
            TokenStoreError: The tokens could not be deleted.
            InvalidCall: The key is invalid.
        """
        store = self._store(key)
        async with store.lock():
            await store._delete()

    def _store(self, key: str) -> _SQLTokenStore:
        return _SQLTokenStore(self._rows, self._cipher, encoded_key(key, "SQLTokenVault"))


class _SQLTokenStore:
    """The token store of one user."""

    def __init__(self, rows: TokenRows, cipher: TokenCipher, user: str) -> None:
        self._rows = rows
        self._cipher = cipher
        self._user = user
        self._leases: dict[int, str] = {}
        """The lease of each task that holds one; there are several only if one expired."""

    @clears_locals
    async def load(self) -> Token | None:
        """Return the token, or None if the user has none."""
        text = await self._rows.read(self._user)
        return None if text is None else self._cipher.decrypt(self._user, text)

    @clears_locals
    async def save(self, token: Token) -> None:
        """Store *token*; a holder of the lock whose lease was given to another one cannot store it."""
        lease = self._leases.get(anyio.get_current_task().id)
        if not await self._rows.write(self._user, self._cipher.encrypt(self._user, token), lease):
            raise TokenStoreError(LOCK_EXPIRED)

    async def _delete(self) -> None:
        if not await self._rows.delete(self._user, self._leases[anyio.get_current_task().id]):
            raise TokenStoreError(LOCK_EXPIRED)

    @contextlib.asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Exclude all other clients of this row."""
        task, lease = anyio.get_current_task().id, secrets.token_hex(16)
        try:
            await acquire_lock(lambda: self._rows.lease(self._user, lease))
            self._leases[task] = lease
            yield
        finally:  # after a cancellation while waiting, too: the database may have given the lease already
            self._leases.pop(task, None)
            with anyio.CancelScope(shield=True), contextlib.suppress(TokenStoreError):  # the lease expires anyway
                await self._rows.release(self._user, lease)
