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
@pytest.mark.filterwarnings("ignore:Exception ignored .*<async_generator")
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
        lambda: httpx.Response(
            200, content=b"<html>log in</html>", headers={"Content-Type": "text/html; charset=utf-8"}
        ),
        lambda: httpx.Response(200, content=b"<html/>", headers={"Content-Type": "application/xhtml+xml"}),
        lambda: httpx.Response(200, content=CONTENT),
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


# Files without Content-Disposition


def typed(media_type: str, content: bytes = CONTENT, **headers: str) -> Callable[[], httpx.Response]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda: httpx.Response(200, stream=_Chunks(content), headers={"Content-Type": media_type, **named})


@pytest.mark.parametrize(
    ("media_type", "content", "name"),
    [
        ("application/pdf", CONTENT, "file-17694.pdf"),
        ("application/pdf;charset=binary", CONTENT, "file-17694.pdf"),
        ("Image/PNG", CONTENT, "file-17694.png"),
        ("text/plain; charset=utf-8", b"notes", "file-17694.txt"),
        ("application/x-download", CONTENT, "file-17694"),
        ("application/pdf", b"", "file-17694.pdf"),
        ("application/x-made-up", b'{"status": "error", "message": "a stored text"}', "file-17694"),
        ("application/json", b'{"plan": [1, 2]}', "file-17694.json"),
        ("application/json; charset=utf-8", b'[{"status": "done"}]', "file-17694.json"),
        ("application/json", b'\xef\xbb\xbf{"plan": 1}', "file-17694.json"),
        ("application/json", b"[" + b"1," * 100_000 + b"1]", "file-17694.json"),
        ("application/x-made-up+json", b'{"type": "Point"}', "file-17694"),
    ],
)
async def test_a_body_of_another_type_than_a_reply_is_a_file(
    session_with: Make, tmp_path: Path, media_type: str, content: bytes, name: str
) -> None:
    async with session_with(always(typed(media_type, content))) as ws:
        saved = await ws.download(17694, tmp_path)
        async with ws.open_download(17694) as opened:
            streamed = b"".join([chunk async for chunk in opened])
    assert (saved.name, saved.size, saved.media_type, opened.name) == (name, len(content), media_type, name)
    assert (tmp_path / name).read_bytes() == streamed == content


@pytest.mark.parametrize(
    ("media_type", "content", "kind"),
    [
        ("application/json", b'{"status": "error", "status_code": 4, "message": "File not found"}', NotFound),
        ("text/json", b' {"message": "File not found", "status": "error"}', NotFound),
        ("application/problem+json", b'{"status": "error", "message": "File not found"}', NotFound),
        ("text/html", b'{"status": "error", "message": "File not found"}', NotFound),  # PHP's default type
        ("application/json", b'{"status": "ok"}', UnexpectedReply),
        ("application/json", b'{"error": "invalid_token", "errorDescription": "Token is expired"}', errors.AuthError),
        ("application/json", b"", UnexpectedReply),
        ("application/json", b'<b>Warning</b>: Undefined index{"status":"ok"}', UnexpectedReply),
        ("application/json", b'{"status": "err', UnexpectedReply),
        ("application/json", b"[" * 20_000, UnexpectedReply),
    ],
)  # fmt: skip
async def test_a_reply_of_the_service_is_no_file(
    session_with: Make, tmp_path: Path, media_type: str, content: bytes, kind: type[errors.WorksectionError]
) -> None:
    async with session_with(always(typed(media_type, content)), retries=0) as ws:
        with pytest.raises(kind):
            await ws.download(5, tmp_path)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("header", "is_file"),
    [
        ("attachment; filename=page.html", True),
        ("ATTACHMENT", True),
        ("filename=page.html", True),
        ("inline; filename=page.html", False),
        ("inline", False),
        ("", False),
    ],
)
async def test_an_html_page_is_a_file_only_as_an_attachment(
    session_with: Make, tmp_path: Path, header: str, is_file: bool
) -> None:
    page = typed("text/html", b"<html>log in</html>", Content_Disposition=header)
    async with session_with(always(page)) as ws:
        if is_file:
            assert (await ws.download(5, tmp_path)).name in ("page.html", "file-5.html")
        else:
            with pytest.raises(UnexpectedReply):
                await ws.download(5, tmp_path)


async def test_a_disposition_without_a_name_gives_the_name_from_the_type(session_with: Make, tmp_path: Path) -> None:
    async with session_with(always(typed("application/pdf", Content_Disposition="attachment"))) as ws:
        assert (await ws.download(5, tmp_path)).name == "file-5.pdf"


# httpx does not close its own generators on trio
@pytest.mark.filterwarnings("ignore:Exception ignored .*<async_generator")
async def test_a_long_page_is_not_read_as_a_whole(session_with: Make, tmp_path: Path) -> None:
    read = 0

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            nonlocal read
            while True:
                read += 1
                yield b"<p>" * 1000

    async with session_with(always(lambda: httpx.Response(200, stream=Endless()))) as ws:
        with pytest.raises(UnexpectedReply, match="a page instead of the API"):
            await ws.download(5, tmp_path)
    assert read < 30


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


@pytest.mark.parametrize(
    ("header", "name"),
    [
        # case, blanks and order
        ('ATTACHMENT; FILENAME="a.txt"', "a.txt"),
        ("attachment;FileName*=utf-8''%D0%9F.txt", "П.txt"),
        ('attachment ; filename = "a.txt" ; size = 3', "a.txt"),
        ('attachment; filename="a;b.txt"; size=3', "a;b.txt"),
        ("attachment; filename=a=b.txt", "a=b.txt"),
        ("attachment; filename=my file.pdf", "my file.pdf"),
        ("attachment; filename=my new file.pdf; size=5", "my new file.pdf"),
        ("filename=a.txt", "a.txt"),
        # quoted pairs
        (r'attachment; filename="a \"b\".txt"', "a _b_.txt"),
        (r'attachment; filename="a\\b.txt"', "b.txt"),
        (r'attachment; filename="C:\dir\plan.pdf"', "plan.pdf"),
        (r'attachment; filename="..\\..\\a\";.txt"', "a_;.txt"),
        ('attachment; filename="open.pdf', "open.pdf"),
        # extended values
        ("attachment; filename*=ISO-8859-1''caf%E9.pdf", "café.pdf"),
        ("attachment; filename*=iso-8859-1'en'%A3%20rates.txt", "£ rates.txt"),
        ("attachment; filename*=windows-1251''%CF%EB%E0%ED.pdf", "План.pdf"),
        ("attachment; filename*=\"UTF-8''%D0%9F%D0%BB%D0%B0%D0%BD.pdf\"", "План.pdf"),
        ("attachment; filename*=UTF-8''it's.txt", "it's.txt"),
        ("attachment; filename*=UTF-8''a b.txt", "a b.txt"),
        ("attachment; filename*=%D0%9F.pdf", "П.pdf"),
        ("attachment; filename*=План.pdf", "План.pdf"),
        ("attachment; filename=\"old.txt\"; filename*=UTF-8''%FF.txt", "old.txt"),
        ("attachment; filename*=x-unknown''a.txt; filename=old.txt", "old.txt"),
        ("attachment; filename*=UTF-8''%FF.txt", "file"),
        ("attachment; filename*=UTF-8''..%2F..%5Cetc%2Fpasswd", "passwd"),
        # plain values that are encoded nevertheless
        ('attachment; filename="План.pdf"', "План.pdf"),
        ('attachment; filename="' + "План.pdf".encode().decode("latin-1") + '"', "План.pdf"),
        ('attachment; filename="café.pdf"', "café.pdf"),
        ('attachment; filename="=?UTF-8?B?0J/Qu9Cw0L0ucGRm?="', "План.pdf"),
        ('attachment; filename="=?windows-1251?Q?=CF=EB=E0=ED.pdf?="', "План.pdf"),
        ('attachment; filename="=?UTF-8?B?0J/Qu9Cw?= =?UTF-8?B?0L0ucGRm?="', "План.pdf"),
        ('attachment; filename="=?x-unknown?B?0J8=?="', "_=_x-unknown_B_0J8=_=".strip("_")),
        ('attachment; filename="my%20file.pdf"', "my file.pdf"),
        ("attachment; filename=%D0%9F%D0%BB%D0%B0%D0%BD.pdf", "План.pdf"),
        ('attachment; filename="100% done.pdf"', "100% done.pdf"),
        ('attachment; filename="caf%E9.pdf"', "caf%E9.pdf"),
        ('attachment; filename="..%2F..%2Fetc%2Fpasswd"', "passwd"),
        ('attachment; filename="=?UTF-8?B?Li4vLi4vZXRjL3Bhc3N3ZA==?="', "passwd"),
    ],
    ids=lambda value: ascii(value)[-40:],
)
def test_names_are_read_as_rfc_6266_says_and_as_php_sites_send_them(header: str, name: str) -> None:
    assert safe_name(header) == name


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ('attachment; filename="План.pdf"'.encode(), "План.pdf"),
        ('attachment; filename="café.pdf"'.encode("latin-1"), "café.pdf"),
        ('attachment; filename="日本.pdf"'.encode(), "日本.pdf"),
    ],
)
@pytest.mark.parametrize("other", [b"plain", "caf\xe9".encode("latin-1")])
async def test_a_name_in_raw_bytes_is_read_whatever_the_other_headers_contain(
    session_with: Make, tmp_path: Path, raw: bytes, name: str, other: bytes
) -> None:
    """httpx decodes all headers by UTF-8, or all by ISO-8859-1 if one of them is not UTF-8."""
    headers = [(b"Content-Disposition", raw), (b"X-Powered-By", other)]
    async with session_with(always(lambda: httpx.Response(200, content=CONTENT, headers=headers))) as ws:
        assert (await ws.download(5, tmp_path)).name == name


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
    _assert_is_safe(safe_name(disposition(name) if extended else plain))


@given(
    st.sampled_from(["filename=", "FILENAME*=", "filename*=UTF-8''", "filename*0*=", "filename==?utf-7?Q?"]),
    st.text("./\\%25CF=?'\"; \x00aé\u202e", max_size=60),
)
def test_no_spelling_of_a_name_leaves_its_folder(parameter: str, value: str) -> None:
    for header in (f"attachment; {parameter}{value}", f'attachment; {parameter}"{value}"', f"{parameter}{value}"):
        _assert_is_safe(safe_name(header))


def _assert_is_safe(safe: str) -> None:
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
