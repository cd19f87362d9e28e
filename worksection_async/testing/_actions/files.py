"""Files: lists, bytes, and those stored ahead of a task."""

from pathlib import PurePath

from .. import _render as render
from .._reply import Record, Refused, missing, ok
from .call import Call, Download, action


@action
def get_files(call: Call) -> Record:
    """Of a task: its description's and its comments'. Of a project: those of the description and the section."""
    if call.params.given("id_task"):
        files = [*call.task.files, *(file for comment in call.task.comments for file in comment.files)]
    else:
        files = call.project.files
    return ok([render.file(file, origin=True) for file in files])


@action
def download(call: Call) -> Download:
    file = call.world.files.get(call.params.number("id_file"))
    if file is None:
        raise Refused("File not found")
    return Download(file)


@action
def upload_files(call: Call) -> Record:
    uploads = [upload for upload in call.uploads if upload.field.startswith("files[")]
    if not uploads:
        raise missing("files")
    rows: list[Record] = []
    for upload in uploads:
        extension = PurePath(upload.name).suffix.removeprefix(".").lower()
        rows.append({"id": call.world.add_upload(upload), "ext": extension, "name": upload.name, "icon": extension})
    return ok(rows)
