"""Attachments: the accepted types, the multipart body, retries, and sources that can be read only once."""

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import anyio
import anyio.lowlevel
import attrs
import httpx
import pytest

from worksection_async import Attachment, Session
from worksection_async._protocol.actions import ACTIONS
from worksection_async._protocol.attachments import FilePart, SinglePassSource, file_parts
from worksection_async._protocol.call import prepare
from worksection_async._transfer.spool import read_chunks
from worksection_async.errors import InvalidCall
from worksection_async.testing import Simulator

pytestmark = pytest.mark.one_row_on_trio

SessionWith = Callable[..., Session]

NAME = "Звіт «2026» – план.pdf"
CONTENT = bytes(range(256)) * 3


def part_of(attachment: object) -> FilePart:
    (part,) = file_parts("attach[{index}]", [attachment])
    return part


def content_of(part: FilePart) -> bytes:
    if isinstance(part.source, SinglePassSource):
        return anyio.run(joined, part.source)
    source = part.open()
    if isinstance(source, bytes):
        return source
    if isinstance(part.source, Path):
        with cast(BinaryIO, source) as file:
            return file.read()
    return source.read()


async def joined(source: SinglePassSource) -> bytes:
    return b"".join([chunk async for chunk in read_chunks(source, "post_task")])


class MultipartBody:
    """A parsed multipart body: field, name, media type and content of each file."""

    def __init__(self, request: httpx.Request) -> None:
        boundary = request.headers["Content-Type"].partition("boundary=")[2].encode()
        pieces = request.content.split(b"--" + boundary)[1:-1]
        self.files = [self._file(piece.removeprefix(b"\r\n").removesuffix(b"\r\n")) for piece in pieces]

    @staticmethod
    def _file(piece: bytes) -> tuple[str, str, str, bytes]:
        head, _, content = piece.partition(b"\r\n\r\n")
        disposition, _, media_type = head.decode().partition("\r\nContent-Type: ")
        field, _, name = disposition.removeprefix('Content-Disposition: form-data; name="').partition('"; filename="')
        return field, name.removesuffix('"'), media_type, content


class Service:
    """A fake service that stores the requests; its first replies are *failures*."""

    def __init__(self, *failures: httpx.Response | Exception) -> None:
        self.failures = list(failures)
        self.bodies: list[MultipartBody] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(MultipartBody(request))
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        return httpx.Response(200, json={"status": "ok", "data": {"id": "1"}})

    @property
    def files(self) -> list[tuple[str, str, str, bytes]]:
        (body,) = self.bodies
        return body.files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    path.write_bytes(CONTENT)
    return path


def opened_at(path: Path, position: int) -> io.BufferedReader:
    file = path.open("rb")
    file.seek(position)
    return file


class Pipe(io.RawIOBase):
    """A stream that is not seekable; it yields *content*, raises it, or (None) has no data yet."""

    def __init__(self, content: bytes | OSError | None) -> None:
        self._left = io.BytesIO(content) if isinstance(content, bytes) else content

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if not buffer:
            return 0
        if isinstance(self._left, OSError):
            raise self._left
        return None if self._left is None else self._left.readinto(buffer)


class AsyncChunks:
    """An async iterable of the given chunks."""

    def __init__(self, *chunks: Any) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> Any:
        for chunk in self._chunks:
            await anyio.lowlevel.checkpoint()
            yield chunk


# Accepted types

ATTACHMENTS: dict[str, tuple[Callable[[Path], Attachment], str, str, bytes]] = {
    "path": (lambda path: path, NAME, "application/pdf", CONTENT),
    "text": (str, NAME, "application/pdf", CONTENT),
    "path and name": (lambda path: ("b.txt", path), "b.txt", "text/plain", CONTENT),
    "path, name and type": (lambda path: ("b.txt", path, "image/x-own"), "b.txt", "image/x-own", CONTENT),
    "bytes": (lambda _: b"abc", "file", "application/octet-stream", b"abc"),
    "no bytes": (lambda _: b"", "file", "application/octet-stream", b""),
    "bytes and name": (lambda _: (NAME, b"abc"), NAME, "application/pdf", b"abc"),
    "bytes, name and type": (lambda _: ("a", b"abc", "text/x-own"), "a", "text/x-own", b"abc"),
    "open file": (lambda path: path.open("rb"), NAME, "application/pdf", CONTENT),
    "open file and name": (lambda path: ("c", path.open("rb")), "c", "application/octet-stream", CONTENT),
    "open file from the middle": (lambda path: opened_at(path, 100), NAME, "application/pdf", CONTENT[100:]),
    "open file at its end": (lambda path: opened_at(path, len(CONTENT)), NAME, "application/pdf", b""),
    "file in memory": (lambda _: io.BytesIO(b"abc"), "file", "application/octet-stream", b"abc"),
    "file without a name": (lambda _: tempfile.TemporaryFile(), "file", "application/octet-stream", b""),  # noqa: SIM115
    "stream": (lambda _: ("s.txt", Pipe(b"abc")), "s.txt", "text/plain", b"abc"),  # type: ignore[dict-item, return-value]
    "async iterable": (lambda _: AsyncChunks(b"a", b"", bytearray(b"bc")), "file", "application/octet-stream", b"abc"),
    "async iterable and name": (lambda _: (NAME, AsyncChunks(*[CONTENT] * 3)), NAME, "application/pdf", CONTENT * 3),
    "async iterable, name and type": (lambda _: ("a", AsyncChunks(b"abc"), "text/x-own"), "a", "text/x-own", b"abc"),
    "empty async iterable": (lambda _: ("a", AsyncChunks(), "text/x-own"), "a", "text/x-own", b""),
    "async generator": (lambda _: ("a.txt", aiter(AsyncChunks(b"abc"))), "a.txt", "text/plain", b"abc"),
    "async file": (lambda path: anyio.wrap_file(path.open("rb")), NAME, "application/pdf", CONTENT),
}


@attrs.frozen
class Sent:
    """An attachment, and the expected file in the request."""

    attachment: Attachment
    name: str
    media_type: str
    content: bytes


@pytest.fixture(params=ATTACHMENTS.values(), ids=list(ATTACHMENTS))
def sent(request: pytest.FixtureRequest, path: Path) -> Iterator[Sent]:
    make, *expected = request.param
    attachment = make(path)
    yield Sent(attachment, *expected)
    for item in attachment if isinstance(attachment, tuple) else (attachment,):
        file = getattr(item, "wrapped", item)
        if isinstance(file, io.IOBase):
            assert not file.closed  # a file that the caller opened is not closed by the session
            file.close()


def test_each_attachment_type_has_name_media_type_and_content(sent: Sent) -> None:
    part = part_of(sent.attachment)
    assert (part.field, part.name, part.media_type) == ("attach[0]", sent.name, sent.media_type)
    assert content_of(part) == sent.content


@pytest.mark.anyio
async def test_each_attachment_type_is_sent_completely(session_with: SessionWith, sent: Sent) -> None:
    service = Service()
    await session_with(service).post_task(26, "T", attach=[sent.attachment, ("second", b"2")])
    assert service.files == [
        ("attach[0]", sent.name, sent.media_type, sent.content),
        ("attach[1]", "second", "application/octet-stream", b"2"),
    ]


@pytest.mark.anyio
async def test_large_file_is_sent_completely_with_content_length(session_with: SessionWith, tmp_path: Path) -> None:
    (tmp_path / "long.bin").write_bytes(CONTENT * 1000)
    lengths = []

    def handler(request: httpx.Request) -> httpx.Response:
        lengths.append((int(request.headers["Content-Length"]), len(request.content)))
        return httpx.Response(200, json={"status": "ok", "data": {"id": "1"}})

    with opened_at(tmp_path / "long.bin", 70_000) as file:
        await session_with(handler).post_task(26, "T", attach=[file])
    ((announced, sent),) = lengths
    assert announced == sent
    assert 0 < sent - (len(CONTENT) * 1000 - 70_000) < 1000


def test_repr_of_a_part_does_not_show_its_content() -> None:
    assert "secret" not in repr(part_of(("a.txt", b"secret")))


# Invalid attachments


def closed_file() -> io.BytesIO:
    file = io.BytesIO(b"abc")
    file.close()
    return file


REFUSED: dict[str, tuple[object, str]] = {
    "missing file": (["gone.pdf"], "No such file or directory: 'gone.pdf'"),
    "folder": ([Path()], "Is a directory"),
    "one path": (Path("a.pdf"), "must be a sequence of files"),
    "one text": ("a.pdf", "must be a sequence of files"),
    "one bytes": (b"abc", "must be a sequence of files"),
    "one open file": (io.BytesIO(b"line\nline\n"), "must be a sequence of files"),
    "mapping": ({"a.pdf": b"abc"}, "must be a sequence of files"),
    "number": (5, "must be a sequence of files"),
    "number in a list": ([5], "an open binary file or an async iterable of bytes, got int"),
    "None in a list": ([None], "async iterable of bytes, got NoneType"),
    "file in text mode": ([io.StringIO("abc")], "async iterable of bytes, got StringIO"),
    "closed file": ([closed_file()], "closed file"),
    "name only": ([("a.pdf",)], r"must be \(name, file\) or \(name, file, media_type\)"),
    "tuple of four": ([("a", b"abc", "text/plain", {})], r"must be \(name, file\) or \(name, file, media_type\)"),
    "number for a name": ([(5, b"abc")], r"must be \(name, file\)"),
    "async iterable of text": ([("a", AsyncChunks("abc"))], "a file must contain bytes, got str"),
    "pipe without data": ([("a", Pipe(None))], "a file must contain bytes, got NoneType"),
    "pipe that breaks": (
        [("a", Pipe(OSError(5, "Input/output error")))],
        "cannot read the file: .* Input/output error",
    ),
    "line break in a type": ([("a", b"abc", "text/plain\r\nX: y")], r"must be \(name, file\)"),
    "lone surrogate in a name": ([("\ud83d", b"abc")], "surrogates not allowed"),
}


@pytest.mark.anyio
@pytest.mark.parametrize(("attach", "problem"), REFUSED.values(), ids=REFUSED.keys())
async def test_invalid_attachments_are_refused_before_sending(
    session_with: SessionWith, attach: Any, problem: str
) -> None:
    service = Service()
    with pytest.raises(InvalidCall, match=problem) as caught:
        await session_with(service).post_task(26, "T", attach=attach)
    assert str(caught.value).startswith("post_task: ")
    assert caught.value.sent is False
    assert service.bodies == []


@pytest.mark.anyio
async def test_one_missing_file_prevents_the_whole_upload(session_with: SessionWith, path: Path) -> None:
    service = Service()
    with pytest.raises(InvalidCall, match="gone"):
        await session_with(service).upload_files([path, path.with_name("gone.pdf")])
    assert service.bodies == []


def test_a_file_without_permission_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied", NAME)

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(InvalidCall, match=r"files: \[Errno 13\] Permission denied"):
        prepare(ACTIONS["upload_files"], {"files": [path]})


@pytest.mark.anyio
async def test_an_empty_list_attaches_nothing(session_with: SessionWith) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert "Content-Type" not in request.headers
        assert request.content == b""
        return httpx.Response(200, json={"status": "ok", "data": {"id": "1"}})

    assert (await session_with(handler).post_task(26, "T", attach=[])).id == 1


# Names and retries


@pytest.mark.anyio
async def test_file_names_are_utf_8_and_cannot_break_the_header(session_with: SessionWith) -> None:
    service = Service()
    await session_with(service).upload_files([(NAME, b""), ("Ім'я 'їжак'.txt", b""), ('a"; x="\r\nb.txt', b"")])
    assert [name for _, name, _, _ in service.files] == [NAME, "Ім'я 'їжак'.txt", "a%22; x=%22%0D%0Ab.txt"]
    assert {field for field, *_ in service.files} == {"files[]"}


class OpenedFiles:
    """Records the files that are opened by their path."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: list[Any] = []
        open_ = Path.open

        def opened(path: Path, *args: Any, **options: Any) -> Any:
            self.files.append(open_(path, *args, **options))
            return self.files[-1]

        monkeypatch.setattr(Path, "open", opened)


def failures() -> list[Any]:
    """Return failures after which every action is retried."""
    refusal = {"status": "error", "message": "Too many requests"}
    return [
        pytest.param(httpx.Response(200, json=refusal), id="rate-limited"),
        pytest.param(httpx.ConnectError("no route to host"), id="never-sent"),
    ]


@pytest.mark.anyio
@pytest.mark.parametrize("failure", failures())
@pytest.mark.usefixtures("no_retry_delay")
async def test_path_is_opened_and_closed_for_each_attempt(
    session_with: SessionWith, path: Path, failure: httpx.Response | Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = OpenedFiles(monkeypatch)
    service = Service(failure)
    await session_with(service).upload_files([path])
    assert [body.files[0][3] for body in service.bodies] == [CONTENT, CONTENT]
    assert [file.closed for file in opened.files] == [True, True, True]  # one check, two attempts


@pytest.mark.anyio
@pytest.mark.parametrize("failure", failures())
@pytest.mark.parametrize("position", [0, 100])
@pytest.mark.usefixtures("no_retry_delay")
async def test_retry_sends_an_open_file_from_its_initial_position(
    session_with: SessionWith,
    path: Path,
    position: int,
    failure: httpx.Response | Exception,
) -> None:
    service = Service(failure)
    memory = io.BytesIO(CONTENT)
    memory.seek(position)
    rest = CONTENT[position:]
    with opened_at(path, position) as file:
        attach: list[Any] = [file, memory, ("s", Pipe(rest)), ("i", AsyncChunks(rest[:9], rest[9:]))]
        await session_with(service).post_task(26, "T", attach=attach)
        assert not file.closed
    assert len(service.bodies) == 2
    for body in service.bodies:
        assert [content for *_, content in body.files] == [rest] * 4


@pytest.mark.anyio
async def test_file_deleted_before_sending_raises_invalid_call(
    session_with: SessionWith, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service()
    session = session_with(service)
    enter, vanish = session.limiter.enter, path.unlink

    def late(*args: Any, **options: Any) -> None:
        vanish()
        enter(*args, **options)

    monkeypatch.setattr(session.limiter, "enter", late)
    with pytest.raises(InvalidCall, match="cannot be read: No such file or directory"):
        await session.upload_files([path])
    assert service.bodies == []


# Sources that can be read only once


class FailingIterable:
    """An async iterable that raises *error* after its first chunk."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def __aiter__(self) -> Any:
        yield CONTENT
        raise self.error


@pytest.mark.anyio
@pytest.mark.parametrize("error", [ValueError("mine"), OSError("mine"), KeyError("mine")])
async def test_exception_of_an_async_iterable_is_passed_through(session_with: SessionWith, error: Exception) -> None:
    service = Service()
    with pytest.raises(type(error), match="mine") as caught:
        await session_with(service).post_task(26, "T", attach=[("a", FailingIterable(error))])
    assert caught.value is error
    assert service.bodies == []


@pytest.mark.anyio
async def test_async_iterable_is_read_before_a_slot_is_acquired(
    session_with: SessionWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the slot would expire while a slow source is read."""
    session = session_with(Service())
    order: list[str] = []
    enter = session.limiter.enter

    def entered(*args: Any, **options: Any) -> None:
        order.append("enter")
        enter(*args, **options)

    async def source() -> Any:
        yield b"abc"
        order.append("read")

    monkeypatch.setattr(session.limiter, "enter", entered)
    await session.post_task(26, "T", attach=[("a", source())])
    assert order == ["read", "enter"]


@pytest.mark.anyio
async def test_temporary_copies_are_deleted(session_with: SessionWith, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []

    def temporary() -> Any:
        kept.append(tempfile.TemporaryFile())  # noqa: SIM115
        return kept[-1]

    monkeypatch.setattr("worksection_async._transfer.disk.TemporaryFile", temporary)
    async with session_with(Service()) as ws:
        await ws.post_task(26, "T", attach=[("a", AsyncChunks(b"a")), ("b", Pipe(b"b"))])  # type: ignore[list-item]
        with pytest.raises(KeyError):
            await ws.post_task(26, "T", attach=[("a", AsyncChunks(b"a")), ("b", FailingIterable(KeyError()))])
    assert [file.closed for file in kept] == [True] * 4


@pytest.mark.anyio
async def test_named_pipe_is_refused_without_opening_it(session_with: SessionWith, tmp_path: Path) -> None:
    """Opening a named pipe blocks until another process writes to it."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidCall, match="is not a regular file"):
        await session_with(Service()).post_task(26, "T", attach=[tmp_path / "pipe"])


@pytest.mark.anyio
async def test_simulator_stores_unicode_file_names() -> None:
    sim = Simulator(seed="empty")
    task = sim.add_task(sim.add_project("Moon"), "Launch")
    names = ["Звіт «2026» – план.pdf", "Ім'я 'їжак'.txt", "名前.txt", "😀 (1).png"]
    async with sim, sim.session() as ws:
        comment = await ws.post_comment(
            task.id,
            text="see",
            attach=[(name, AsyncChunks(b"x")) for name in names],
            email_user_from=sim.owner.email,
        )
        stored = await ws.upload_files([(name, b"y") for name in names])
    assert [file.name for file in sim.comments[comment.id].files] == names
    assert [file.name for file in stored] == names


@pytest.mark.anyio
async def test_projects_tasks_and_comments_accept_attachments() -> None:
    sim = Simulator(seed="empty")
    async with sim.session() as ws:
        project = await ws.post_project("Moon", email_user_from="owner@example.com", attach=[("план.txt", b"one")])
        task = await ws.post_task(project.id, "Launch", attach=[("таск.txt", b"two")])
        await ws.post_comment(task.id, text="See", email_user_from="owner@example.com", attach=[("їжак.txt", b"three")])
    stored = {file.name: sim.content(file) for file in sim.files.values()}
    assert stored == {"план.txt": b"one", "таск.txt": b"two", "їжак.txt": b"three"}
