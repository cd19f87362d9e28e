"""The ASGI application of the simulator: rate limit, request log, scripted faults, then the service or the login."""

import logging
from collections.abc import Awaitable, Callable
from email.utils import formatdate

import attrs
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from .._transport.clock import Clock
from ..errors import mask_secrets
from ._constants import ADMIN, LOGIN, LOGIN_ACTIONS, MAX_REQUEST_LINE_BYTES, OAUTH
from ._login import Login
from ._rate import RateCheck
from ._reply import SimulatedReply, accepts_gzip, gzipped, html_reply
from ._request import IncomingRequest, read_request
from ._request_log import ReceivedRequest, record_outcome
from ._service import Service
from ._webhooks import Webhooks
from .faults import Disconnect, Faults

logger = logging.getLogger("worksection_async.simulator")

DISCONNECT = "worksection.disconnect"
"""Type of the ASGI message that drops the connection; ``kind`` is the failure. See `_transport` and `_server`."""

_URI_TOO_LONG = html_reply(414, "414 Request-URI Too Large")
_SERVICE_HEADERS = {"Server": "nginx", "Access-Control-Allow-Origin": "*", "Set-Cookie": "rsid=simulated; path=/"}
_LOGGED_HEADERS = (
    "authorization",
    "content-type",
    "accept",
    "accept-encoding",
    "user-agent",
    "cookie",
    "content-length",
)

RequestHandler = Callable[[IncomingRequest], Awaitable[SimulatedReply]]


@attrs.frozen
class RequestPipeline:
    """The stages of every request, in the order of `_respond`."""

    service: Service
    login: Login
    webhooks: Webhooks
    rate: RateCheck
    faults: Faults
    log: list[ReceivedRequest]
    clock: Clock

    async def handle_api(self, request: Request) -> Response:
        """Answer a request to the API."""
        arrival = self.clock.monotonic()
        return await self._respond(request, self._serve_api, arrival, self.rate.admits(arrival))

    async def handle_login(self, request: Request) -> Response:
        """Answer a request to an OAuth2 path; the rate limit does not apply, because OAuth2 has a host of its own."""
        return await self._respond(request, self._serve_login, self.clock.monotonic(), accepted=True)

    async def _serve_api(self, incoming: IncomingRequest) -> SimulatedReply:
        """Carry out an action. Only the check of a new webhook's URL is awaited: all else is atomic."""
        is_webhook = incoming.loggable_params.get("action") == "add_webhook"
        webhook = self.service.new_webhook(incoming) if is_webhook else None
        return self.service.reply(incoming, url_answers=webhook is None or await self.webhooks.check_url(webhook))

    async def _serve_login(self, incoming: IncomingRequest) -> SimulatedReply:
        return self.login.reply(incoming)

    async def _respond(self, request: Request, handler: RequestHandler, arrival: float, accepted: bool) -> Response:
        incoming = await read_request(request)
        is_login = incoming.path in LOGIN_ACTIONS
        sender = incoming.form.get("client_id", "unknown") if is_login else self.service.sender_of(incoming)
        received = _log_entry(request, incoming, sender, arrival, accepted)
        self.log.append(received)
        if incoming.request_line_bytes > MAX_REQUEST_LINE_BYTES:
            return self._response(received, _URI_TOO_LONG)
        if not accepted:
            return self._response(received, self.rate.refusal)
        return await self._with_faults(received, incoming, handler)

    async def _with_faults(
        self, received: ReceivedRequest, incoming: IncomingRequest, handler: RequestHandler
    ) -> Response:
        async def execute() -> SimulatedReply:
            nonlocal received
            reply = await handler(incoming)
            received = record_outcome(self.log, received, executed=reply.error is None, error=reply.error)
            return reply

        fault = self.faults.take(received.action)
        outcome = await (fault.apply(execute) if fault else execute())
        if isinstance(outcome, Disconnect):
            _log(received)
            return _NoResponse(outcome)
        return self._response(received, outcome)

    def _response(self, received: ReceivedRequest, reply: SimulatedReply) -> Response:
        _log(record_outcome(self.log, received, status=reply.status))
        if accepts_gzip(received.headers.get("accept-encoding", "")):
            reply = gzipped(reply)
        date = formatdate(self.clock.time(), usegmt=True)
        return Response(reply.body, reply.status, {**_SERVICE_HEADERS, "Date": date, **reply.headers})


def create_app(pipeline: RequestPipeline) -> Starlette:
    paths = [path + slash for path in (ADMIN, OAUTH) for slash in ("", "/")]
    routes = [Route(path, pipeline.handle_api, methods=["GET", "POST"]) for path in paths]
    for path in (LOGIN.authorize, LOGIN.token, LOGIN.refresh):
        routes.append(Route(path, pipeline.handle_login, methods=["GET", "POST"]))
    return Starlette(routes=[*routes, Route(LOGIN.resource, pipeline.handle_login, methods=["POST"])])


class _NoResponse(Response):
    """Drops the connection instead of an answer."""

    def __init__(self, disconnect: Disconnect) -> None:
        super().__init__()
        self.disconnect = disconnect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send({"type": DISCONNECT, "kind": self.disconnect.kind})


def _log(received: ReceivedRequest) -> None:
    """Log one line, which contains no secret; line breaks in names would forge lines."""
    action, sender = mask_secrets(received.action) or "(no action)", mask_secrets(received.sender)
    line = f"{action} by {sender}: {received.outcome}"
    logger.info("%s", "".join(character if character.isprintable() else " " for character in line))


def _log_entry(
    request: Request, incoming: IncomingRequest, sender: str, arrival: float, accepted: bool
) -> ReceivedRequest:
    params = incoming.loggable_params
    return ReceivedRequest(
        method=incoming.method,
        path=incoming.path,
        query=incoming.query,
        headers={name: request.headers[name] for name in _LOGGED_HEADERS if name in request.headers},
        action=LOGIN_ACTIONS.get(incoming.path) or str(params.get("action", "")),
        sender=sender,
        params=params,
        arrived_at=arrival,
        accepted=accepted,
    )
