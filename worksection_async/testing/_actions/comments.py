"""Comments on tasks."""

from .. import _render as render
from .._reply import Record, ok
from .request import ActionRequest, action


@action
def get_comments(request: ActionRequest) -> Record:
    return ok([render.comment(comment, request.extra) for comment in reversed(request.task.comments)])


@action
def post_comment(request: ActionRequest) -> Record:
    task, author = request.task, request.author(required=True)
    comment = request.world.add_comment(task, request.full_text(), author=author, hidden=request.users("hidden"))
    for upload in request.attachments:
        request.world.add_file(comment, upload.name, upload.content, author=author)
    request.record_event("post", comment, {"text": comment.text})
    return ok(render.comment(comment))
