"""Webhooks: kept in a list here, called elsewhere."""

from .. import _render as render
from .._reply import Record, Refused, ok
from .call import Call, action


@action
def get_webhooks(call: Call) -> Record:
    return ok([render.webhook(webhook) for webhook in call.world.webhooks.values()])


@action
def add_webhook(call: Call) -> Record:
    url = call.params.text("url")
    if not call.url_answers:
        raise Refused("Url should respond 200 HTTP_CODE and JSON {status:OK}", url)
    webhook = call.world.add_webhook(
        url,
        call.params.names("events"),
        projects=call.params.numbers("projects"),
        http_user=call.params.text("http_user"),
        http_pass=call.params.text("http_pass"),
    )
    return ok(id=webhook.id)


@action
def delete_webhook(call: Call) -> Record:
    if call.world.webhooks.pop(call.params.number("id"), None) is None:
        raise Refused("WebHook not found")
    return ok()
