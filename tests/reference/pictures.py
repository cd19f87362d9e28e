"""The pictures of the documentation: the ways of a call and of an event, the errors, the life of a token pair."""

from __future__ import annotations

import re

import attrs

from tests.reference.drawing import LINE_HEIGHT, Drawing, Kind
from worksection_async import errors
from worksection_async._spec import Spec


@attrs.frozen
class Step:
    """A step of a call, and what can end the call there."""

    name: str
    detail: str
    failure: str = ""
    reason: str = ""
    kind: Kind = "plain"


STEPS = [
    Step("await ws.get_tasks(26)", "a coroutine per action", kind="start"),
    Step("check the arguments", "names, types, required parameters", "InvalidCall", "nothing was sent"),
    Step("wait for a slot", "three lanes, one queue per account", "WaitTooLong", "nothing was sent", "wait"),
    Step("sign, refresh the token if due", "after the wait: signatures and tokens expire", "ReauthorizationRequired",
         "log in again"),
    Step("send the request", "the interval to the next request starts here", "TransportError",
         "error.sent: may it have arrived?"),
    Step("read the reply", "ok or error, with HTTP 200 in both cases", "ApiError", "the service refused the call"),
    Step("make typed objects", "frozen attrs models", "UnexpectedReply", "with the JSON path"),
    Step("list[Task]", "the result", kind="start"),
]  # fmt: skip

GAP = 22


def call() -> Drawing:
    """Return the journey of a call."""
    height = 48 + len(STEPS) * (2 * LINE_HEIGHT + 14 + GAP)
    drawing = Drawing(760, height, "The journey of a call", " → ".join(step.name for step in STEPS))
    drawing.text(24, 32, "The journey of a call")
    drawing.text(470, 32, "what can end it", "dim")
    y, tops = 50.0, []
    for number, step in enumerate(STEPS):
        tops.append(y)
        below = drawing.box(96, y, 340, [step.name, step.detail], step.kind)
        middle = (y + below) / 2
        if step.failure:
            drawing.arrow((436, middle), (468, middle))
            drawing.box(470, y, 266, [step.failure, step.reason], "stop")
        if number < len(STEPS) - 1:
            drawing.arrow((266, below), (266, below + GAP - 1))
        y = below + GAP
    wait, read = tops[2] + 25, tops[5] + 25
    drawing.arrow((96, read), (52, read), (52, wait), (95, wait))
    for number, word in enumerate(["retry,", "if it", "is safe"]):
        drawing.text(46, (wait + read) / 2 - LINE_HEIGHT + LINE_HEIGHT * number, word, "dim", "end")
    return drawing


KINDS: dict[type[errors.WorksectionError], tuple[Kind, str]] = {
    errors.InvalidCall: ("start", "nothing was sent"),
    errors.TokenStoreError: ("start", "nothing was sent"),
    errors.WaitTooLong: ("start", "nothing was sent"),
    errors.SessionClosed: ("start", "nothing was sent"),
    errors.StorageError: ("wait", "error.sent tells"),
    errors.TransportError: ("wait", "error.sent tells"),
    errors.UnexpectedReply: ("wait", "error.sent tells"),
    errors.ApiError: ("stop", "the service refused the call"),
}
"""Colours of errors and of the classes derived from them, and their meanings."""


def error_tree() -> Drawing:
    """Return the tree of errors, from the docstring of their module."""
    rows = re.findall(r"^    ([│├└─ ]*)(\w+(?: \(\w+\))?) +(\S.*)$", errors.__doc__ or "", re.MULTILINE)
    assert {row[1].partition(" ")[0] for row in rows} == set(errors.__all__)
    height = 92 + len(rows) * 32
    drawing = Drawing(860, height, "The tree of errors", "; ".join(f"{name}: {text}" for _, name, text in rows))
    parents: list[float] = []
    for number, (indent, name, text) in enumerate(rows):
        depth, y = len(indent) // 4, 16 + number * 32
        cls = getattr(errors, name.partition(" ")[0])
        kind: Kind = next((kind for base, (kind, _) in KINDS.items() if issubclass(cls, base)), "plain")
        x = 20 + 26 * depth
        parents[depth:] = [y + 28]
        if depth:
            drawing.line((x - 14, parents[depth - 1]), (x - 14, y + 14), (x, y + 14))
        drawing.swatch(x, y, 236, 28, kind)
        drawing.text(x + 10, y + 19, name)
        drawing.text(346, y + 19, text, "dim")
    legend(drawing, height - 40)
    return drawing


def legend(drawing: Drawing, y: float) -> None:
    """Explain the colours of the tree of errors."""
    for number, (kind, text) in enumerate(dict.fromkeys(KINDS.values())):
        x = 20 + number * 200
        drawing.swatch(x, y, 18, 18, kind)
        drawing.text(x + 26, y + 14, text, "dim")


def token_pair(spec: Spec) -> Drawing:
    """Return the life of a token pair."""
    oauth = spec.service.oauth
    day, month = oauth.access_ttl_seconds // 3600, oauth.refresh_ttl_seconds // 86400
    drawing = Drawing(760, 424, "The life of a token pair", "Login, use, refresh and rotation, end of the login.")
    drawing.text(24, 32, "The life of a token pair")
    drawing.box(
        24,
        50,
        300,
        ["The user logs in", f"code, valid for {oauth.code_ttl_seconds // 60} minutes → first pair"],
        "start",
    )
    drawing.arrow((174, 100), (174, 130))
    drawing.box(24, 132, 300, ["The pair is in the store", f"access token {day} h, refresh token {month} days"])
    drawing.arrow((324, 157), (434, 157))
    drawing.text(379, 148, "each call", "dim", "middle")
    drawing.box(436, 132, 300, ["A call is signed with the access token", "the store is shared by all programs"])
    drawing.arrow((586, 182), (586, 228))
    drawing.text(596, 210, "due soon, or refused", "dim")
    refresh = [
        "One refresh, under the lock of the store",
        "all calls wait for it",
        "the store is read again first",
    ]
    drawing.box(436, 230, 300, refresh, "wait")
    drawing.arrow((436, 264), (174, 264), (174, 183))
    drawing.text(305, 255, "new pair: saved before it is used,", "dim", "middle")
    drawing.text(305, 282, "the old pair is invalid at once", "dim", "middle")
    drawing.arrow((586, 298), (586, 348))
    drawing.text(596, 328, "refresh token refused", "dim")
    drawing.box(436, 350, 300, ["ReauthorizationRequired", "error.login_url leads to the login"], "stop")
    drawing.arrow((436, 375), (12, 375), (12, 75), (23, 75))
    drawing.text(224, 366, "the user logs in again", "dim", "middle")
    return drawing


def event() -> Drawing:
    """Return the way of an event to a handler: a webhook says when, the event log says what."""
    description = "A webhook wakes the watch, which reads the event log; the position is saved after the handler."
    drawing = Drawing(760, 376, "The way of an event", description)
    drawing.text(24, 32, "The way of an event")
    left, middle, right, width = 24, 285, 546, 190
    drawing.box(left, 50, width, ["Worksection", "a task is closed"], "start")
    drawing.box(middle, 50, width, ["WebhookReceiver", "answers OK at once"])
    drawing.box(right, 50, width, ["the doorbell", "receiver or RedisDoorbell"])
    drawing.box(left, 180, width, ["the event log", "complete for 30 days"])
    drawing.box(right, 180, width, ["ws.watch(…)", "also looks every 600 s"], "wait")
    drawing.box(middle, 310, width, ["the cursor", "the position in the log"])
    drawing.box(right, 310, width, ["your handler", "each event, in order"], "start")
    for start, word in ((left, "webhook"), (middle, "rings")):
        drawing.arrow((start + width, 75), (start + width + 70, 75))
        drawing.text(start + width + 35, 66, word, "dim", "middle")
    for start, top, word in ((left, 100, "is recorded"), (right, 100, "look now"), (right, 230, "event")):
        drawing.arrow((start + width / 2, top), (start + width / 2, top + 79))
        drawing.text(start + width / 2 + 10, top + 44, word, "dim")
    drawing.arrow((right, 194), (left + width + 1, 194))
    drawing.text(380, 186, "get_events: many webhooks, one request", "dim", "middle")
    drawing.arrow((left + width, 216), (right - 1, 216))
    drawing.text(380, 234, "all events since the position", "dim", "middle")
    drawing.arrow((right, 335), (middle + width + 1, 335))
    drawing.text(510, 326, "handled", "dim", "middle")
    return drawing
