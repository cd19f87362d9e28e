"""The database table of a vault, and its operations: one SQL statement each. Importing it needs ``sqlalchemy``."""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncIterator
from typing import Any

import anyio
from sqlalchemy import (
    Column,
    ColumnElement,
    DateTime,
    Executable,
    Float,
    MetaData,
    String,
    Table,
    Text,
    delete,
    extract,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.schema import CreateTable

from .._protocol.values import type_of
from .._transport.clock import is_jumping
from .._transport.tasks import is_trio
from ..errors import InvalidCall, TokenStoreError
from .token_stores import LOCK_TIMEOUT_SECONDS, translate_errors

NAME = "worksection_tokens"

STATEMENT_SECONDS = 30.0
"""Maximum time for a statement, including the wait for a connection of the pool."""

INSERT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
"""By dialect: SQL has no standard for what an insert does if the row exists."""

NOW = extract("epoch", func.now())
"""Unix seconds of the database's clock, so that the clocks of the machines do not matter; whole seconds in SQLite."""


def table_in(metadata: MetaData) -> Table:
    """Return the table as a part of *metadata*."""
    return Table(
        NAME,
        metadata,
        Column("user_key", Text, primary_key=True),
        Column("token", Text),
        Column("saved_at", DateTime(timezone=True)),
        Column("holder", String(32)),
        Column("held_until", Float),
        extend_existing=True,
    )


class TokenRows:
    """The rows of all users.

    Args:
        engine: An engine for PostgreSQL or SQLite.

    Raises:
        InvalidCall: *engine* is no `AsyncEngine`, or one for another database.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        if not isinstance(engine, AsyncEngine):
            problem = f"engine must be an AsyncEngine, which create_async_engine returns, got {type_of(engine)}"
            raise InvalidCall("SQLTokenVault", problem)
        if engine.dialect.name not in INSERT:
            raise InvalidCall("SQLTokenVault", f"PostgreSQL or SQLite expected, not {engine.dialect.name}")
        # Each statement is a transaction. A lock is a lease in the row: no transaction is open during a refresh.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._table = table_in(MetaData())
        self._row = self._table.c

    async def create_table(self) -> None:
        """Create the table if it does not exist."""
        statement = CreateTable(self._table, if_not_exists=True)
        try:
            await self._execute(statement)
        except TokenStoreError:
            await self._execute(statement)  # PostgreSQL refuses it if another process creates the table now

    async def read(self, user: str) -> str | None:
        """Return the text that was saved for *user*."""
        async with self._connection() as connection:
            text: str | None = await connection.scalar(select(self._row.token).where(self._row.user_key == user))
        return text

    async def write(self, user: str, text: str, holder: str | None) -> bool:
        """Save *text*; return False if another client has the lease of *holder* now."""
        values = {"token": text, "saved_at": func.now()}
        if holder is not None:
            return await self._execute(self._update(user, holder).values(values))
        return await self._execute(self._upsert(user, values))

    async def lease(self, user: str, holder: str) -> bool:
        """Let *holder* have the lease of the row of *user*; return False if another one has it."""
        is_free = or_(self._row.held_until.is_(None), self._row.held_until <= NOW)
        values = {"holder": holder, "held_until": NOW + LOCK_TIMEOUT_SECONDS}
        return await self._execute(self._upsert(user, values, where=is_free))

    async def delete(self, user: str, holder: str) -> bool:
        """Delete the row of *user*; return False if another client has the lease of *holder* now."""
        return await self._execute(delete(self._table).where(self._row.user_key == user, self._row.holder == holder))

    async def release(self, user: str, holder: str) -> None:
        """End the lease of *holder*, if *holder* has it."""
        await self._execute(self._update(user, holder).values(holder=None, held_until=None))

    def _update(self, user: str, holder: str) -> Any:
        return update(self._table).where(self._row.user_key == user, self._row.holder == holder)

    def _upsert(self, user: str, values: dict[str, Any], where: ColumnElement[bool] | None = None) -> Any:
        insert = INSERT[self._engine.dialect.name](self._table).values(user_key=user, **values)
        return insert.on_conflict_do_update(index_elements=["user_key"], set_=values, where=where)

    async def _execute(self, statement: Executable) -> bool:
        """Return whether *statement* has changed a row."""
        async with self._connection() as connection:
            return (await connection.execute(statement)).rowcount == 1

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        if is_trio():
            raise TokenStoreError("SQLAlchemy works on asyncio only, not on trio")
        problem = f"the table {NAME} cannot be used; is the database up, and was the table created?"
        # Any error, because drivers raise errors of their own while they connect. A cancellation waits for the end of
        # the statement: SQLAlchemy loses a connection if its return to the pool is cancelled.
        seconds = math.inf if is_jumping() else STATEMENT_SECONDS
        with translate_errors(Exception, problem), anyio.fail_after(seconds, shield=True):
            async with self._engine.connect() as connection:
                yield connection
