"""The front of the simulator: from an HTTP request to its response, through everything that can get in between."""

from collections.abc import Callable

import attrs
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ._facts import ADMIN, OAUTH, REQUEST_LINE_BYTES
from ._incoming import Incoming, read
from ._rate import RateCheck
from ._received import ReceivedRequest, settle
from ._reply import Reply, html_reply
from ._service import Service
from .faults import Disconnect, Faults

DISCONNECT = "worksection.disconnect"
"""The ASGI message which says: send nothing, and let the client see ``kind``. Known to `_transport` and `_server`."""

_TOO_LONG = html_reply(414, "414 Request-URI Too Large")
_SERVICE_HEADERS = {"Server": "nginx", "Access-Control-Allow-Origin": "*", "Set-Cookie": "rsid=simulated; path=/"}
_LOGGED_HEADERS = ("authorization", "content-type", "accept", "user-agent", "cookie", "content-length")


@attrs.frozen
class Front:
    """What every request passes, in the order of `respond`."""

    service: Service
    rate: RateCheck
    faults: Faults
    log: list[ReceivedRequest]
    monotonic: Callable[[], float]

    async def respond(self, request: Request) -> Response:
        arrival = self.monotonic()
        accepted = self.rate.admits(arrival)
        incoming = await read(request)
        received = _received(request, incoming, arrival, accepted)
        self.log.append(received)
        if incoming.request_line > REQUEST_LINE_BYTES:
            return self._response(received, _TOO_LONG)
        if not accepted:
            return self._response(received, self.rate.refusal)
        return await self._meet_faults(received, incoming)

    async def _meet_faults(self, received: ReceivedRequest, incoming: Incoming) -> Response:
        def execute() -> Reply:
            nonlocal received
            reply = self.service.reply(incoming)
            received = settle(self.log, received, executed=reply.error is None, error=reply.error)
            return reply

        fault = self.faults.take(received.action)
        answer = await fault.meet(execute) if fault else execute()
        if isinstance(answer, Disconnect):
            return _Silence(answer)
        return self._response(received, answer)

    def _response(self, received: ReceivedRequest, reply: Reply) -> Response:
        settle(self.log, received, status=reply.status)
        return Response(reply.body, reply.status, {**_SERVICE_HEADERS, **reply.headers})


def create_app(front: Front) -> Starlette:
    paths = [path + slash for path in (ADMIN, OAUTH) for slash in ("", "/")]
    return Starlette(routes=[Route(path, front.respond, methods=["GET", "POST"]) for path in paths])


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
        action=str(params.get("action", "")),
        params=params,
        arrived_at=arrival,
        accepted=accepted,
    )
