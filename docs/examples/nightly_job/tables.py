"""The tables of the database, and how rows get into them."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Numeric, Text, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    """Base class of the tables."""

    id: Mapped[int] = mapped_column(primary_key=True)


class Project(Base):
    """A project."""

    __tablename__ = "project"

    name: Mapped[str]
    status: Mapped[str | None]
    date_end: Mapped[dt.date | None]


class Task(Base):
    """A task or a subtask."""

    __tablename__ = "task"

    project_id: Mapped[int | None] = mapped_column(index=True)
    parent_id: Mapped[int | None]
    name: Mapped[str]
    status: Mapped[str | None]
    assignee: Mapped[str | None]
    date_end: Mapped[dt.date | None]
    date_closed: Mapped[dt.datetime | None]
    comments_due: Mapped[int] = mapped_column(default=1, index=True)
    """Number of changes of its comments that were not copied yet."""


class Comment(Base):
    """A comment on a task."""

    __tablename__ = "comment"

    task_id: Mapped[int] = mapped_column(index=True)
    author: Mapped[str | None]
    date_added: Mapped[dt.datetime | None]
    text: Mapped[str] = mapped_column(Text)


class Cost(Base):
    """Time and money spent on a task."""

    __tablename__ = "cost"

    task_id: Mapped[int | None] = mapped_column(index=True)
    member: Mapped[str | None]
    date: Mapped[dt.date | None]
    minutes: Mapped[int]
    money: Mapped[Decimal] = mapped_column(Numeric(12, 2))


class Position(Base):
    """Where the next run continues in the events of the account; there is one row."""

    __tablename__ = "position"

    cursor: Mapped[str] = mapped_column(Text)


def store(db: Session, table: type[Base], rows: Sequence[dict[str, Any]], *scope: ColumnElement[bool]) -> None:
    """Insert, update and delete rows until *table*, or its part in *scope*, has exactly *rows*."""
    upsert = postgresql.insert(table) if db.get_bind().dialect.name == "postgresql" else sqlite.insert(table)
    if rows:
        changed = {name: upsert.excluded[name] for name in rows[0]}
        db.execute(upsert.on_conflict_do_update(index_elements=["id"], set_=changed), rows)
    gone = set(db.scalars(select(table.id).where(*scope))) - {row["id"] for row in rows}
    db.execute(delete(table).where(table.id.in_(gone)))
