"""The front of the simulator: from an HTTP request to its response, through everything that can get in between."""

from collections.abc import Awaitable, Callable

import attrs
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ._facts import ADMIN, LOGIN, LOGIN_ACTIONS, OAUTH, MAX_REQUEST_LINE_BYTES
from ._incoming import Incoming, read
from ._login import Login
from ._rate import RateCheck
from ._received import ReceivedRequest, settle
from ._reply import Reply, html_reply, takes_gzip, zipped
from ._service import Service
from ._webhooks import Webhooks
from .faults import Disconnect, Faults

DISCONNECT = "worksection.disconnect"
"""The ASGI message which says: send nothing, and let the client see ``kind``. Known to `_transport` and `_server`."""

_TOO_LONG = html_reply(414, "414 Request-URI Too Large")
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

Desk = Callable[[Incoming], Awaitable[Reply]]


@attrs.frozen
class Front:
    """What every request passes, in the order of `_respond`."""

    service: Service
    login: Login
    webhooks: Webhooks
    rate: RateCheck
    faults: Faults
    log: list[ReceivedRequest]
    monotonic: Callable[[], float]

    async def act(self, request: Request) -> Response:
        arrival = self.monotonic()
        return await self._respond(request, self._serve, arrival, self.rate.admits(arrival))

    async def log_in(self, request: Request) -> Response:
        """The account's limit is not for this: it is the business of another host."""
        return await self._respond(request, self._log_in, self.monotonic(), accepted=True)

    async def _serve(self, incoming: Incoming) -> Reply:
        """The URL of a new webhook is called first; nothing else is awaited, so that no request can come in between."""
        is_webhook = incoming.shown_params.get("action") == "add_webhook"
        webhook = self.service.new_webhook(incoming) if is_webhook else None
        return self.service.reply(incoming, url_answers=webhook is None or await self.webhooks.answers(webhook))

    async def _log_in(self, incoming: Incoming) -> Reply:
        return self.login.reply(incoming)

    async def _respond(self, request: Request, desk: Desk, arrival: float, accepted: bool) -> Response:
        incoming = await read(request)
        received = _received(request, incoming, arrival, accepted)
        self.log.append(received)
        if incoming.request_line > MAX_REQUEST_LINE_BYTES:
            return self._response(received, _TOO_LONG)
        if not accepted:
            return self._response(received, self.rate.refusal)
        return await self._meet_faults(received, incoming, desk)

    async def _meet_faults(self, received: ReceivedRequest, incoming: Incoming, desk: Desk) -> Response:
        async def execute() -> Reply:
            nonlocal received
            reply = await desk(incoming)
            received = settle(self.log, received, executed=reply.error is None, error=reply.error)
            return reply

        fault = self.faults.take(received.action)
        answer = await (fault.meet(execute) if fault else execute())
        if isinstance(answer, Disconnect):
            return _Silence(answer)
        return self._response(received, answer)

    def _response(self, received: ReceivedRequest, reply: Reply) -> Response:
        settle(self.log, received, status=reply.status)
        if takes_gzip(received.headers.get("accept-encoding", "")):
            reply = zipped(reply)
        return Response(reply.body, reply.status, {**_SERVICE_HEADERS, **reply.headers})


def create_app(front: Front) -> Starlette:
    paths = [path + slash for path in (ADMIN, OAUTH) for slash in ("", "/")]
    routes = [Route(path, front.act, methods=["GET", "POST"]) for path in paths]
    for path in (LOGIN.authorize, LOGIN.token, LOGIN.refresh):
        routes.append(Route(path, front.log_in, methods=["GET", "POST"]))
    return Starlette(routes=[*routes, Route(LOGIN.resource, front.log_in, methods=["POST"])])


class _Silence(Response):
    """No response."""

    def __init__(self, disconnect: Disconnect) -> None:
        super().__init__()
        self.disconnect = disconnect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send({"type": DISCONNECT, "kind": self.disconnect.kind})


def _received(request: Request, incoming: Incoming, arrival: float, accepted: bool) -> ReceivedRequest:
    params = incoming.shown_params
    return ReceivedRequest(
        method=incoming.method,
        path=incoming.path,
        query=incoming.query,
        headers={name: request.headers[name] for name in _LOGGED_HEADERS if name in request.headers},
        action=LOGIN_ACTIONS.get(incoming.path) or str(params.get("action", "")),
        params=params,
        arrived_at=arrival,
        accepted=accepted,
    )
