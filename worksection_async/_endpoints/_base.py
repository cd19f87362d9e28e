"""What the generated classes have in common."""

from .._transport.caller import ActionCaller


class EndpointGroup:
    """Base class of the generated endpoint classes."""

    def __init__(self, caller: ActionCaller) -> None:
        self._caller = caller
