"""Resumable downloads, open downloads as streams of chunks, runs of many downloads, and ``call download``."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import random
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import anyio
import attrs
import httpx
import pytest

from tests.support.constants import KEY
from tests.support.tcp import TcpServer
from worksection_async import ApiKey, Session, TokenBucket
from worksection_async.__main__ import main
from worksection_async._cli._screen import Screen
from worksection_async._transfer.destination import _try_move
from worksection_async._transfer.file_names import numbered
from worksection_async.errors import InvalidCall, NotFound, StorageError, TransportError, UnexpectedReply
from worksection_async.models import File
from worksection_async.testing import Simulator, faults

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("no_retry_delay", "one_ssl_context"),
    # httpx does not close its own generators on trio
    pytest.mark.filterwarnings("ignore:Exception ignored .*<async_generator"),
]

Make = Callable[..., Session]
Serve = Callable[..., TcpServer]

CONTENT = random.Random(5).randbytes(3_000_000)
HANG_SECONDS = 60.0


def session_at(server: TcpServer, **options: Any) -> Session:
    return Session(server.url, ApiKey(KEY), **{"limiter": TokenBucket(1e6), **options})


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@attrs.define
class Store:
    """A server with one file; it closes each connection after the next offset in *cuts*."""

    cuts: list[int]
    content: bytes = CONTENT
    headers: dict[str, str] = attrs.field(factory=lambda: {"Accept-Ranges": "bytes", "ETag": '"v1"'})
    has_ranges: bool = True
    """Whether it supports the header Range."""
    shift: int = 0
    """Bytes that are added to the requested offset: such a reply is wrong."""
    requested: list[dict[str, str]] = attrs.field(factory=list)
    """The headers of the requests that concern ranges."""

    def __call__(self, server: TcpServer, connection: socket.socket) -> None:
        server.read_request(connection)
        head = server.received[-1].partition(b"\r\n\r\n")[0].decode()
        headers = dict(re.findall(r"(?m)^([\w-]+): (.*?)\r?$", head))
        self.requested.append({name: headers[name] for name in ("Range", "If-Range") if name in headers})
        start = int(headers["Range"][6:-1]) + self.shift if self.has_ranges and "Range" in headers else 0
        end = self.cuts.pop(0) if self.cuts else len(self.content)
        connection.sendall(self.head(start) + self.content[start:end])
        connection.close()

    def head(self, start: int) -> bytes:
        whole = len(self.content)
        lines = [
            "HTTP/1.1 206 Partial Content" if start else "HTTP/1.1 200 OK",
            f"Content-Length: {whole - start}",
            "Content-Disposition: attachment; filename*=UTF-8''plan.pdf",
            *([f"Content-Range: bytes {start}-{whole - 1}/{whole}"] if start else []),
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode()


# Lost connections


@pytest.mark.parametrize("has_ranges", [True, False])
async def test_download_survives_a_lost_connection_at_any_offset(
    serve: Serve, tmp_path: Path, has_ranges: bool
) -> None:
    for seed in range(10):
        cut = random.Random(seed).randrange(len(CONTENT))
        store = Store([cut], has_ranges=has_ranges)
        async with session_at(serve(store)) as ws:
            saved = await ws.download(5, tmp_path / str(seed))
        assert saved.size == len(CONTENT)
        assert digest((tmp_path / str(seed)).read_bytes()) == digest(CONTENT)
        assert store.requested == [{}, {"Range": f"bytes={cut}-", "If-Range": '"v1"'} if cut else {}]


async def test_each_byte_is_requested_once_over_ten_lost_connections(serve: Serve, tmp_path: Path) -> None:
    cuts = sorted(random.Random(3).sample(range(1, len(CONTENT)), 10))
    store, reports = Store(list(cuts)), []
    async with session_at(serve(store), retries=10) as ws:
        await ws.download(5, tmp_path, lambda done, total: reports.append((done, total)))
    assert digest((tmp_path / "plan.pdf").read_bytes()) == digest(CONTENT)
    assert [headers.get("Range") for headers in store.requested] == [None, *(f"bytes={cut}-" for cut in cuts)]
    assert reports == sorted(reports)
    assert reports[-1] == (len(CONTENT), len(CONTENT))
    assert names_in(tmp_path) == ["plan.pdf"]


async def test_retries_limit_the_attempts_of_a_download(serve: Serve, tmp_path: Path) -> None:
    store = Store([1000, 2000, 3000, 4000])
    async with session_at(serve(store), retries=3) as ws:
        with pytest.raises(TransportError):
            await ws.download(5, tmp_path)
    assert len(store.requested) == 4
    assert names_in(tmp_path) == []


async def test_each_attempt_waits_for_a_slot(serve: Serve) -> None:
    limiter = TokenBucket(1e6)
    async with session_at(serve(Store([1000, 2000])), limiter=limiter) as ws:
        await ws.download(5, io.BytesIO())
    assert limiter.statistics().granted == 3


@pytest.mark.one_row_on_trio
@pytest.mark.parametrize(
    ("headers", "requested"),
    [
        ({}, {}),
        ({"ETag": '"v1"'}, {}),
        ({"Accept-Ranges": "none", "ETag": '"v1"'}, {}),
        ({"Accept-Ranges": "bytes"}, {"Range": "bytes=1000-"}),
        ({"Accept-Ranges": "bytes", "ETag": 'W/"v1"'}, {"Range": "bytes=1000-"}),
        (
            {"Accept-Ranges": "bytes", "ETag": 'W/"v1"', "Last-Modified": "Fri, 20 Nov 2026 10:00:00 GMT"},
            {"Range": "bytes=1000-", "If-Range": "Fri, 20 Nov 2026 10:00:00 GMT"},
        ),
    ],
)  # fmt: skip
async def test_range_is_requested_only_if_the_service_supports_it(
    serve: Serve, headers: dict[str, str], requested: dict[str, str]
) -> None:
    store, target = Store([1000], headers=headers), io.BytesIO()
    async with session_at(serve(store)) as ws:
        await ws.download(5, target)
    assert target.getvalue() == CONTENT
    assert store.requested == [{}, requested]


def changed(store: Store, **changes: Any) -> Callable[[TcpServer, socket.socket], None]:
    """Return a copy of *store* with *changes*, for a later connection."""
    return cast(Callable[[TcpServer, socket.socket], None], attrs.evolve(store, **changes))


async def test_changed_file_is_downloaded_from_the_start(serve: Serve) -> None:
    store, target = Store([2_000_000]), io.BytesIO()
    new = changed(store, cuts=[], content=b"short", headers={"ETag": '"v2"'}, has_ranges=False)
    async with session_at(serve(store, new)) as ws:
        saved = await ws.download(5, target)
    assert (saved.size, target.getvalue()) == (5, b"short")


@pytest.mark.one_row_on_trio
@pytest.mark.parametrize(
    "wrong",
    [
        {"shift": 7},
        {"shift": -7},
        {"content": CONTENT + b"more"},
        {"headers": {"ETag": '"v2"'}},
    ],
)
async def test_mismatching_partial_response_is_discarded(serve: Serve, wrong: dict[str, Any]) -> None:
    store, target = Store([2_000_000]), io.BytesIO()
    whole = changed(store, cuts=[])
    async with session_at(serve(store, changed(store, cuts=[], **wrong), whole)) as ws:
        await ws.download(5, target)
    assert target.getvalue() == CONTENT
    assert store.requested == [{}, {"Range": "bytes=2000000-", "If-Range": '"v1"'}, {}]


async def test_download_restarts_after_range_not_satisfiable(serve: Serve) -> None:
    def no_range(server: TcpServer, connection: socket.socket) -> None:
        server.read_request(connection)
        connection.sendall(b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n")

    store, target = Store([2_000_000]), io.BytesIO()
    async with session_at(serve(store, no_range, store)) as ws:
        await ws.download(5, target)
    assert target.getvalue() == CONTENT
    assert store.requested == [{}, {}]


async def test_error_reply_instead_of_the_rest_is_raised(serve: Serve, tmp_path: Path) -> None:
    body = b'{"status":"error","message":"File not found"}'

    def not_found(server: TcpServer, connection: socket.socket) -> None:
        server.read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    async with session_at(serve(Store([1000]), not_found)) as ws:
        with pytest.raises(NotFound):
            await ws.download(5, tmp_path)
    assert names_in(tmp_path) == []


async def test_response_longer_than_content_length_is_an_error(session_with: Make) -> None:
    async def more() -> AsyncIterator[bytes]:
        yield b"abcdef"

    def handler(_: httpx.Request) -> httpx.Response:
        headers = {"Content-Disposition": "attachment; filename=a", "Content-Length": "3", "Accept-Ranges": "bytes"}
        return httpx.Response(200, content=more(), headers=headers)

    async with session_with(handler, retries=1) as ws:
        with pytest.raises(TransportError, match="6 of 3 bytes"):
            await ws.download(5, io.BytesIO())


async def test_download_requests_no_compression(session_with: Make) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        return httpx.Response(200, content=b"abc", headers={"Content-Disposition": "attachment; filename=a"})

    async with session_with(handler) as ws:
        await ws.download(5, io.BytesIO())


# The simulator


@pytest.fixture
def simulated() -> tuple[Simulator, File]:
    sim = Simulator(seed="empty")
    return sim, sim.add_file(sim.add_project("Moon"), "план.pdf", CONTENT)


@pytest.mark.parametrize("is_served", [False, True])
async def test_simulator_cuts_and_resumes_downloads(
    simulated: tuple[Simulator, File], tmp_path: Path, is_served: bool
) -> None:
    sim, file = simulated
    for after in (100, 2_000_000, 50):
        sim.fail("download", faults.cut_off(after))
    async with sim.serve() as url:
        there = Session(url, ApiKey(sim.api_key), limiter=TokenBucket(1e6)) if is_served else sim.session()
        async with there as ws:
            saved = await ws.download(file.id, tmp_path)
    assert saved.path == tmp_path / "план.pdf"
    assert digest(saved.path.read_bytes()) == digest(CONTENT)
    assert len(sim.requests) == 4
    assert not sim.unused_faults


@pytest.mark.one_row_on_trio
@pytest.mark.parametrize(
    ("headers", "status", "part"),
    [
        ({}, 200, CONTENT),
        ({"Range": "bytes=0-"}, 206, CONTENT),
        ({"Range": "bytes=5-9"}, 206, CONTENT[5:10]),
        ({"Range": "bytes=-7"}, 206, CONTENT[-7:]),
        ({"Range": "bytes=2999990-9999999"}, 206, CONTENT[2_999_990:]),
        ({"Range": "bytes=5-9", "If-Range": '"another"'}, 200, CONTENT),
        ({"Range": "bytes=-"}, 200, CONTENT),
        ({"Range": "bytes=1-2,5-6"}, 200, CONTENT),
        ({"Range": "lines=1-2"}, 200, CONTENT),
    ],
    ids=lambda value: ascii(value[:10] if isinstance(value, bytes) else value),
)
async def test_simulator_serves_ranges(
    simulated: tuple[Simulator, File], headers: dict[str, str], status: int, part: bytes
) -> None:
    response = await request_range(*simulated, headers)
    assert response.status_code == status
    assert response.content == part
    assert int(response.headers["Content-Length"]) == len(part)
    if status == 206:
        start = CONTENT.index(part)
        assert response.headers["Content-Range"] == f"bytes {start}-{start + len(part) - 1}/{len(CONTENT)}"


async def test_simulator_refuses_a_range_after_the_end(simulated: tuple[Simulator, File]) -> None:
    response = await request_range(*simulated, {"Range": "bytes=3000000-"})
    assert (response.status_code, response.headers["Content-Range"]) == (416, "bytes */3000000")


async def request_range(sim: Simulator, file: File, headers: dict[str, str]) -> httpx.Response:
    params = {"action": "download", "id_file": str(file.id), "access_token": sim.issue_token()}
    async with httpx.AsyncClient(transport=sim.transport(), base_url="http://127.0.0.1") as client:
        whole = await client.get("/api/oauth2", params=params)
        current = {"If-Range": whole.headers["ETag"]} if "Range" in headers else {}
        return await client.get("/api/oauth2", params=params, headers={**current, **headers})


# Open downloads


@pytest.mark.parametrize("has_ranges", [True, False])
async def test_open_download_yields_all_chunks_over_lost_connections(serve: Serve, has_ranges: bool) -> None:
    async with session_at(serve(Store([1000, 2_000_000], has_ranges=has_ranges))) as ws, ws.open_download(5) as file:
        assert (file.name, file.size, repr(file)) == ("plan.pdf", len(CONTENT), "<OpenDownload 'plan.pdf'>")
        content = b"".join([chunk async for chunk in file])
    assert digest(content) == digest(CONTENT)


async def test_open_download_raises_if_the_file_changes(serve: Serve) -> None:
    store = Store([2_000_000])
    new = changed(store, cuts=[], content=b"short", headers={"ETag": '"v2"'}, has_ranges=False)
    async with session_at(serve(store, new)) as ws, ws.open_download(5) as file:
        with pytest.raises(UnexpectedReply, match="was replaced during the download"):
            async for _ in file:
                pass


async def test_open_download_can_be_abandoned_at_any_time(serve: Serve) -> None:
    async with session_at(serve(Store([]))) as ws:
        async with ws.open_download(5) as file:
            async for chunk in file:
                assert CONTENT.startswith(chunk)
                break
        with pytest.raises(KeyError, match="reader"):
            async with ws.open_download(5) as file:
                raise KeyError("reader")
        assert [chunk async for chunk in file] == []
        with anyio.CancelScope() as scope:
            async with ws.open_download(5) as file:
                async for _ in file:
                    scope.cancel()
                    await anyio.sleep_forever()
        assert scope.cancelled_caught
        async with ws.open_download(5) as file:
            assert digest(b"".join([chunk async for chunk in file])) == digest(CONTENT)


async def test_chunks_of_an_open_download_can_be_read_in_separate_cancel_scopes(serve: Serve) -> None:
    """A new connection is opened inside one of these scopes, and must not depend on that scope afterwards."""
    async with session_at(serve(Store([1_000_000, 2_000_000]))) as ws, ws.open_download(5) as file:
        chunks, content = aiter(file), b""
        while len(content) < len(CONTENT):
            with anyio.fail_after(HANG_SECONDS):
                content += await anext(chunks)
    assert digest(content) == digest(CONTENT)


async def test_open_download_of_an_unknown_file_is_an_error(simulated: tuple[Simulator, File]) -> None:
    sim, _ = simulated
    async with sim.session() as ws:
        with pytest.raises(NotFound):
            async with ws.open_download(999):
                pass
        with pytest.raises(InvalidCall):
            async with ws.open_download(0):
                pass


# Many downloads


async def test_download_all_numbers_files_of_the_same_name(tmp_path: Path) -> None:
    sim = Simulator(seed="empty")
    project = sim.add_project("Moon")
    for content in (b"one", b"two"):
        sim.add_file(project, "plan.pdf", content)
    sim.add_file(project, "PLAN.pdf", b"three")
    (tmp_path / "plan.pdf").write_bytes(b"mine")
    reports: list[tuple[int, int | None]] = []
    async with sim.session() as ws:
        files = await ws.get_files(id_project=project.id)
        report = await ws.download_all([*files, files[0]], tmp_path, lambda *numbers: reports.append(numbers))
        assert list(report.done) == [file.id for file in files]
        saved = [file.path.read_bytes() for file in report.done.values() if file.path]
        assert sorted(saved) == [b"one", b"three", b"two"]
        assert (tmp_path / "plan.pdf").read_bytes() == b"mine"
        assert {"plan.pdf", "plan (2).pdf", "plan (3).pdf"} <= set(names_in(tmp_path))
        assert {total for _, total in reports} == {11}
        assert [done for done, _ in reports] == sorted(done for done, _ in reports)
        again = await ws.download_all([file.id for file in files], tmp_path, overwrite=True)
    assert len({file.path for file in again.done.values()}) == 3
    assert (tmp_path / "plan.pdf").read_bytes() in (b"one", b"two")
    again.raise_failed()


async def test_download_all_continues_after_a_failure(simulated: tuple[Simulator, File], tmp_path: Path) -> None:
    sim, file = simulated
    reports: list[tuple[int, int | None]] = []
    async with sim.session(retries=0) as ws:
        sim.fail("download", faults.cut_off(10))
        other = sim.add_file(sim.add_project("Mars"), "b.txt", b"b")
        report = await ws.download_all([file.id, 999, other.id], tmp_path, lambda *numbers: reports.append(numbers))
    assert list(report.done) == [other.id]
    assert {number: type(error) for number, error in report.failed.items()} == {file.id: TransportError, 999: NotFound}
    assert names_in(tmp_path) == ["b.txt"]
    assert reports[-1] == (1, 1)
    for _ in range(2):
        with pytest.raises(ExceptionGroup, match="2 of 3 files failed") as caught:
            report.raise_failed()
    assert [error.__notes__ for error in caught.value.exceptions] == [[f"file {file.id}"], ["file 999"]]


async def test_download_all_requires_an_existing_folder(simulated: tuple[Simulator, File], tmp_path: Path) -> None:
    sim, file = simulated
    async with sim.session() as ws:
        with pytest.raises(InvalidCall, match="does not exist"):
            await ws.download_all([file.id], tmp_path / "none")
        report = await ws.download_all([], tmp_path)
    assert (dict(report.done), dict(report.failed), sim.requests) == ({}, {}, [])


async def test_exception_of_progress_ends_download_all(simulated: tuple[Simulator, File], tmp_path: Path) -> None:
    sim, file = simulated

    def stop(*_: object) -> None:
        raise KeyError("stop")

    async with sim.session() as ws:
        with pytest.raises(KeyError):
            await ws.download_all([file.id], tmp_path, stop)
    assert names_in(tmp_path) == []


# The file system


CLOSED_FILE = io.BytesIO()
CLOSED_FILE.close()


@pytest.mark.parametrize(
    "to",
    [None, 5, io.StringIO(), b"plan.pdf", io.BufferedReader(io.BytesIO()), CLOSED_FILE, io.BytesIO],
    ids=lambda to: type(to).__name__,
)
async def test_other_destinations_are_refused_before_anything_is_sent(
    simulated: tuple[Simulator, File], to: Any
) -> None:
    sim, file = simulated
    async with sim.session() as ws:
        with pytest.raises(InvalidCall, match="must be a folder, a path or an open binary file"):
            await ws.download(file.id, to)
        with pytest.raises(InvalidCall, match="must be a folder"):
            await ws.download_all([file.id], to)
    assert sim.requests == []


@pytest.mark.parametrize("size", [5, len(CONTENT)])
async def test_no_file_is_left_after_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Closing a small file tries to write its buffer once more, and fails once more."""
    sim = Simulator(seed="empty")
    file = sim.add_file(sim.add_project("Moon"), "plan.pdf", CONTENT[:size])

    class FullDisk(io.FileIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    open_ = Path.open

    def opened(path: Path, mode: str = "r", **more: Any) -> Any:
        return io.BufferedWriter(FullDisk(path, "x")) if mode == "xb" else open_(path, mode, **more)

    monkeypatch.setattr(Path, "open", opened)
    async with sim.session() as ws:
        with pytest.raises(StorageError, match="No space left") as caught:
            await ws.download(file.id, tmp_path)
        report = await ws.download_all([file.id], tmp_path)
    assert isinstance(caught.value, OSError)
    assert (caught.value.action, caught.value.sent, caught.value.kept) == ("download", True, "")
    assert [type(error) for error in report.failed.values()] == [StorageError]
    assert names_in(tmp_path) == []


async def test_full_disk_is_an_error_for_an_open_file_and_for_the_copy_of_an_upload(
    simulated: tuple[Simulator, File], monkeypatch: pytest.MonkeyPatch
) -> None:
    sim, file = simulated

    class FullDisk(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def writelines(self, _: Any) -> None:
            self.write(b"")

        def close(self) -> None:
            if not self.closed:
                super().close()
                raise OSError(errno.ENOSPC, "No space left on device")

    async def chunks() -> AsyncIterator[bytes]:
        yield b"content"

    disk = FullDisk()
    async with sim.session() as ws:
        with pytest.raises(StorageError, match="No space left") as caught:
            await ws.download(file.id, disk)
        assert caught.value.sent is True
        with contextlib.suppress(OSError):
            disk.close()
        monkeypatch.setattr("worksection_async._transfer.disk.TemporaryFile", FullDisk)
        with pytest.raises(StorageError, match=r"upload_files: .*No space left.*No request was sent") as caught:
            await ws.upload_files([("a.txt", chunks())])
    assert caught.value.sent is False


async def test_missing_temporary_folder_is_an_error_before_anything_is_sent(
    simulated: tuple[Simulator, File], monkeypatch: pytest.MonkeyPatch
) -> None:
    sim, file = simulated

    def fail() -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr("worksection_async._transfer.disk.TemporaryFile", fail)
    async with sim.session() as ws:
        with pytest.raises(StorageError, match="No usable temporary directory found") as caught:
            await ws.download(file.id, io.BytesIO())
    assert (caught.value.sent, sim.requests) == (False, [])


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "Permission denied"), OSError()], ids=repr)
async def test_complete_file_that_cannot_be_moved_is_kept(
    simulated: tuple[Simulator, File],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: OSError,
    overwrite: bool,
) -> None:
    sim, file = simulated

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Path, "hardlink_to", fail)
    monkeypatch.setattr(Path, "replace", fail)
    async with sim.session() as ws:
        with pytest.raises(StorageError, match="it is kept as") as caught:
            await ws.download(file.id, tmp_path, overwrite=overwrite)
    kept = Path(caught.value.kept)
    assert (names_in(tmp_path), digest(await anyio.Path(kept).read_bytes())) == ([kept.name], digest(CONTENT))
    assert str(kept) in str(caught.value)


async def test_files_are_written_in_a_worker_thread(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()

    class RecordingFile(io.FileIO):
        def write(self, data: Any) -> int:
            threads.add(threading.get_ident())
            return super().write(data)

    open_ = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda path, mode="r", **more: RecordingFile(path, "x") if mode == "xb" else open_(path, mode, **more),
    )
    async with session_at(serve(Store([1_000_000, 2_500_000], has_ranges=False))) as ws:
        await ws.download(5, tmp_path / "plan.pdf")
    assert digest((tmp_path / "plan.pdf").read_bytes()) == digest(CONTENT)
    assert threads
    assert threading.get_ident() not in threads


async def test_unwritable_folder_is_an_error_before_anything_is_sent(
    simulated: tuple[Simulator, File],
) -> None:
    sim, file = simulated
    async with sim.session() as ws:
        with pytest.raises(InvalidCall, match="no file can be created in /proc") as caught:
            await ws.download(file.id, "/proc/plan.pdf")
    assert caught.value.sent is False
    assert sim.requests == []


async def test_file_created_during_the_download_is_not_replaced(
    simulated: tuple[Simulator, File], tmp_path: Path
) -> None:
    sim, file = simulated
    path = tmp_path / "mine.pdf"
    async with sim.session() as ws:
        with pytest.raises(InvalidCall, match="already exists"):
            await ws.download(file.id, path, lambda *_: path.write_bytes(b"mine"))
    assert (names_in(tmp_path), path.read_bytes()) == (["mine.pdf"], b"mine")


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EPERM, "Operation not permitted"),
        NotImplementedError("os.link() not available on this system"),
        OSError(errno.EXDEV, "Invalid cross-device link"),
    ],
    ids=repr,
)
def test_file_is_moved_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def no_links(*_: object) -> None:
        raise error

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    for name in "ab":
        (tmp_path / name).write_text(name)
    assert _try_move(tmp_path / "a", tmp_path / "c")
    assert not _try_move(tmp_path / "b", tmp_path / "c")
    assert names_in(tmp_path) == ["b", "c"]
    assert (tmp_path / "c").read_text() == "a"


def test_number_is_inserted_before_the_file_type() -> None:
    names = [numbered(name) for name in ("plan.pdf", "plan", "No. of the things I have seen")]
    assert [[next(each) for _ in range(2)][1] for each in names] == [
        "plan (2).pdf", "plan (2)", "No. of the things I have seen (2)",
    ]  # fmt: skip


# The command line


@pytest.fixture
def served_file(simulated: tuple[Simulator, File], monkeypatch: pytest.MonkeyPatch) -> Iterator[File]:
    """A file in a simulator; the environment variables name that simulator as the account."""
    sim, file = simulated
    with sim.serve() as url:
        monkeypatch.setenv("WORKSECTION_ACCOUNT", url)
        monkeypatch.setenv("WORKSECTION_API_KEY", sim.api_key)
        monkeypatch.delenv("WORKSECTION_ACCESS_TOKEN", raising=False)
        yield file


@pytest.mark.parametrize("to", [[], ["other.pdf"]])
def test_the_download_command_saves_a_file(
    served_file: File,
    to: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["download", str(served_file.id), *to]) == 0
    printed = capsys.readouterr()
    (path,) = tmp_path.iterdir()
    assert digest(path.read_bytes()) == digest(CONTENT)
    assert path.name in printed.out
    assert printed.err == ""
    assert main(["download", str(served_file.id), *to]) == 2
    assert "already exists" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["x"], ["1", "a", "b"]])
def test_the_download_command_refuses_invalid_arguments(
    served_file: File, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["download", *arguments]) == 2
    assert names_in(tmp_path) == []


def test_the_download_command_shows_a_progress_bar_on_stderr(
    served_file: File, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["download", str(served_file.id), str(tmp_path)]) == 0
    assert "3.0/3.0 MB" in capsys.readouterr().err


def test_transfer_shows_a_progress_bar_and_then_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    printed = io.StringIO()
    screen = Screen(printed)
    with screen.transfer("download(id_file=5)") as (set_result, progress):
        progress(5, 10)
        set_result(7)
    assert "━" in printed.getvalue()
    assert "download(id_file=5)" in printed.getvalue().splitlines()[-1]
    assert printed.getvalue().rstrip("\x1b[0m\n ").endswith("7")
