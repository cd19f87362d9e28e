"""A help desk: a form creates tasks in Worksection. Flask answers at once, and a Celery worker makes the calls."""

from __future__ import annotations

import hmac
import os
import secrets
import uuid
from datetime import timedelta
from typing import Any

from celery import Celery, Task
from celery.exceptions import Retry
from flask import Flask, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from redis import Redis

from worksection_async import models
from worksection_async.blocking import BlockingSession
from worksection_async.errors import ApiError, AuthError, InvalidCall, RateLimited, WorksectionError
from worksection_async.filters import F
from worksection_async.redis import RedisTokenBucket
from worksection_async.webhooks import UnreadableEvent, parse_events

VALKEY = os.environ.get("VALKEY_URL", "redis://127.0.0.1:6379/0")
PROJECT = int(os.environ["HELPDESK_PROJECT"])
WEBHOOK_PASSWORD = os.environ["WEBHOOK_PASSWORD"].encode()
RETRY_SECONDS = float(os.environ.get("RETRY_SECONDS", "5"))
KEEP = timedelta(days=30)

# The workers of all machines share one limiter. While others keep the account busy, a job goes back to the queue.
ws = BlockingSession.from_env(limiter=RedisTokenBucket(VALKEY), patience=5)
task_events = Redis.from_url(VALKEY, decode_responses=True)
site = Flask(__name__)
jobs = Celery("helpdesk", broker=VALKEY, backend=VALKEY)
jobs.conf.update(
    broker_connection_retry_on_startup=True,
    result_expires=KEEP,
    task_acks_late=True,  # the job of a killed machine goes back to the queue after an hour,
    task_reject_on_worker_lost=True,  # and that of a killed worker process at once
    task_track_started=True,
)


class Failed(Exception):
    """The task was not created; the text says why."""


@jobs.task(bind=True, max_retries=50)
def create_task(
    self: Task[..., dict[str, Any]], *, number: str, title: str, text: str, in_doubt: bool = False
) -> dict[str, Any]:
    """Create the task of a request exactly once, also if a call fails or a worker is killed.

    *in_doubt* means that an earlier attempt may have created it.
    """
    # Redelivered: the worker that had the job was killed.
    in_doubt = in_doubt or bool(self.request.delivery_info and self.request.delivery_info["redelivered"])
    try:
        task = (find_task(number) if in_doubt else None) or ws.post_task(PROJECT, f"{title} #{number}", text=text)
    except (AuthError, RateLimited) as error:  # refused, but not because of this request
        raise again(self, error, in_doubt) from None
    except (ApiError, InvalidCall) as error:  # another attempt would be refused, too
        raise Failed(str(error)) from None
    except WorksectionError as error:  # no connection, no reply, …
        raise again(self, error, in_doubt or error.sent) from None
    return {"id": task.id, "name": task.name}


def find_task(number: str) -> models.Task | None:
    """Return the task of a request, if it exists."""
    tasks = ws.search_tasks(id_project=PROJECT, filter=F.name.has(f"#{number}"))
    return tasks[0] if tasks else None


def again(job: Task[..., Any], error: WorksectionError, in_doubt: bool) -> Retry:
    """Return the exception that makes Celery repeat *job* later, twice as late each time, up to ten minutes."""
    delay = error.retry_after or min(RETRY_SECONDS * 2**job.request.retries, 600)
    kwargs = {**(job.request.kwargs or {}), "in_doubt": in_doubt}
    return job.retry(exc=Failed(str(error)), countdown=delay, kwargs=kwargs, throw=False)


@site.get("/")
def show_form() -> str:
    """Ask for a request."""
    return render_template("form.html")


@site.post("/")
def accept() -> ResponseReturnValue:
    """Queue the request."""
    number = secrets.token_hex(4)
    job = create_task.delay(number=number, title=request.form["title"], text=request.form["text"])
    return redirect(url_for("show_request", id_job=job.id), 303)


@site.get("/requests/<uuid:id_job>")
def show_request(id_job: uuid.UUID) -> str:
    """Show what became of a request; the page reloads itself until the task exists."""
    job = create_task.AsyncResult(str(id_job))
    is_closed = job.successful() and task_events.get(f"task:{job.get()['id']}") == "close_task"
    return render_template("request.html", job=job, is_closed=is_closed)


@site.post("/webhook")
def receive_events() -> ResponseReturnValue:
    """Remember which tasks are closed: the last event of each task counts."""
    given = request.authorization
    if given is None or not hmac.compare_digest((given.password or "").encode(), WEBHOOK_PASSWORD):
        abort(401)
    try:
        received = parse_events(request.get_data())
    except UnreadableEvent:  # after ten errors Worksection would pause the webhook
        site.logger.exception("a webhook call is not readable")
        received = []
    for event in received:
        if event.kind in ("close_task", "reopen_task"):
            task_events.set(f"task:{event.object.id}", event.kind, ex=KEEP)
    return {"status": "OK"}
