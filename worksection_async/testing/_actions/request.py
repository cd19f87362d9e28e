"""The request of an action, and the table of the functions that carry out actions."""

from collections.abc import Callable, Sequence

import attrs

from .._constants import MAX_TEXT_CHARACTERS
from .._credentials import Principal
from .._params import Params
from .._records import ANYONE, NO_EXECUTIVE, Comment, EventAction, Project, StoredFile, Task, Upload, User
from .._render import Extra
from .._reply import Record, ServiceRefusal, missing_field
from .._world import World

HANDLERS: dict[str, "Handler"] = {}


@attrs.frozen
class Download:
    """The result of ``download``: a file instead of an envelope."""

    file: StoredFile


@attrs.frozen
class ActionRequest:
    """An authenticated request of an action, with checked parameters."""

    params: Params
    principal: Principal
    world: World
    uploads: Sequence[Upload] = ()
    url_answers: bool = True
    """True if the URL of a new webhook replied as required."""

    @property
    def extra(self) -> Extra:
        return frozenset(self.params.names("extra"))

    @property
    def project(self) -> Project:
        return self.world.projects[self.params.number("id_project")]

    @property
    def task(self) -> Task:
        return self.world.tasks[self.params.number("id_task")]

    @property
    def attachments(self) -> list[Upload]:
        return [upload for upload in self.uploads if upload.field.startswith("attach[")]

    def author(self, *, required: bool = False) -> User:
        """Return the author: the user of the token, or with the key ``email_user_from`` (default: the account's owner).

        With *required* the parameter has no default, as the documentation says of a few actions.
        """
        if not self.principal.by_key:
            return self.principal.user
        if required and not self.params.given("email_user_from"):
            raise missing_field("email_user_from")
        return self.user("email_user_from") or self.principal.user

    def user(self, name: str) -> User | None:
        """Return the member with the email address in the parameter *name*, or None."""
        return self.world.user(self.params.text(name))

    def users(self, name: str) -> list[User]:
        return [user for address in self.params.names(name) if (user := self.world.user(address))]

    def assignee(self) -> User:
        """Return the assignee of ``email_user_to``: a member, `ANYONE` or `NO_EXECUTIVE`."""
        anyone = self.params.text("email_user_to").upper() == ANYONE.email
        return ANYONE if anyone else self.user("email_user_to") or NO_EXECUTIVE

    def full_text(self) -> str:
        """Return text, checklist and mentions as one text. Like the service, cut it at the limit without an error."""
        items = [f"• {item}" for item in self.params.texts("todo")]
        lines = [self.params.text("text"), *items]
        text = "\r\n".join(line for line in lines if line)
        return " ".join([text, *(user.name for user in self.users("mention"))])[:MAX_TEXT_CHARACTERS]

    def record_event(
        self, action: EventAction, of: Project | Task | Comment, new: Record | None = None, old: Record | None = None
    ) -> None:
        """Record an event, for ``get_events`` and webhooks."""
        self.world.tell(action, of, self.author(), new, old)


Handler = Callable[[ActionRequest], Record | Download]


def action(handler: Handler) -> Handler:
    """Register *handler* for the action with its name."""
    HANDLERS[handler.__name__] = handler
    return handler


def changes(before: Record, after: Record) -> tuple[Record, Record]:
    """Return the changed values of two renderings, (new, old); a missing value is ``""``."""
    names = [name for name in before | after if before.get(name) != after.get(name)]
    return {name: after.get(name, "") for name in names}, {name: before.get(name, "") for name in names}


def check_count(count: int, limit: int, noun: str) -> None:
    """Raise `ServiceRefusal` if a reply would have more than *limit* records; the service has no paging."""
    if count > limit:
        raise ServiceRefusal(f"Too many {noun} ({limit} max)")
