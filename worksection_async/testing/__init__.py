"""A stateful simulator of the service, for tests of your program (and of this package) without an account."""

# General layout:
#
# _simulator.py   Simulator: creates and connects the parts below
# _clock.py       the virtual clock, for the simulator and its clients
# _transport.py   access in process, for httpx        _server.py     access through a socket, with uvicorn
# _app.py         the ASGI application: _rate.py → _request.py → _request_log.py → faults.py
# _service.py     the API: _credentials.py → _params.py → _checks.py → _actions/ → _reply.py
# _login.py       OAuth2: _oauth.py issues and rotates tokens, _consent.py is the login page (HTML in _pages.py)
# _webhooks.py    calls the URLs of webhooks after each event; _webhook_call.py is one call
# _content.py     the content of the account, as models (_reading.py)
# _account.py     the verbs that change it: models in and out (_fields.py); _account_file.py stores it
# _world.py       the account; _records.py its records; _seeds.py its initial content
# _render.py      records as JSON; _formats.py, _filters.py the formats of values and of filters
# _constants.py   limits, scopes and error codes from the spec, from which the client is generated, too

from ..models._extras import needs_extra

with needs_extra("testing", "Simulator"):
    import python_multipart  # noqa: F401  # starlette imports it only when it reads a form

    from . import faults
    from ._clock import VirtualClock
    from ._request_log import ReceivedRequest
    from ._simulator import Simulator
    from ._webhooks import Delivery
    from .faults import Fault

__all__ = ["Delivery", "Fault", "ReceivedRequest", "Simulator", "VirtualClock", "faults"]
