"""Records the requests of a command, for the message after Ctrl-C."""

from __future__ import annotations

import attrs

from .._protocol.actions import ACTIONS
from .._transport.call_events import CallEvent


@attrs.define(eq=False)
class Journal:
    """Records the `CallEvent` of each request, and of the call that was interrupted."""

    answered: int = 0
    """Number of requests that the service has answered."""
    interrupted: CallEvent | None = None
    _was_refused: bool = False

    def add(self, event: CallEvent) -> None:
        """Record the end of a request or of a call."""
        if event.kind == "attempt":
            self.answered += event.answer == "reply" and event.outcome != "Cancelled"
            self._was_refused = event.answer == "refused"
        elif event.outcome == "Cancelled":
            self.interrupted = event

    def summary(self) -> str:
        """Return what was sent and what was not."""
        sentences = ["Interrupted."]
        if self.answered:
            noun = "request was" if self.answered == 1 else "requests were"
            sentences.append(f"{self.answered} {noun} sent and answered.")
        if self.interrupted is not None:
            sentences.append(self._of_call(self.interrupted))
        elif not self.answered:
            sentences.append("No request was sent.")
        return " ".join(sentences)

    def _of_call(self, event: CallEvent) -> str:
        if not event.attempt:
            return f"{event.action} was not sent."
        if self._was_refused:
            return f"{event.action} was refused as too early, and not executed."
        action = ACTIONS.get(event.action)
        advice = (
            "It only reads."
            if action is not None and action.kind == "read"
            else "It may have been executed: check before you repeat it."
        )
        return f"{event.action} was sent, and its reply did not arrive. {advice}"
