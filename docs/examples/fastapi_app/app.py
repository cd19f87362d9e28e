"""A dashboard of one's own Worksection tasks: visitors log in with Worksection, and webhooks bring the news.

All visitors share the one request per second of the account. A page that would have to wait too long is a 503.
"""

import contextlib
import datetime as dt
import math
import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.templating import Jinja2Templates
from starlette.middleware.sessions import SessionMiddleware
from starlette.types import Scope

from worksection_async import FileTokenVault, OAuth2, OAuthApp, Session
from worksection_async.errors import RateLimited, ReauthorizationRequired, TransportError, WaitTooLong
from worksection_async.login import LoginRoutes
from worksection_async.models import Event, Identity
from worksection_async.webhooks import WebhookReceiver

SITE_URL = os.environ["SITE_URL"]  # https://tasks.example.com

vault = FileTokenVault(os.environ.get("TOKEN_FOLDER", "tokens"))
application = OAuthApp(
    os.environ["WORKSECTION_CLIENT_ID"],
    os.environ["WORKSECTION_CLIENT_SECRET"],
    f"{SITE_URL}/auth/callback",
    scopes=["users_read", "tasks_read"],
    login_url="/auth/login",
    base_url=os.environ.get("WORKSECTION_LOGIN", "https://worksection.com"),  # a simulator has its own
)
ws = Session(os.environ["WORKSECTION_ACCOUNT"], OAuth2(application, vault=vault))

VERBS = {"post_comment": "commented", "update_task": "changed it"}
news: dict[int, str] = {}  # the latest news of each task; in memory, so the app runs in one process


async def remember(event: Event) -> None:
    """Keep the latest news of the task for the dashboard."""
    if event.id_task and event.user_from and event.date_added and event.kind in VERBS:
        news[event.id_task] = f"{event.user_from.name} {VERBS[event.kind]} at {event.date_added:%H:%M}"


receiver = WebhookReceiver(remember, username="worksection", password=os.environ["WEBHOOK_PASSWORD"])


def user_of(scope: Scope, identity: Identity) -> str | None:
    """Remember the visitor in the web session; visitors from other accounts are refused."""
    if identity.account_url != ws.account_url:
        return None
    key = str(identity.id)
    scope["session"] |= {"key": key, "name": identity.first_name, "email": identity.email}
    return key


@contextlib.asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Keep the connections and the queue of events open while the app runs."""
    async with ws, receiver:
        yield


app = FastAPI(lifespan=lifespan)
app.mount("/auth", LoginRoutes(application, vault, user_of=user_of))
app.mount("/webhook", receiver)
app.add_middleware(SessionMiddleware, secret_key=os.environ["SESSION_SECRET"], https_only=True)
templates = Jinja2Templates(Path(__file__).with_name("templates"))


@app.get("/")
async def show_tasks(request: Request) -> Response:
    """Show the visitor's open tasks, the most urgent ones first."""
    visitor = request.session
    if "key" not in visitor:
        return templates.TemplateResponse(request, "welcome.html")
    view = ws.as_user(visitor["key"]).with_options(lane="interactive", max_wait=5, patience=5, max_age=10)
    tasks = await view.search_tasks(email_user_to=visitor["email"], status="active")
    tasks.sort(key=lambda task: task.date_end or dt.date.max)
    context = {"tasks": tasks, "news": news, "account": ws.account_url, "today": dt.date.today()}
    return templates.TemplateResponse(request, "tasks.html", context)


@app.post("/logout")
async def log_out(request: Request) -> Response:
    """Forget the visitor, with the tokens."""
    if "key" in request.session:
        await vault.forget(request.session["key"])
    request.session.clear()
    return RedirectResponse("/", status_code=303)


@app.exception_handler(ReauthorizationRequired)
async def log_in_again(request: Request, error: ReauthorizationRequired) -> Response:
    """Send a visitor whose login has expired through the login, and back."""
    return RedirectResponse(f"{error.login_url}?next={quote(request.url.path)}", status_code=303)


@app.exception_handler(WaitTooLong)
@app.exception_handler(RateLimited)
async def try_later(request: Request, error: WaitTooLong | RateLimited) -> Response:
    """Other visitors or other programs use the rate limit of the account; the page reloads itself."""
    seconds = math.ceil(error.eta if isinstance(error, WaitTooLong) else error.retry_after or 5)
    return templates.TemplateResponse(
        request, "busy.html", {"seconds": seconds}, status_code=503, headers={"Retry-After": str(seconds)}
    )


@app.exception_handler(TransportError)
async def out_of_reach(request: Request, _: TransportError) -> Response:
    """The service is down, or the network."""
    return templates.TemplateResponse(request, "out_of_reach.html", status_code=502)
