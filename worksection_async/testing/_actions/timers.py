"""Running timers: everybody's, and the one of a token's user."""

from .. import _render as render
from .._reply import Record, Refused, ok
from ..records import Timer
from .call import Call, action


@action
def get_timers(call: Call) -> Record:
    return ok([render.timer(timer, call.world.now()) for timer in call.world.timers.values()])


@action
def stop_timer(call: Call) -> Record:
    timer = call.world.timers.get(call.params.number("timer"))
    if timer is None:
        raise Refused("Timer not found")
    call.world.stop_timer(timer)
    return ok()


@action
def get_my_timer(call: Call) -> Record:
    timer = _mine(call)
    return ok(render.my_timer(timer, call.world.now()) if timer else [])


@action
def start_my_timer(call: Call) -> Record:
    if _mine(call):
        raise Refused("Timer is already started")
    call.world.add_timer(call.task, call.caller.user)
    return ok()


@action
def stop_my_timer(call: Call) -> Record:
    call.world.stop_timer(_started(call), call.params.text("comment"))
    return ok()


@action
def delete_my_timer(call: Call) -> Record:
    del call.world.timers[_started(call).id]
    return ok()


def _mine(call: Call) -> Timer | None:
    return next((timer for timer in call.world.timers.values() if timer.user is call.caller.user), None)


def _started(call: Call) -> Timer:
    timer = _mine(call)
    if timer is None:
        raise Refused("Timer is not started")
    return timer
