"""The content of the simulated account, as the models of a session."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from .. import models
from . import _reading as reading
from ._fields import References
from ._world import World

R = TypeVar("R")
M = TypeVar("M", bound=models.Model)


class Content:
    """The records of an account by id. A model is a value: it does not change when the account changes."""

    _world: World

    @property
    def owner(self) -> models.Member:
        """The owner of the account, whose key it is."""
        return reading.member(self._world.owner)

    @property
    def members(self) -> dict[int, models.Member]:
        """The active members."""
        return _read({user.id: user for user in self._world.users.values() if user.active}, reading.member)

    @property
    def contacts(self) -> dict[int, models.Contact]:
        """The contacts."""
        return _read(self._world.contacts, reading.contact)

    @property
    def projects(self) -> dict[int, models.Project]:
        """The projects."""
        return _read(self._world.projects, reading.project)

    @property
    def tasks(self) -> dict[int, models.Task]:
        """All tasks and subtasks."""
        return _read(self._world.tasks, reading.task)

    @property
    def comments(self) -> dict[int, models.Comment]:
        """All comments."""
        return _read(self._world.comments, reading.comment)

    @property
    def files(self) -> dict[int, models.File]:
        """All files; `content` returns their bytes."""
        return _read(self._world.files, reading.file)

    @property
    def tags(self) -> dict[int, models.Tag]:
        """The tags of tasks and projects."""
        return _read(self._world.tags, reading.tag)

    @property
    def tag_groups(self) -> dict[int, models.TagGroup]:
        """The sets of tags."""
        return _read(self._world.tag_groups, reading.tag_group)

    @property
    def custom_fields(self) -> dict[int, models.CustomField]:
        """The custom fields of tasks and projects."""
        return _read(self._world.custom_fields, reading.custom_field)

    @property
    def costs(self) -> dict[int, models.Cost]:
        """The entries of time and money."""
        return _read(self._world.costs, reading.cost)

    @property
    def timers(self) -> dict[int, models.Timer]:
        """The running timers."""
        return _read(self._world.timers, lambda timer: reading.timer(timer, self._world.now()))

    @property
    def webhooks(self) -> dict[int, models.Webhook]:
        """The registered webhooks."""
        return _read(self._world.webhooks, reading.webhook)

    @property
    def events(self) -> list[models.Event]:
        """The event log, oldest first."""
        return [reading.event(event) for event in self._world.events]

    def content(self, file: models.File | int) -> bytes:
        """Return the content of a file."""
        return self._references.by_id(self._world.files, "file", file).content

    @property
    def _references(self) -> References:
        return References(self._world)


def _read(known: Mapping[int, R], read: Callable[[R], M]) -> dict[int, M]:
    return {number: read(record) for number, record in known.items()}
