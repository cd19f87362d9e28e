"""From a request to its reply, a line per stage and nothing awaited: no other request can come in between."""

import re
from collections.abc import Callable
from typing import Any

import attrs

from ._actions import HANDLERS, Call, Download
from ._checks import admit
from ._credentials import Caller, Tokens, is_signed_by_hash, is_signed_by_header, is_signed_by_page
from ._facts import ACTIONS, OAUTH
from ._incoming import Incoming
from ._params import Params
from ._ranges import file_reply
from ._reply import Refused, Reply, error_reply, json_reply
from .world import World


@attrs.frozen
class Service:
    """The account's API."""

    world: World
    tokens: Tokens
    api_key: str = attrs.field(repr=False)
    clock: Callable[[], float]

    def reply(self, incoming: Incoming, *, url_answers: bool = True) -> Reply:
        try:
            call = self._admit(incoming)
            answer = HANDLERS[call.params.text("action")](attrs.evolve(call, url_answers=url_answers))
            return file_reply(answer.file, incoming.wanted) if isinstance(answer, Download) else json_reply(answer)
        except Refused as refused:
            return error_reply(refused)

    def new_webhook(self, incoming: Incoming) -> Params | None:
        """Return what a webhook is to be like whose URL is to be called before the reply, if it is about one."""
        try:
            params = self._admit(incoming).params
        except Refused:
            return None
        return params if params.text("action") == "add_webhook" else None

    def _admit(self, incoming: Incoming) -> Call:
        caller, values = self._identify(incoming)
        action = str(values["action"])
        self._authorize(caller, action)
        params = admit(ACTIONS[action], Params(values), self.world)
        return Call(params, caller, self.world, incoming.uploads)

    def _identify(self, incoming: Incoming) -> tuple[Caller, dict[str, Any]]:
        """Return who is asking, and the parameters his kind of credential lets through."""
        if incoming.path.rstrip("/") == OAUTH:
            return self._token_caller(incoming), _with_action(incoming.params)
        owner = Caller(self.world.owner, by_key=True)
        if incoming.authorization:
            values = _with_action(incoming.params)
            action = str(incoming.query_params.get("action", ""))
            if is_signed_by_header(incoming.authorization, action, self.api_key, self.clock()):
                return owner, values | {"action": action}
        elif is_signed_by_hash(incoming.query, self.api_key):
            return owner, _with_action(incoming.query_params)
        elif is_signed_by_page(values := _with_action(incoming.params), self.api_key):
            return owner, _ids_of_page(values["page"]) | values
        raise Refused("Action hash is missed or invalid")

    def _token_caller(self, incoming: Incoming) -> Caller:
        scheme, _, token = incoming.authorization.partition(" ")
        if scheme.lower() != "bearer":
            token = str(incoming.query_params.get("access_token", ""))
        return self.tokens.caller(token)

    def _authorize(self, caller: Caller, action: str) -> None:
        """Only tokens may do some actions; what the service says about a scope not granted was never seen."""
        spec = ACTIONS.get(action)
        if spec is None or (spec.credential == "token" and caller.by_key):
            raise Refused("Action is invalid")
        if spec.scope not in caller.scopes:
            raise Refused("Access denied")


def _with_action(values: dict[str, Any]) -> dict[str, Any]:
    if not values.get("action"):
        raise Refused("Action is required")
    return values


def _ids_of_page(page: str) -> dict[str, Any]:
    """Read ``/project/P/…/T/``, by which the older scheme names projects and tasks."""
    match = re.fullmatch(r"/project/(\d+)/(?:(?:\d+/)*(\d+)/)?", page, re.ASCII)
    ids = {"id_project": match[1], "id_task": match[2]} if match else {}
    return {name: number for name, number in ids.items() if number}
