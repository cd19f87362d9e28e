"""One action to be carried out, and the table of those who can."""

from collections.abc import Callable, Sequence

import attrs

from .._credentials import Caller
from .._facts import MAX_TEXT_CHARACTERS
from .._params import Params
from .._render import Extra
from .._reply import Record, Refused, missing
from ..records import ANYONE, NO_EXECUTIVE, Comment, EventAction, Project, StoredFile, Task, Upload, User
from ..world import World

HANDLERS: dict[str, "Handler"] = {}


@attrs.frozen
class Download:
    """A file instead of an envelope."""

    file: StoredFile


@attrs.frozen
class Call:
    """Who asks for what; the parameters have passed the checks of the spec."""

    params: Params
    caller: Caller
    world: World
    uploads: Sequence[Upload] = ()
    url_answers: bool = True
    """What came of calling the URL of a webhook to be added."""

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
        """Return the token's user, or with the key whom ``email_user_from`` names; the key's owner otherwise.

        A few actions, by the documentation, do not take the owner for granted: *required*.
        """
        if not self.caller.by_key:
            return self.caller.user
        if required and not self.params.given("email_user_from"):
            raise missing("email_user_from")
        return self.user("email_user_from") or self.caller.user

    def user(self, name: str) -> User | None:
        """Return the member a parameter names, if it names one."""
        return self.world.user(self.params.text(name))

    def users(self, name: str) -> list[User]:
        return [user for address in self.params.names(name) if (user := self.world.user(address))]

    def assignee(self) -> User:
        """Return whom ``email_user_to`` names: a member, anyone or nobody."""
        anyone = self.params.text("email_user_to").upper() == ANYONE.email
        return ANYONE if anyone else self.user("email_user_to") or NO_EXECUTIVE

    def written_text(self) -> str:
        """Return a description or comment: text, checklist, mentions; what is too long is cut without a word."""
        items = [f"• {item}" for item in self.params.texts("todo")]
        lines = [self.params.text("text"), *items]
        text = "\r\n".join(line for line in lines if line)
        return " ".join([text, *(user.name for user in self.users("mention"))])[:MAX_TEXT_CHARACTERS]

    def record_event(
        self, action: EventAction, of: Project | Task | Comment, new: Record | None = None, old: Record | None = None
    ) -> None:
        """Remember what happened, for ``get_events``, and tell webhooks of it."""
        self.world.tell(action, of, self.author(), new, old)


Handler = Callable[[Call], Record | Download]


def action(handler: Handler) -> Handler:
    """Enter *handler* under its own name."""
    HANDLERS[handler.__name__] = handler
    return handler


def changes(before: Record, after: Record) -> tuple[Record, Record]:
    """Return what differs between two renderings, new and old; ``""`` stands for what was or became empty."""
    names = [name for name in before | after if before.get(name) != after.get(name)]
    return {name: after.get(name, "") for name in names}, {name: before.get(name, "") for name in names}


def at_most(count: int, limit: int, noun: str) -> None:
    """Refuse an answer that would be too long; there is no paging."""
    if count > limit:
        raise Refused(f"Too many {noun} ({limit} max)")
