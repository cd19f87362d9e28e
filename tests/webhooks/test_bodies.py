"""Webhook bodies: compressed ones and other charsets are read; what cannot be read is logged; a fault loses none."""

from __future__ import annotations

import gzip
import json
import logging
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from anyio.streams.memory import MemoryObjectSendStream
from hypothesis import given
from hypothesis import strategies as st

from tests.support.webhook_deliveries import EVENT, OK, RecordingHandler, body, client, record
from worksection_async._protocol.structure import Malformed, Structure
from worksection_async.webhooks import UnreadableEvent, WebhookReceiver, deduplication, parse_events
from worksection_async.webhooks.body import charset, decode_text, decompress

pytestmark = [pytest.mark.anyio, pytest.mark.one_row_on_trio]

TOKEN = "9f8e7d6c5b4a39281706f5e4d3c2b1a0"


@pytest.fixture
def handler() -> RecordingHandler:
    return RecordingHandler()


def text(value: str, encoding: str = "utf-8") -> bytes:
    """A delivery whose text is encoded without escapes, as PHP's JSON_UNESCAPED_UNICODE does."""
    return json.dumps([record(1, new={"text": value})], ensure_ascii=False).encode(encoding)


def form(value: str, encoding: str = "utf-8") -> bytes:
    """A delivery as a form, whose text is escaped in *encoding*."""
    return urlencode({"payload": text(value, encoding)}).encode()


FORM = "application/x-www-form-urlencoded"


def raw_deflate(content: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(content) + stream.flush()


async def deliver(handler: RecordingHandler, content: bytes, **headers: str) -> tuple[httpx.Response, WebhookReceiver]:
    async with WebhookReceiver(handler, max_body=10_000) as receiver, client(receiver) as http:
        answer = await http.post(
            "/", content=content, headers={name.replace("_", "-"): it for name, it in headers.items()}
        )
    return answer, receiver


# Compressed bodies


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (gzip.compress(EVENT), "gzip"),
        (gzip.compress(EVENT), "GZip"),
        (gzip.compress(EVENT), "x-gzip"),
        (gzip.compress(EVENT), ""),  # a proxy has removed the header
        (EVENT, "gzip"),  # a proxy has decompressed the body and kept the header
        (gzip.compress(EVENT[:20]) + gzip.compress(EVENT[20:]), "gzip"),
        (zlib.compress(EVENT), "deflate"),
        (raw_deflate(EVENT), "deflate"),
        (EVENT, "deflate"),
        (EVENT, "identity"),
        (EVENT, "utf-8"),  # a charset in the wrong header
    ],
)
async def test_a_compressed_body_is_read(handler: RecordingHandler, content: bytes, encoding: str) -> None:
    answer, receiver = await deliver(handler, content, Content_Encoding=encoding)
    assert (answer.status_code, answer.json(), handler.object_ids) == (200, OK, [9])
    assert receiver.statistics().unreadable == 0


@pytest.mark.parametrize(
    ("compress", "encoding"),
    [(gzip.compress, "gzip"), (zlib.compress, "deflate"), (raw_deflate, "deflate"), (gzip.compress, "")],
)
async def test_a_body_that_becomes_too_large_is_refused(
    handler: RecordingHandler, compress: Callable[[bytes], bytes], encoding: str
) -> None:
    for bomb in (compress(b"[" + b" " * 10_000 + b"]"), compress(b" " * 5_000_000)):
        assert len(bomb) < 10_000
        answer, _ = await deliver(handler, bomb, Content_Encoding=encoding)
        assert answer.status_code == 413
    limit, _ = await deliver(handler, compress(EVENT + b" " * (10_000 - len(EVENT))), Content_Encoding=encoding)
    assert (limit.status_code, handler.object_ids) == (200, [9])


@pytest.mark.parametrize(
    ("compress", "encoding"), [(gzip.compress, b"gzip"), (zlib.compress, b"deflate"), (raw_deflate, b"deflate")]
)
def test_not_more_than_the_limit_is_decompressed(compress: Callable[[bytes], bytes], encoding: bytes) -> None:
    bomb = compress(b" " * 50_000_000)
    tracemalloc.start()
    try:
        assert decompress(bomb, encoding, 10_000) is None
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (gzip.compress(EVENT)[:-12], "gzip"),
        (gzip.compress(EVENT)[:12] + b"??" + gzip.compress(EVENT)[14:], "gzip"),
        (gzip.compress(EVENT)[:-8] + b"\0" * 8, "gzip"),
        (zlib.compress(EVENT)[:-12], "deflate"),
        (b"neither", "deflate"),
    ],
)
async def test_a_damaged_compressed_body_is_unreadable(
    handler: RecordingHandler, content: bytes, encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer, receiver = await deliver(handler, content, Content_Encoding=encoding)
    assert (answer.status_code, receiver.statistics().unreadable) == (200, 1)
    assert "unexpected body at $: the compressed body is damaged: " in caplog.text


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br"])
async def test_an_encoding_that_cannot_be_read_is_refused(
    handler: RecordingHandler, encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer, receiver = await deliver(handler, b"\x0b\x02", Content_Encoding=encoding)
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip, deflate")
    assert (receiver.statistics().refused, receiver.statistics().unreadable) == (1, 0)
    assert f"Content-Encoding {encoding.rpartition(' ')[2]} cannot be read" in caplog.text


@given(st.binary() | st.binary().map(lambda it: b"\x1f\x8b" + it), st.sampled_from([b"", b"gzip", b"deflate"]))
def test_any_bytes_are_decompressed_or_malformed(content: bytes, encoding: bytes) -> None:
    try:
        result = decompress(content, encoding, 100)
    except Malformed:
        return
    assert result is None or len(result) <= 100


# Charsets


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (text("План", "windows-1251"), "application/json; charset=windows-1251"),
        (text("План", "cp1251"), 'application/json;CHARSET="CP1251"'),
        (text("План", "koi8-u"), "application/json; charset=KOI8-U"),
        (text("План", "utf-16"), "application/json; charset=utf-16"),
        (text("План"), "application/json; charset=utf-8"),
        (text("План"), "application/json"),
        (text("План"), ""),
        (text("План", "utf-8-sig"), "application/json"),
        (text("План", "utf-8-sig"), "application/json; charset=windows-1251"),
        (text("План"), "application/json; charset=x-unknown"),
        (text("План"), "application/json; charset=us-ascii"),
        (text("План"), "application/json; charset=punycode"),
        (text("План"), "application/json; charset=unicode-escape"),
        (text("План"), "application/json; charset=base64"),
        (text("План"), "application/json; charset=a\0b"),
        (text("План"), "nonsense; charset"),
        (form("План", "windows-1251"), f"{FORM}; charset=windows-1251"),
        (quote(text("План", "koi8-u")).encode(), f"{FORM}; charset=koi8-u"),
        (form("План"), FORM),
        (form("План"), f"{FORM}; charset=windows-1251"),  # escapes are UTF-8, whatever the charset of the page
        (form("План"), f"{FORM}; charset=base64"),
    ],
)
async def test_the_text_has_the_charset_of_the_content_type(
    handler: RecordingHandler, content: bytes, content_type: str
) -> None:
    async with WebhookReceiver(handler) as receiver, client(receiver) as http:
        request = http.build_request("POST", "/", content=content)
        request.headers["content-type"] = content_type
        assert (await http.send(request)).json() == OK
    assert [event.new for event in handler.events] == [{"text": "План"}]


@pytest.mark.parametrize(
    ("content", "content_type", "reason"),
    [
        (text("План", "cp1251"), "application/json", "not UTF-8"),
        (text("План", "cp1251"), "application/json; charset=utf-16", "neither 'utf-16' nor UTF-8"),
        (text("План", "cp1251"), "application/json; charset=x-unknown", "neither 'x-unknown' nor UTF-8"),
    ],
)
async def test_a_text_in_another_charset_is_unreadable(
    handler: RecordingHandler, content: bytes, content_type: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer, receiver = await deliver(handler, content, Content_Type=content_type)
    assert (answer.status_code, receiver.statistics().unreadable) == (200, 1)
    assert f"unexpected body at $: {reason}; it starts with '[{{" in caplog.text


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", "; charset=x-unknown", "; charset=base64"])
async def test_a_form_in_an_unknown_charset_costs_only_its_letters(handler: RecordingHandler, charset: str) -> None:
    await deliver(handler, form("План 7", "windows-1251"), Content_Type=FORM + charset)
    assert [event.new for event in handler.events] == [{"text": "\ufffd\ufffd\ufffd\ufffd 7"}]


@given(st.binary(), st.binary(max_size=40))
def test_any_body_and_content_type_are_text_or_malformed(content: bytes, content_type: bytes) -> None:
    try:
        assert isinstance(decode_text(content, charset(b"application/json; charset=" + content_type)), str)
    except Malformed:
        assert not _is_utf8(content)


def _is_utf8(content: bytes) -> bool:
    try:
        return bool(content.decode())
    except ValueError:
        return False


# The log of unreadable bodies


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"<html>502 Bad Gateway</html>" + b" x" * 5000, "<html>502 Bad Gateway</html> x x"),
        (text("x " * 5000)[:-1], '[{"action": "update"'),
        (body({"action": "post", "object": None, "text": "x " * 5000}), '{"action": "post", "object": null'),
        (b"\xff" + b" x" * 5000, "\ufffd x x"),
    ],
)
async def test_an_unreadable_body_is_logged_with_its_first_500_characters(
    handler: RecordingHandler, content: bytes, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with WebhookReceiver(handler) as receiver, client(receiver) as http:
        assert (await http.post("/", content=content)).json() == OK
    (logged,) = [it.getMessage() for it in caplog.records if it.name == "worksection_async"]
    start = logged.partition("; it starts with ")[2].rpartition(". If this error persists")[0][1:-1]
    assert start.startswith(shown)
    assert len(start) == 500
    assert receiver.statistics().unreadable == 1


@pytest.mark.parametrize(
    "content",
    [
        f'{{"action": "post", "token": "{TOKEN}"}}',
        f"Token {TOKEN}",
        f"[{TOKEN}",
        f"{'a' * 4080} {TOKEN}<",  # the search for tokens ends within it
    ],
)
def test_the_excerpt_contains_no_token(content: str) -> None:
    with pytest.raises(UnreadableEvent) as caught:
        parse_events(content)
    assert TOKEN[:8] not in str(caught.value)
    assert "…" in str(caught.value)


def test_a_deeply_nested_event_has_an_excerpt() -> None:
    nested: Any = 1
    for _ in range(3000):
        nested = {"a": nested}
    with pytest.raises(UnreadableEvent, match=r"nested too deeply; it starts with .*\{\"a\": \{\"a\""):
        parse_events("a[" + "a][" * 3000 + "c]=1")


# Faults of this package


def fail(*_: object, **__: object) -> Any:
    raise AttributeError("a fault of this package")


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Structure, "at"),
        (deduplication.RecentEvents, "reserve"),
    ],
)
async def test_a_fault_of_this_package_is_not_answered_with_ok(
    handler: RecordingHandler,
    owner: object,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(owner, name, fail)
        async with WebhookReceiver(handler, tz="Europe/Kyiv") as receiver, client(receiver) as http:
            answer = await http.post("/", content=EVENT)
    assert (answer.status_code, answer.json()) == (500, {"status": "ERROR"})
    assert (receiver.statistics().refused, receiver.statistics().unreadable) == (1, 0)
    (logged,) = [it for it in caplog.records if it.name == "worksection_async"]
    assert (logged.levelno, logged.exc_info is not None) == (logging.ERROR, True)
    assert "a fault of this package" in caplog.text
    assert "update" in logged.getMessage()


@pytest.mark.parametrize(("owner", "name"), [(Structure, "at"), (MemoryObjectSendStream, "send_nowait")])
async def test_a_delivery_that_failed_is_accepted_when_it_is_repeated(
    handler: RecordingHandler, owner: object, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with WebhookReceiver(handler) as receiver, client(receiver) as http:
        with monkeypatch.context() as broken:
            broken.setattr(owner, name, fail)
            assert (await http.post("/", content=body(record(1), record(2)))).status_code == 500
        assert (await http.post("/", content=body(record(1), record(2)))).status_code == 200
    assert handler.object_ids == [1, 2]


async def test_the_log_of_a_fault_contains_no_credentials(
    handler: RecordingHandler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Error trackers show the local variables of all frames of a logged traceback."""
    monkeypatch.setattr(Structure, "at", fail)
    receiver = WebhookReceiver(handler, username="worksection", password="a long secret")
    async with receiver, client(receiver, auth=("worksection", "a long secret")) as http:
        assert (await http.post("/", content=EVENT)).status_code == 500
    (logged,) = [it for it in caplog.records if it.name == "worksection_async"]
    assert logged.exc_info is not None
    traceback = logged.exc_info[2]
    while traceback is not None:
        assert "authorization" not in repr(traceback.tb_frame.f_locals).lower()
        traceback = traceback.tb_next


def test_a_fault_of_this_package_is_raised_unchanged_by_parse_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Structure, "at", fail)
    with pytest.raises(AttributeError, match="a fault of this package"):
        parse_events(EVENT)
