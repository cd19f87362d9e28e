"""Files over connections that break, files as a stream of chunks, and many files at once."""

from __future__ import annotations

import errno
import hashlib
import io
import json
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
from tests.support.tcp import Server
from worksection_async import ApiKey, Session, TokenBucket
from worksection_async.__main__ import main
from worksection_async._cli._screen import Screen
from worksection_async._transfer.destination import _is_moved
from worksection_async._transfer.file_names import numbered
from worksection_async.errors import InvalidCall, NotFound, TransportError, UnexpectedReply
from worksection_async.testing import Simulator, faults
from worksection_async.testing.records import StoredFile

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("no_retry_delay", "one_ssl_context"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <async_generator"),  # httpx leaves its own to trio
]

Make = Callable[..., Session]
Serve = Callable[..., Server]

CONTENT = random.Random(5).randbytes(3_000_000)


def session_at(server: Server, **options: Any) -> Session:
    return Session(server.url, ApiKey(KEY), **{"limiter": TokenBucket(1e6), **options})


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@attrs.define
class Store:
    """A service with one file, that cuts one connection after the other at places of that file."""

    cuts: list[int]
    content: bytes = CONTENT
    headers: dict[str, str] = attrs.field(factory=lambda: {"Accept-Ranges": "bytes", "ETag": '"v1"'})
    obeys: bool = True
    """Whether it does what Range asks for."""
    shift: int = 0
    """By how much its ranges are wrong."""
    asked: list[dict[str, str]] = attrs.field(factory=list)

    def __call__(self, server: Server, connection: socket.socket) -> None:
        server.take(connection)
        head = server.received[-1].partition(b"\r\n\r\n")[0].decode()
        headers = dict(re.findall(r"(?m)^([\w-]+): (.*?)\r?$", head))
        self.asked.append({name: headers[name] for name in ("Range", "If-Range") if name in headers})
        start = int(headers["Range"][6:-1]) + self.shift if self.obeys and "Range" in headers else 0
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


# A connection that is cut


@pytest.mark.parametrize("obeys", [True, False])
async def test_a_file_cut_at_ten_random_points_is_right_every_time(serve: Serve, tmp_path: Path, obeys: bool) -> None:
    for seed in range(10):
        cut = random.Random(seed).randrange(len(CONTENT))
        store = Store([cut], obeys=obeys)
        async with session_at(serve(store)) as ws:
            saved = await ws.download(5, tmp_path / str(seed))
        assert saved.size == len(CONTENT)
        assert digest((tmp_path / str(seed)).read_bytes()) == digest(CONTENT)
        assert store.asked == [{}, {"Range": f"bytes={cut}-", "If-Range": '"v1"'} if cut else {}]


async def test_one_file_cut_ten_times_is_fetched_once(serve: Serve, tmp_path: Path) -> None:
    cuts = sorted(random.Random(3).sample(range(1, len(CONTENT)), 10))
    store, told = Store(list(cuts)), []
    async with session_at(serve(store), retries=10) as ws:
        await ws.download(5, tmp_path, lambda done, total: told.append((done, total)))
    assert digest((tmp_path / "plan.pdf").read_bytes()) == digest(CONTENT)
    assert [asked.get("Range") for asked in store.asked] == [None, *(f"bytes={cut}-" for cut in cuts)]
    assert told == sorted(told)
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert names_in(tmp_path) == ["plan.pdf"]


async def test_attempts_are_counted_over_all_connections(serve: Serve, tmp_path: Path) -> None:
    store = Store([1000, 2000, 3000, 4000])
    async with session_at(serve(store), retries=3) as ws:
        with pytest.raises(TransportError):
            await ws.download(5, tmp_path)
    assert len(store.asked) == 4
    assert names_in(tmp_path) == []


async def test_each_attempt_waits_for_a_turn(serve: Serve) -> None:
    limiter = TokenBucket(1e6)
    async with session_at(serve(Store([1000, 2000])), limiter=limiter) as ws:
        await ws.download(5, io.BytesIO())
    assert limiter.statistics().granted == 3


@pytest.mark.parametrize(
    ("headers", "asked"),
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
async def test_the_rest_is_asked_for_only_where_it_is_offered(
    serve: Serve, headers: dict[str, str], asked: dict[str, str]
) -> None:
    store, target = Store([1000], headers=headers), io.BytesIO()
    async with session_at(serve(store)) as ws:
        await ws.download(5, target)
    assert target.getvalue() == CONTENT
    assert store.asked == [{}, asked]


def changed(store: Store, **changes: Any) -> Callable[[Server, socket.socket], None]:
    """*store* as it is from its second connection on."""
    return cast(Callable[[Server, socket.socket], None], attrs.evolve(store, **changes))


async def test_a_file_that_changed_meanwhile_is_fetched_from_its_beginning(serve: Serve) -> None:
    store, target = Store([2_000_000]), io.BytesIO()
    new = changed(store, cuts=[], content=b"short", headers={"ETag": '"v2"'}, obeys=False)
    async with session_at(serve(store, new)) as ws:
        saved = await ws.download(5, target)
    assert (saved.size, target.getvalue()) == (5, b"short")


@pytest.mark.parametrize(
    "wrong",
    [
        {"shift": 7},
        {"shift": -7},
        {"content": CONTENT + b"more"},
        {"headers": {"ETag": '"v2"'}},
    ],
)
async def test_a_rest_that_does_not_fit_is_not_taken(serve: Serve, wrong: dict[str, Any]) -> None:
    store, target = Store([2_000_000]), io.BytesIO()
    whole = changed(store, cuts=[])
    async with session_at(serve(store, changed(store, cuts=[], **wrong), whole)) as ws:
        await ws.download(5, target)
    assert target.getvalue() == CONTENT
    assert store.asked == [{}, {"Range": "bytes=2000000-", "If-Range": '"v1"'}, {}]


async def test_where_no_such_range_is_there_all_is_fetched(serve: Serve) -> None:
    def no_range(server: Server, connection: socket.socket) -> None:
        server.take(connection)
        connection.sendall(b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n")

    store, target = Store([2_000_000]), io.BytesIO()
    async with session_at(serve(store, no_range, store)) as ws:
        await ws.download(5, target)
    assert target.getvalue() == CONTENT
    assert store.asked == [{}, {}]


async def test_an_error_in_place_of_the_rest_is_raised(serve: Serve, tmp_path: Path) -> None:
    body = b'{"status":"error","message":"File not found"}'

    def gone(server: Server, connection: socket.socket) -> None:
        server.take(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    async with session_at(serve(Store([1000]), gone)) as ws:
        with pytest.raises(NotFound):
            await ws.download(5, tmp_path)
    assert names_in(tmp_path) == []


async def test_more_bytes_than_announced_are_no_file(session_with: Make) -> None:
    async def more() -> AsyncIterator[bytes]:
        yield b"abcdef"

    def handler(_: httpx.Request) -> httpx.Response:
        headers = {"Content-Disposition": "attachment; filename=a", "Content-Length": "3", "Accept-Ranges": "bytes"}
        return httpx.Response(200, content=more(), headers=headers)

    async with session_with(handler, retries=1) as ws:
        with pytest.raises(TransportError, match="6 of 3 bytes"):
            await ws.download(5, io.BytesIO())


async def test_what_is_stored_is_asked_for_not_compressed(session_with: Make) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        return httpx.Response(200, content=b"abc", headers={"Content-Disposition": "attachment; filename=a"})

    async with session_with(handler) as ws:
        await ws.download(5, io.BytesIO())


# The simulator's side


@pytest.fixture
def simulated() -> tuple[Simulator, StoredFile]:
    sim = Simulator(seed="empty")
    return sim, sim.world.add_file(sim.world.add_project("Moon"), "план.pdf", CONTENT)


@pytest.mark.parametrize("is_served", [False, True])
async def test_the_simulator_cuts_and_continues(
    simulated: tuple[Simulator, StoredFile], tmp_path: Path, is_served: bool
) -> None:
    sim, file = simulated
    for after in (100, 2_000_000, 50):
        sim.faults.add("download", faults.cut_off(after))
    async with sim.serve() as url:
        there = Session(url, ApiKey(sim.api_key), limiter=TokenBucket(1e6)) if is_served else sim.session()
        async with there as ws:
            saved = await ws.download(file.id, tmp_path)
    assert saved.path == tmp_path / "план.pdf"
    assert digest(saved.path.read_bytes()) == digest(CONTENT)
    assert len(sim.requests) == 4
    assert sim.faults.unused == ()


@pytest.mark.parametrize(
    ("wanted", "status", "part"),
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
    ids=str,
)
async def test_the_simulator_serves_ranges(
    simulated: tuple[Simulator, StoredFile], wanted: dict[str, str], status: int, part: bytes
) -> None:
    response = await ranged(*simulated, wanted)
    assert response.status_code == status
    assert response.content == part
    assert int(response.headers["Content-Length"]) == len(part)
    if status == 206:
        start = CONTENT.index(part)
        assert response.headers["Content-Range"] == f"bytes {start}-{start + len(part) - 1}/{len(CONTENT)}"


async def test_the_simulator_has_nothing_behind_the_end(simulated: tuple[Simulator, StoredFile]) -> None:
    response = await ranged(*simulated, {"Range": "bytes=3000000-"})
    assert (response.status_code, response.headers["Content-Range"]) == (416, "bytes */3000000")


async def ranged(sim: Simulator, file: StoredFile, headers: dict[str, str]) -> httpx.Response:
    params = {"action": "download", "id_file": str(file.id), "access_token": sim.issue_token()}
    async with httpx.AsyncClient(transport=sim.transport(), base_url="http://127.0.0.1") as client:
        whole = await client.get("/api/oauth2", params=params)
        current = {"If-Range": whole.headers["ETag"]} if "Range" in headers else {}
        return await client.get("/api/oauth2", params=params, headers={**current, **headers})


# A stream of chunks


@pytest.mark.parametrize("obeys", [True, False])
async def test_chunks_of_an_open_download(serve: Serve, obeys: bool) -> None:
    async with session_at(serve(Store([1000, 2_000_000], obeys=obeys))) as ws, ws.open_download(5) as file:
        assert (file.name, file.size, repr(file)) == ("plan.pdf", len(CONTENT), "<OpenDownload 'plan.pdf'>")
        content = b"".join([chunk async for chunk in file])
    assert digest(content) == digest(CONTENT)


async def test_an_open_download_of_a_file_that_changes_ends(serve: Serve) -> None:
    store = Store([2_000_000])
    new = changed(store, cuts=[], content=b"short", headers={"ETag": '"v2"'}, obeys=False)
    async with session_at(serve(store, new)) as ws, ws.open_download(5) as file:
        with pytest.raises(UnexpectedReply, match="was replaced during the download"):
            async for _ in file:
                pass


async def test_an_open_download_can_be_left(serve: Serve) -> None:
    async with session_at(serve(Store([]))) as ws:
        async with ws.open_download(5) as file:
            async for chunk in file:
                assert CONTENT.startswith(chunk)
                break
        with pytest.raises(KeyError, match="mine"):
            async with ws.open_download(5) as file:
                raise KeyError("mine")
        assert [chunk async for chunk in file] == []
        with anyio.move_on_after(0.01) as scope:
            async with ws.open_download(5) as file:
                async for _ in file:
                    await anyio.sleep(1)
        assert scope.cancelled_caught
        async with ws.open_download(5) as file:
            assert digest(b"".join([chunk async for chunk in file])) == digest(CONTENT)


async def test_an_open_download_may_be_read_under_scopes_of_the_reader(serve: Serve) -> None:
    """A connection is made again inside one of them, and that scope has to end inside."""
    async with session_at(serve(Store([1_000_000, 2_000_000]))) as ws, ws.open_download(5) as file:
        chunks, content = aiter(file), b""
        while len(content) < len(CONTENT):
            with anyio.fail_after(5):
                content += await anext(chunks)
    assert digest(content) == digest(CONTENT)


async def test_an_open_download_of_nothing_is_an_error(simulated: tuple[Simulator, StoredFile]) -> None:
    sim, _ = simulated
    async with sim.session() as ws:
        with pytest.raises(NotFound):
            async with ws.open_download(999):
                pass
        with pytest.raises(InvalidCall):
            async with ws.open_download(0):
                pass


# Many


async def test_all_files_arrive_also_those_of_one_name(tmp_path: Path) -> None:
    sim = Simulator(seed="empty")
    project = sim.world.add_project("Moon")
    for content in (b"one", b"two"):
        sim.world.add_file(project, "plan.pdf", content)
    sim.world.add_file(project, "PLAN.pdf", b"three")
    (tmp_path / "plan.pdf").write_bytes(b"mine")
    told: list[tuple[int, int | None]] = []
    async with sim.session() as ws:
        files = await ws.get_files(id_project=project.id)
        report = await ws.download_all([*files, files[0]], tmp_path, lambda *numbers: told.append(numbers))
        assert list(report.done) == [file.id for file in files]
        saved = [file.path.read_bytes() for file in report.done.values() if file.path]
        assert sorted(saved) == [b"one", b"three", b"two"]
        assert (tmp_path / "plan.pdf").read_bytes() == b"mine"
        assert {"plan.pdf", "plan (2).pdf", "plan (3).pdf"} <= set(names_in(tmp_path))
        assert {total for _, total in told} == {11}
        assert [done for done, _ in told] == sorted(done for done, _ in told)
        again = await ws.download_all([file.id for file in files], tmp_path, overwrite=True)
    assert len({file.path for file in again.done.values()}) == 3
    assert (tmp_path / "plan.pdf").read_bytes() in (b"one", b"two")
    again.raise_failed()


async def test_one_that_fails_does_not_keep_the_others_back(
    simulated: tuple[Simulator, StoredFile], tmp_path: Path
) -> None:
    sim, file = simulated
    told: list[tuple[int, int | None]] = []
    async with sim.session(retries=0) as ws:
        sim.faults.add("download", faults.cut_off(10))
        other = sim.world.add_file(sim.world.add_project("Mars"), "b.txt", b"b")
        report = await ws.download_all([file.id, 999, other.id], tmp_path, lambda *numbers: told.append(numbers))
    assert list(report.done) == [other.id]
    assert {number: type(error) for number, error in report.failed.items()} == {file.id: TransportError, 999: NotFound}
    assert names_in(tmp_path) == ["b.txt"]
    assert told[-1] == (1, 1)
    for _ in range(2):
        with pytest.raises(ExceptionGroup, match="2 of 3 files failed") as caught:
            report.raise_failed()
    assert [error.__notes__ for error in caught.value.exceptions] == [[f"file {file.id}"], ["file 999"]]


async def test_many_files_need_a_folder_that_is_there(simulated: tuple[Simulator, StoredFile], tmp_path: Path) -> None:
    sim, file = simulated
    async with sim.session() as ws:
        with pytest.raises(InvalidCall, match="does not exist"):
            await ws.download_all([file.id], tmp_path / "none")
        report = await ws.download_all([], tmp_path)
    assert (dict(report.done), dict(report.failed), sim.requests) == ({}, {}, [])


async def test_what_progress_of_many_raises_ends_them(simulated: tuple[Simulator, StoredFile], tmp_path: Path) -> None:
    sim, file = simulated

    def stop(*_: object) -> None:
        raise KeyError("enough")

    async with sim.session() as ws:
        with pytest.raises(KeyError):
            await ws.download_all([file.id], tmp_path, stop)
    assert names_in(tmp_path) == []


# Disks


async def test_a_full_disk_leaves_nothing(
    simulated: tuple[Simulator, StoredFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim, file = simulated

    class Full(io.FileIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    open_ = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, mode="r", **more: Full(path, "x") if mode == "xb" else open_(path, mode, **more)
    )
    async with sim.session() as ws:
        with pytest.raises(OSError, match="No space left"):
            await ws.download(file.id, tmp_path)
        report = await ws.download_all([file.id], tmp_path)
    assert [type(error) for error in report.failed.values()] == [OSError]
    assert names_in(tmp_path) == []


async def test_the_disk_is_written_in_a_worker_thread(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()

    class Watched(io.FileIO):
        def write(self, data: Any) -> int:
            threads.add(threading.get_ident())
            return super().write(data)

    open_ = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, mode="r", **more: Watched(path, "x") if mode == "xb" else open_(path, mode, **more)
    )
    async with session_at(serve(Store([1_000_000, 2_500_000], obeys=False))) as ws:
        await ws.download(5, tmp_path / "plan.pdf")
    assert digest((tmp_path / "plan.pdf").read_bytes()) == digest(CONTENT)
    assert threads
    assert threading.get_ident() not in threads


async def test_a_folder_that_takes_nothing_is_found_before_anything_is_sent(
    simulated: tuple[Simulator, StoredFile],
) -> None:
    sim, file = simulated
    async with sim.session() as ws:
        with pytest.raises(InvalidCall, match="no file can be created in /proc") as caught:
            await ws.download(file.id, "/proc/plan.pdf")
    assert caught.value.sent is False
    assert sim.requests == []


async def test_a_file_that_appears_meanwhile_is_not_replaced(
    simulated: tuple[Simulator, StoredFile], tmp_path: Path
) -> None:
    sim, file = simulated
    path = tmp_path / "mine.pdf"
    async with sim.session() as ws:
        with pytest.raises(InvalidCall, match="already exists"):
            await ws.download(file.id, path, lambda *_: path.write_bytes(b"mine"))
    assert (names_in(tmp_path), path.read_bytes()) == (["mine.pdf"], b"mine")


def test_where_there_are_no_links_a_name_is_taken_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    for name in "ab":
        (tmp_path / name).write_text(name)
    assert _is_moved(tmp_path / "a", tmp_path / "c")
    assert not _is_moved(tmp_path / "b", tmp_path / "c")
    assert names_in(tmp_path) == ["b", "c"]
    assert (tmp_path / "c").read_text() == "a"


def test_names_are_numbered_before_their_types() -> None:
    names = [numbered(name) for name in ("plan.pdf", "plan", "No. of the things I have seen")]
    assert [[next(each) for _ in range(2)][1] for each in names] == [
        "plan (2).pdf", "plan (2)", "No. of the things I have seen (2)",
    ]  # fmt: skip


# On a terminal


@pytest.fixture
def served(simulated: tuple[Simulator, StoredFile], monkeypatch: pytest.MonkeyPatch) -> Iterator[StoredFile]:
    """A file on a simulator that the environment names as the account."""
    sim, file = simulated
    with sim.serve() as url:
        monkeypatch.setenv("WORKSECTION_ACCOUNT", url)
        monkeypatch.setenv("WORKSECTION_API_KEY", sim.api_key)
        monkeypatch.delenv("WORKSECTION_ACCESS_TOKEN", raising=False)
        yield file


@pytest.mark.parametrize("to", [[], ["to=other.pdf"]])
def test_call_download_saves_a_file(
    served: StoredFile,
    to: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["call", "download", f"id_file={served.id}", *to]) == 0
    printed = capsys.readouterr()
    (path,) = tmp_path.iterdir()
    assert digest(path.read_bytes()) == digest(CONTENT)
    assert json.loads(printed.out) == {
        "path": path.name, "name": "план.pdf", "size": len(CONTENT), "media_type": "application/x-download",
    }  # fmt: skip
    assert printed.err == ""
    assert main(["call", "download", f"id_file={served.id}", *to]) == 2
    assert "already exists" in capsys.readouterr().err


@pytest.mark.parametrize("params", [[], ["id_file=x"], ["id_file=1", "overwrite=1"], ["id_file=1", "to=a", "to=b"]])
def test_misused_call_download(
    served: StoredFile, params: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["call", "download", *params]) == 2
    assert names_in(tmp_path) == []


def test_call_download_draws_a_bar_beside_its_output(
    served: StoredFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["call", "download", f"id_file={served.id}", f"to={tmp_path}"]) == 0
    printed = capsys.readouterr()
    assert "3.0/3.0 MB" in printed.err
    assert json.loads(printed.out)["size"] == len(CONTENT)


def test_a_transfer_has_a_bar_and_then_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    printed = io.StringIO()
    screen = Screen(printed)
    with screen.transfer("download(id_file=5)") as (tell, progress):
        progress(5, 10)
        tell(7)
    assert "━" in printed.getvalue()
    assert "download(id_file=5)" in printed.getvalue().splitlines()[-1]
    assert printed.getvalue().rstrip("\x1b[0m\n ").endswith("7")
