"""The command ``listen``: post events to a program on this machine as the service posts them to a webhook."""

from __future__ import annotations

import datetime as dt
import getpass
import os
import sys
from collections.abc import Sequence
from typing import Any, get_args
from urllib.parse import urlsplit

import click
from click.shell_completion import CompletionItem

from .._protocol.names import nearest
from .._protocol.service import WEBHOOK_TIMEOUT_SECONDS
from .._session.session import Session
from .._sync.watch import EventWatch
from ..errors import ApiError, EventsLost, RateLimited, TransportError, UnexpectedReply
from ..models import Event, WebhookEvent
from ..testing._webhook_call import CallResult, body_of, call_webhook, is_local, network_to, webhook_record
from ._command import Command, FiniteFloat
from ._output import print_text
from ._runner import run_calls
from ._text import print_error, printable, width_of, wrapped

PASSWORD = "WORKSECTION_WEBHOOK_PASSWORD"  # noqa: S105  # the name of the variable
KINDS = get_args(WebhookEvent)


class Kinds(click.ParamType[tuple[str, ...]]):
    """Kinds of events, separated by commas."""

    name = "kinds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the kinds in *value*."""
        if not isinstance(value, str):
            return tuple(value)
        kinds = tuple(value.split(","))
        for kind in kinds:
            if kind not in KINDS:
                self.fail(f"{kind!a} is no event of webhooks{nearest(kind, KINDS)}.", param, ctx)
        return kinds

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:  # noqa: ARG002
        """Return the kinds that begin with the last one of *incomplete*."""
        done, comma, item = incomplete.rpartition(",")
        return [CompletionItem(f"{done}{comma}{kind}") for kind in KINDS if kind.startswith(item)]


class ReceiverUrl(click.ParamType[str]):
    """The URL of the program that receives the events."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return *value*, if it is a URL without a user."""
        try:
            parts = urlsplit(value)
            is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            is_url = is_url and "@" not in parts.netloc
        except ValueError:
            is_url = False
        if not is_url:
            self.fail("it must be a URL such as http://127.0.0.1:8000/hooks, without user and password.", param, ctx)
        return str(value)


@click.command("listen", cls=Command)
@click.option("--forward-to", "url", type=ReceiverUrl(), required=True, metavar="URL",
              help="Where to post the events, for example http://127.0.0.1:8000/hooks.")  # fmt: skip
@click.option("--project", "projects", type=click.IntRange(1), multiple=True, metavar="ID",
              help="Only events of this project; repeat it for more projects.")  # fmt: skip
@click.option("--events", "kinds", type=Kinds(), default=KINDS, metavar="KINDS", show_default="all",
              help="Only these events, separated by commas, for example post_task,close_task.")  # fmt: skip
@click.option("--every", type=FiniteFloat(0, min_open=True), default=60.0, metavar="SECONDS", show_default=True,
              help="Seconds between two polls; a poll is one call.")  # fmt: skip
@click.option("--user", metavar="NAME",
              help=f"User name for Basic authentication. The password is that of the variable {PASSWORD}; without it, "
              "the command prompts for it.")  # fmt: skip
@click.option("--allow-remote", is_flag=True, help="Post to another machine, too.")
def command(
    *, url: str, projects: Sequence[int], kinds: Sequence[str], every: float, user: str | None, allow_remote: bool
) -> None:
    """Post the events of the account to a program on this machine, until Ctrl-C.

    It needs no public URL: the events are polled, and posted as the service posts them to the URL of a webhook. Each
    event is posted once and printed with the answer.

    \b
    worksection listen --forward-to http://127.0.0.1:8000/hooks
    """
    if not is_local(url) and not allow_remote:
        raise click.UsageError(
            "--forward-to leads to another machine, and events contain texts of the account: use --allow-remote."
        )
    if user and ":" in user:
        raise click.UsageError("--user must not contain a colon, which separates name and password.")
    forwarder = Forwarder(url, (user or "", _password() if user else ""))

    async def forward(session: Session) -> None:
        watch = session.watch(projects=projects or None, every=every)
        print_text(wrapped(f"Events are posted to {url}. Press Ctrl-C to stop.", width_of(sys.stdout)) + "\n")
        while True:
            event = await _next_event(watch)
            # The service offers fewer kinds to webhooks than it lists.
            if event is not None and event.kind in kinds:
                await forwarder.post(event)

    run_calls(forward)


async def _next_event(watch: EventWatch) -> Event | None:
    """Return the next event, or None after an error that does not end the command; it is printed."""
    try:
        return await anext(watch)
    except EventsLost as error:
        print_error(f"{_now()}  {error}. The lost events are not posted, the later ones are.")
    except (ApiError, TransportError, UnexpectedReply) as error:
        if isinstance(error, ApiError) and error.http_status < 500 and not isinstance(error, RateLimited):
            raise
        print_error(f"{_now()}  {error} The next poll includes these events.")
    return None


class Forwarder:
    """Posts events to one URL, and prints a line for each of them."""

    def __init__(self, url: str, credentials: tuple[str, str]) -> None:
        self._url = url
        self._credentials = credentials

    async def post(self, event: Event) -> CallResult:
        """Post *event* once. A failure is printed, and nothing else: the service does not repeat a call either."""
        result = await call_webhook(
            self._url,
            body_of([webhook_record(event)]),
            self._credentials,
            network_to(self._url),
            WEBHOOK_TIMEOUT_SECONDS,
        )
        outcome = f"failed: {result.error}" if result.error else f"{result.status} OK"
        if result.status is None:
            outcome += " (does the program run, and answer before it works on the event?)"
        print_text(printable(f"{_now()}  {event.kind} {event.object.id}  {outcome}") + "\n")
        return result


def _password() -> str:
    """Return the password of Basic authentication."""
    if (password := os.environ.get(PASSWORD)) is not None:
        return password
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError(f"Set {PASSWORD} to the password of --user: there is no terminal for a prompt.")
    return getpass.getpass("Password of the webhook (input is hidden): ")


def _now() -> str:
    return f"{dt.datetime.now():%H:%M:%S}"
