"""Uploads and downloads of files."""

import hashlib

import pytest

from .conftest import Raw

pytestmark = [pytest.mark.anyio, pytest.mark.one_row_on_trio]

PLAN, PHOTO = ("план & co.pdf", b"%PDF"), ("photo.JPG", b"\xff\xd8")
ATTACHED = [("attach[0]", PLAN), ("attach[1]", PHOTO), ("other", ("ignored.txt", b""))]


async def test_files_can_be_attached_to_a_task(raw: Raw) -> None:
    body = await raw.upload("post_task", ATTACHED, id_project=26, title="Read this")
    task = await raw.data("get_task", id_task=body["data"]["id"], extra="files")
    assert [(file["name"], file["size"]) for file in task["files"]] == [("план & co.pdf", "4"), ("photo.JPG", "2")]
    assert "date_added" not in task["files"][0]
    listed = await raw.data("get_files", id_task=task["id"])
    assert (listed[0]["date_added"], listed[0]["user_from"]["id"]) == ("2021-01-05 12:00", "3993")


async def test_files_can_be_attached_to_a_project_and_a_comment(raw: Raw) -> None:
    project = (await raw.upload("post_project", ATTACHED, title="Moon"))["data"]
    assert len(await raw.data("get_files", id_project=project["id"])) == 2
    query = {"id_task": 2601, "text": "see", "email_user_from": "kate.greenway@ws.com"}
    await raw.upload("post_comment", ATTACHED[:1], **query)
    (file,) = (await raw.data("get_comments", id_task=2601, extra="files"))[0]["files"]
    assert file.keys() == {"id", "page", "name", "size"}
    assert [row["id"] for row in await raw.data("get_files", id_task=2601)] == [file["id"]]


async def test_hash_does_not_cover_files(raw: Raw) -> None:
    query = raw.hashed(action="post_task", id_project=26, title="Read this")
    response = await raw.http.post(f"/api/admin/v2/?{query}", files=ATTACHED)
    assert len(raw.sim.tasks[int(response.json()["data"]["id"])].files) == 2


async def test_an_uploaded_file_can_be_used_once(raw: Raw) -> None:
    rows = (await raw.upload("upload_files", [("files[]", PLAN), *ATTACHED, ("files[]", PHOTO)]))["data"]
    assert [(row["name"], row["ext"]) for row in rows] == [("план & co.pdf", "pdf"), ("photo.JPG", "jpg")]
    task = await raw.data("post_task", id_project=26, title="x", files=rows)
    assert [raw.sim.content(file) for file in raw.sim.tasks[int(task["id"])].files] == [PLAN[1], PHOTO[1]]
    assert (await raw("post_task", id_project=26, title="x", files=rows))["message"] == "File not found"
    assert raw.sim._world.uploads == {}


async def test_upload_without_files_is_refused(raw: Raw) -> None:
    assert (await raw("upload_files"))["message_details"] == "files"


async def test_download_returns_the_content_and_headers(raw: Raw) -> None:
    file = raw.sim.add_file(raw.sim.tasks[2601], PLAN[0], PLAN[1])
    response = await raw.send("download", id_file=file.id)
    assert response.content == PLAN[1]
    assert {name: response.headers[name] for name in ("content-type", "content-length", "accept-ranges")} == {
        "content-type": "application/x-download",
        "content-length": "4",
        "accept-ranges": "bytes",
    }
    disposition = "attachment; filename*=UTF-8''%D0%BF%D0%BB%D0%B0%D0%BD%20%26%20co.pdf"
    assert response.headers["content-disposition"] == disposition
    assert response.headers["etag"] == f'"{hashlib.md5(PLAN[1]).hexdigest()}"'
    assert response.headers["last-modified"] == "Tue, 05 Jan 2021 12:00:00 GMT"


async def test_a_downloaded_json_file_is_not_an_envelope(raw: Raw) -> None:
    file = raw.sim.add_file(raw.sim.tasks[2601], "error.json", b'{"status":"error"}')
    response = await raw.send("download", id_file=file.id)
    assert response.headers["content-type"] == "application/x-download"
