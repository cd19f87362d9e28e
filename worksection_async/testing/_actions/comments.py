"""Comments on tasks."""

from .. import _render as render
from .._reply import Record, ok
from .call import Call, action


@action
def get_comments(call: Call) -> Record:
    return ok([render.comment(comment, call.extra) for comment in reversed(call.task.comments)])


@action
def post_comment(call: Call) -> Record:
    task, author = call.task, call.author(required=True)
    comment = call.world.add_comment(task, call.written_text(), author=author, hidden=call.users("hidden"))
    for upload in call.attachments:
        call.world.add_file(comment, upload.name, upload.content, author=author)
    call.record_event("post", comment, {"text": comment.text})
    return ok(render.comment(comment))
