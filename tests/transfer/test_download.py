"""Downloads: a file is saved completely or not at all, under a safe name, and replaces no file unless asked."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.constants import KEY
from tests.support.tcp import TcpServer
from tests.support.virtual_time import virtual_time
from worksection_async import ApiKey, DownloadedFile, Session, TokenBucket, errors
from worksection_async._transfer.file_names import safe_name
from worksection_async.errors import InvalidCall, NotFound, TransportError, UnexpectedReply

pytestmark = [pytest.mark.anyio, pytest.mark.one_row_on_trio, pytest.mark.usefixtures("one_ssl_context")]

Make = Callable[..., Session]
Answers = Callable[[httpx.Request], httpx.Response]

CONTENT = bytes(range(256)) * 800


def disposition(name: str) -> str:
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}"


def file(
    content: bytes = CONTENT, name: str = "plan.pdf", media_type: str = "application/x-download"
) -> httpx.Response:
    return httpx.Response(
        200, content=content, headers={"Content-Type": media_type, "Content-Disposition": disposition(name)}
    )


def cut_file(size: int = 1000, whole: int = len(CONTENT)) -> httpx.Response:
    """Return the first bytes of a file, from a transport that does not check the length."""
    headers = {"Content-Disposition": disposition("plan.pdf"), "Content-Length": str(whole)}
    return httpx.Response(200, stream=_Chunks(CONTENT[:size]), headers=headers)


class _Chunks(httpx.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> Any:
        for start in range(0, len(self._content), 300):
            yield self._content[start : start + 300]


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def always(response: Callable[[], httpx.Response]) -> Answers:
    return lambda _: response()


# The destination


async def test_download_into_a_folder_uses_the_name_from_the_service(session_with: Make, tmp_path: Path) -> None:
    async with session_with(always(file)) as ws:
        saved = await ws.download(5, tmp_path)
    assert saved == DownloadedFile(tmp_path / "plan.pdf", "plan.pdf", len(CONTENT), "application/x-download")
    assert (tmp_path / "plan.pdf").read_bytes() == CONTENT
    assert names_in(tmp_path) == ["plan.pdf"]


@pytest.mark.parametrize("as_type", [str, Path])
async def test_download_to_a_path(session_with: Make, tmp_path: Path, as_type: type) -> None:
    async with session_with(always(file)) as ws:
        saved = await ws.download(5, as_type(tmp_path / "other.bin"))
    assert (saved.path, saved.name) == (tmp_path / "other.bin", "plan.pdf")
    assert (tmp_path / "other.bin").read_bytes() == CONTENT


async def test_download_into_an_open_file_starts_at_its_position(session_with: Make) -> None:
    target = io.BytesIO(b"head")
    target.seek(0, io.SEEK_END)
    async with session_with(always(file)) as ws:
        saved = await ws.download(5, target)
    assert saved == DownloadedFile(None, "plan.pdf", len(CONTENT), "application/x-download")
    assert target.getvalue() == b"head" + CONTENT


async def test_empty_file_is_saved(session_with: Make, tmp_path: Path) -> None:
    async with session_with(always(lambda: file(b""))) as ws:
        assert (await ws.download(5, tmp_path)).size == 0
    assert (tmp_path / "plan.pdf").read_bytes() == b""


async def test_progress_reports_bytes_done_and_total(session_with: Make, tmp_path: Path) -> None:
    reports: list[tuple[int, int | None]] = []
    whole = cut_file(len(CONTENT))
    async with session_with(always(lambda: whole)) as ws:
        await ws.download(5, tmp_path, progress=lambda *numbers: reports.append(numbers))
    assert [total for _, total in reports] == [len(CONTENT)] * len(reports)
    assert [done for done, _ in reports] == [*range(300, len(CONTENT), 300), len(CONTENT)]


async def test_progress_has_no_total_if_the_size_is_unknown(session_with: Make, tmp_path: Path) -> None:
    totals: list[int | None] = []

    def without_size() -> httpx.Response:
        return httpx.Response(200, stream=_Chunks(b"abc"), headers={"Content-Disposition": disposition("a.txt")})

    async with session_with(always(without_size)) as ws:
        saved = await ws.download(5, tmp_path, progress=lambda _, total: totals.append(total))
    assert (saved.size, totals) == (3, [None])


# httpx does not close its own generators on trio
@pytest.mark.filterwarnings("ignore:Exception ignored in. <async_generator")
async def test_exception_of_progress_ends_the_download(session_with: Make, tmp_path: Path) -> None:
    def stop(_: int, __: int | None) -> None:
        raise KeyError("stop")

    async with session_with(always(file)) as ws:
        with pytest.raises(KeyError, match="stop"):
            await ws.download(5, tmp_path, progress=stop)
    assert names_in(tmp_path) == []


# Existing files


@pytest.mark.parametrize("target", ["", "plan.pdf"])
async def test_file_is_replaced_only_with_overwrite(session_with: Make, tmp_path: Path, target: str) -> None:
    (tmp_path / "plan.pdf").write_bytes(b"mine")
    requests = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return file()

    async with session_with(handler) as ws:
        with pytest.raises(InvalidCall, match="overwrite=True") as caught:
            await ws.download(5, tmp_path / target)
        assert (tmp_path / "plan.pdf").read_bytes() == b"mine"
        assert names_in(tmp_path) == ["plan.pdf"]
        assert caught.value.sent is bool(requests)
        assert ("No request was sent" in str(caught.value)) is not bool(requests)
        await ws.download(5, tmp_path / target, overwrite=True)
    assert (tmp_path / "plan.pdf").read_bytes() == CONTENT


async def test_invalid_destination_is_an_error_before_anything_is_sent(session_with: Make, tmp_path: Path) -> None:
    """A slot is not wasted on a file that cannot be saved."""
    (tmp_path / "mine.pdf").write_bytes(b"")

    def handler(_: httpx.Request) -> httpx.Response:
        raise AssertionError("a request was sent")

    async with session_with(handler) as ws:
        for target in (tmp_path / "mine.pdf", tmp_path / "no such folder" / "a.pdf", tmp_path / "mine.pdf" / "a.pdf"):
            with pytest.raises(InvalidCall) as caught:
                await ws.download(5, target)
            assert caught.value.sent is False
        with pytest.raises(InvalidCall):
            await ws.download(0, tmp_path)


# Error replies, and files that look like error replies


async def test_error_reply_instead_of_the_file_is_raised(session_with: Make, tmp_path: Path) -> None:
    body = {"status": "error", "status_code": 4, "message": "File not found"}
    async with session_with(always(lambda: httpx.Response(200, json=body))) as ws:
        with pytest.raises(NotFound) as caught:
            await ws.download(5, tmp_path)
        with pytest.raises(NotFound):
            await ws.download(5, io.BytesIO())
    assert caught.value.action == "download"
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    "response",
    [
        lambda: httpx.Response(200, json={"status": "ok", "data": {"url": "https://example.com/elsewhere"}}),
        lambda: httpx.Response(200, content=b"<html>log in</html>"),
        lambda: httpx.Response(200, content=CONTENT, headers={"Content-Type": "application/x-download"}),
        lambda: httpx.Response(302, headers={"Location": "https://example.com/elsewhere"}),
        lambda: httpx.Response(200),
    ],
)
async def test_reply_that_is_neither_file_nor_error_is_unexpected(
    session_with: Make, tmp_path: Path, response: Callable[[], httpx.Response]
) -> None:
    async with session_with(always(response)) as ws:
        with pytest.raises(UnexpectedReply):
            await ws.download(5, tmp_path)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("media_type", ["application/x-download", "application/json"])
async def test_stored_json_file_is_saved(session_with: Make, tmp_path: Path, media_type: str) -> None:
    """Even if its content is an error reply of the service."""
    content = b'{"status":"error","message":"File not found"}'
    async with session_with(always(lambda: file(content, "error.json", media_type))) as ws:
        saved = await ws.download(5, tmp_path)
    assert (saved.name, saved.media_type) == ("error.json", media_type)
    assert (tmp_path / "error.json").read_bytes() == content


# Incomplete files


async def test_incomplete_file_is_deleted(session_with: Make, tmp_path: Path) -> None:
    target = io.BytesIO()
    async with session_with(always(cut_file), retries=0) as ws:
        with pytest.raises(TransportError, match=f"1000 of {len(CONTENT)} bytes"):
            await ws.download(5, tmp_path)
        with pytest.raises(TransportError):
            await ws.download(5, target)
    assert names_in(tmp_path) == []
    assert target.getvalue() == b""


@pytest.mark.usefixtures("no_retry_delay")
async def test_incomplete_file_is_requested_again(session_with: Make, tmp_path: Path) -> None:
    for target in (tmp_path, open_file := io.BytesIO()):
        answers = iter([cut_file(), cut_file(5000), file()])
        async with session_with(always(lambda answers=answers: next(answers))) as ws:  # type: ignore[misc]
            assert (await ws.download(5, target)).size == len(CONTENT)
    assert (tmp_path / "plan.pdf").read_bytes() == CONTENT
    assert open_file.getvalue() == CONTENT


async def test_file_is_deleted_after_a_lost_connection(serve: Callable[..., TcpServer], tmp_path: Path) -> None:
    def cut(server: TcpServer, connection: Any) -> None:
        server.read_request(connection)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nContent-Disposition: {disposition('a.bin')}\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 3000)
        connection.close()

    async with Session(serve(cut).url, ApiKey(KEY), limiter=TokenBucket(1e6), retries=0) as ws:
        with pytest.raises(TransportError) as caught:
            await ws.download(5, tmp_path)
    assert caught.value.sent is True
    assert names_in(tmp_path) == []


@virtual_time
async def test_download_may_take_longer_than_the_timeout() -> None:
    """The timeout limits each read, not the whole download."""
    timeouts: list[float] = []

    class SlowBody(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            for _ in range(6):
                await trio.sleep(8)
                yield b"x"

    def handler(request: httpx.Request) -> httpx.Response:
        timeouts.append(request.extensions["timeout"]["read"])
        return httpx.Response(200, stream=SlowBody(), headers={"Content-Disposition": disposition("a")})

    transport = httpx.MockTransport(handler)
    async with Session("acme", ApiKey(KEY), limiter=TokenBucket(1e6), timeout=10, transport=transport) as ws:
        assert (await ws.download(5, io.BytesIO())).size == 6
        assert trio.current_time() >= 48
    assert timeouts == [10]


async def test_stalled_download_is_a_timeout(serve: Callable[..., TcpServer], tmp_path: Path) -> None:
    def stop(server: TcpServer, connection: Any) -> None:
        server.read_request(connection)
        connection.sendall(
            f"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Disposition: {disposition('a')}\r\n\r\nxx".encode()
        )
        server.done.wait(2)

    async with Session(serve(stop).url, ApiKey(KEY), limiter=TokenBucket(1e6), retries=0, timeout=0.1) as ws:
        with pytest.raises(errors.CallTimeout):
            await ws.download(5, tmp_path)
    assert names_in(tmp_path) == []


# File names


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("attachment; filename*=UTF-8''worksection.txt", "worksection.txt"),
        ("attachment; filename*=utf-8'uk'%D0%9F%D0%BB%D0%B0%D0%BD.pdf; size=5", "План.pdf"),
        ("attachment; filename=\"old.txt\"; filename*=UTF-8''new.txt", "new.txt"),
        ("attachment; filename*=UTF-8''new.txt; filename=\"old.txt\"", "new.txt"),
        ('attachment; filename="a b.txt"', "a b.txt"),
        ("attachment; filename=plain.txt", "plain.txt"),
        ("attachment", "file"),
        ("", "file"),
        ("attachment; filename=", "file"),
        ('attachment; filename=""', "file"),
        (disposition("../../etc/passwd"), "passwd"),
        (disposition("..\\..\\windows\\system.ini"), "system.ini"),
        (disposition("/etc/cron.d/x"), "x"),
        (disposition("C:\\boot.ini"), "boot.ini"),
        (disposition("C:boot.ini"), "C_boot.ini"),
        (disposition(".."), "file"),
        (disposition("."), "file"),
        (disposition("..."), "file"),
        (disposition("dir/"), "file"),
        (disposition(".bashrc"), "bashrc"),
        (disposition("a.txt."), "a.txt"),
        (disposition("a.txt "), "a.txt"),
        (disposition("a\x00b\nc\td.txt"), "a_b_c_d.txt"),
        (disposition("a\x85b\x9b.txt"), "a_b_.txt"),
        (disposition("photo\u202egpj.exe"), "photo_gpj.exe"),
        (disposition("a\u2028b.txt"), "a_b.txt"),
        (disposition('a<b>c:d"e|f?g*h.txt'), "a_b_c_d_e_f_g_h.txt"),
        (disposition("CON"), "file_CON"),
        (disposition("con.txt"), "file_con.txt"),
        (disposition("Nul .tar.gz"), "file_Nul .tar.gz"),
        (disposition("COM1.log"), "file_COM1.log"),
        (disposition("LPT³"), "file_LPT³"),
        (disposition("CONIN$"), "file_CONIN$"),
        (disposition("console.txt"), "console.txt"),
        (disposition("1. Договор поставки оборудования и услуг"), "1. Договор поставки оборудования и услуг"),
        (disposition("Report v1.final version of it"), "Report v1.final version of it"),
        (disposition("x" * 300 + ".pdf"), "x" * 196 + ".pdf"),
        (disposition("x" * 300), "x" * 200),
        (disposition("é" * 300 + ".pdf"), "é" * 98 + ".pdf"),
        (disposition("x" * 199 + " " + "y" * 20), "x" * 199),
        (disposition("😀" * 100), "😀" * 50),
    ],
    ids=lambda value: ascii(value)[-40:],
)  # fmt: skip
def test_safe_name_of_a_header(header: str, name: str) -> None:
    assert safe_name(header) == name


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=300) | st.text(
    "./\\ :*aCONx1\x00\u202e é", max_size=40
)
WINDOWS = {
    "con",
    "prn",
    "aux",
    "nul",
    "conin$",
    "conout$",
    *(f"{port}{n}" for port in ("com", "lpt") for n in range(10)),
}


@given(NAMES, st.booleans())
@example("con.", True)
@example(" .con . ", True)
@example("a" * 199 + ". b", True)
def test_safe_name_stays_in_its_folder(name: str, extended: bool) -> None:
    plain = f'attachment; filename="{name}"'
    safe = safe_name(disposition(name) if extended else plain)
    assert safe
    assert not set(safe) & set('/\\<>:"|?*')
    assert not any(
        unicodedata.category(char) in ("Cc", "Zl", "Zp") or unicodedata.bidirectional(char) == "RLO" for char in safe
    )
    assert safe not in (".", "..")
    assert safe == safe.strip(" .")
    assert safe.partition(".")[0].strip().lower() not in WINDOWS
    assert len(safe.encode()) <= 255
    assert (Path("/folder") / safe).parent == Path("/folder")


@given(st.text(max_size=80))
def test_any_header_gives_a_name(header: str) -> None:
    assert 0 < len(safe_name(header).encode(errors="replace")) <= 255
