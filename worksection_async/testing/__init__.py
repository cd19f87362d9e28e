"""A stateful stand-in for the service, to test your program (and this package) without an account."""

# General layout:
#
# _simulator.py   Simulator: holds the parts below together, and the ways to reach them
# _transport.py   in process, for httpx        _server.py     through a socket, by uvicorn
# _app.py         a request's way in: _rate.py → _incoming.py → _received.py (the log) → faults.py
# _service.py     _credentials.py → _params.py → _checks.py → _actions/ → _reply.py
# _login.py       OAuth2: _oauth.py what is issued and rotated, _consent.py the page (drawn by _pages.py)
# _webhooks.py    calls the addresses of webhooks when something happened
# world.py        the account; records.py what it holds; _seeds.py what it starts with
# _render.py      records as the service writes them; _formats.py, _filters.py its little languages
# _facts.py       the spec, which the client is generated from and the simulator obeys

from . import faults, records
from ._received import ReceivedRequest
from ._simulator import Simulator
from ._webhooks import Delivery
from .faults import Fault
from .world import World

__all__ = ["Delivery", "Fault", "ReceivedRequest", "Simulator", "World", "faults", "records"]
