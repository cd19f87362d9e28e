"""Webhooks: registration only; `worksection_async.testing._webhooks` calls them."""

from .. import _render as render
from .._reply import Record, ServiceRefusal, ok
from .request import ActionRequest, action


@action
def get_webhooks(request: ActionRequest) -> Record:
    return ok([render.webhook(webhook) for webhook in request.world.webhooks.values()])


@action
def add_webhook(request: ActionRequest) -> Record:
    url = request.params.text("url")
    if not request.url_answers:
        raise ServiceRefusal("Url should respond 200 HTTP_CODE and JSON {status:OK}", url)
    webhook = request.world.add_webhook(
        url,
        request.params.names("events"),
        projects=request.params.numbers("projects"),
        http_user=request.params.text("http_user"),
        http_pass=request.params.text("http_pass"),
    )
    return ok(id=webhook.id)


@action
def delete_webhook(request: ActionRequest) -> Record:
    if request.world.webhooks.pop(request.params.number("id"), None) is None:
        raise ServiceRefusal("WebHook not found")
    return ok()
