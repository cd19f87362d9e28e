"""Running timers: of all users, and of the user of a token."""

from .. import _render as render
from .._records import Timer
from .._reply import Record, ServiceRefusal, ok
from .request import ActionRequest, action


@action
def get_timers(request: ActionRequest) -> Record:
    return ok([render.timer(timer, request.world.now()) for timer in request.world.timers.values()])


@action
def stop_timer(request: ActionRequest) -> Record:
    timer = request.world.timers.get(request.params.number("timer"))
    if timer is None:
        raise ServiceRefusal("Timer not found")
    request.world.stop_timer(timer)
    return ok()


@action
def get_my_timer(request: ActionRequest) -> Record:
    timer = _own_timer(request)
    return ok(render.my_timer(timer, request.world.now()) if timer else [])


@action
def start_my_timer(request: ActionRequest) -> Record:
    if _own_timer(request):
        raise ServiceRefusal("Timer is already started")
    request.world.add_timer(request.task, request.principal.user)
    return ok()


@action
def stop_my_timer(request: ActionRequest) -> Record:
    request.world.stop_timer(_own_running_timer(request), request.params.text("comment"))
    return ok()


@action
def delete_my_timer(request: ActionRequest) -> Record:
    del request.world.timers[_own_running_timer(request).id]
    return ok()


def _own_timer(request: ActionRequest) -> Timer | None:
    return next((timer for timer in request.world.timers.values() if timer.user is request.principal.user), None)


def _own_running_timer(request: ActionRequest) -> Timer:
    timer = _own_timer(request)
    if timer is None:
        raise ServiceRefusal("Timer is not started")
    return timer
