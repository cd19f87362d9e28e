"""Files: lists, downloads, and uploads for later use in a task."""

from pathlib import PurePath

from .. import _render as render
from .._reply import Record, ServiceRefusal, missing_field, ok
from .request import ActionRequest, Download, action


@action
def get_files(request: ActionRequest) -> Record:
    """List the files of a task and its comments, or of a project's description and Files section."""
    if request.params.given("id_task"):
        files = [*request.task.files, *(file for comment in request.task.comments for file in comment.files)]
    else:
        files = request.project.files
    return ok([render.file(file, origin=True) for file in files])


@action
def download(request: ActionRequest) -> Download:
    file = request.world.files.get(request.params.number("id_file"))
    if file is None:
        raise ServiceRefusal("File not found")
    return Download(file)


@action
def upload_files(request: ActionRequest) -> Record:
    uploads = [upload for upload in request.uploads if upload.field.startswith("files[")]
    if not uploads:
        raise missing_field("files")
    rows: list[Record] = []
    for upload in uploads:
        extension = PurePath(upload.name).suffix.removeprefix(".").lower()
        rows.append({"id": request.world.add_upload(upload), "ext": extension, "name": upload.name, "icon": extension})
    return ok(rows)
