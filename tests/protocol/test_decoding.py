"""Bytes → text → JSON: byte order marks and lone surrogates, in replies, token answers and webhooks."""

from __future__ import annotations

import codecs
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worksection_async._protocol.actions import ACTIONS
from worksection_async._protocol.decoding import from_json, text_of
from worksection_async._protocol.envelope import Reply, open_flat, read_reply
from worksection_async._protocol.structure import Structure
from worksection_async.models import Task
from worksection_async.webhooks import parse_events

MARKS = [
    pytest.param(codecs.BOM_UTF8, "utf-8", id="utf-8"),
    pytest.param(codecs.BOM_UTF8 * 2, "utf-8", id="utf-8 twice"),
    pytest.param(b"\r\n" + codecs.BOM_UTF8 + b" ", "utf-8", id="utf-8 among blanks"),
    pytest.param(codecs.BOM_UTF16_LE, "utf-16-le", id="utf-16-le"),
    pytest.param(codecs.BOM_UTF16_BE, "utf-16-be", id="utf-16-be"),
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("aé\\u😀", max_size=3), inner, max_size=3),
)


@pytest.mark.parametrize(("mark", "encoding"), MARKS)
def test_a_byte_order_mark_before_a_reply_is_skipped(mark: bytes, encoding: str) -> None:
    body = mark + '{"status":"ok","data":[{"id":1,"name":"Їжак"}]}'.encode(encoding)
    assert read_reply(ACTIONS["get_tasks"], Reply(200, {}, body, 0.0), Structure()) == [Task(id=1, name="Їжак")]


@pytest.mark.parametrize(("mark", "encoding"), MARKS)
def test_a_byte_order_mark_before_a_token_answer_does_not_lose_the_pair(mark: bytes, encoding: str) -> None:
    body = mark + '{"access_token":"a","refresh_token":"r"}'.encode(encoding)
    assert open_flat("oauth2/refresh", Reply(200, {}, body, 0.0), "access_token")["refresh_token"] == "r"


@pytest.mark.parametrize(("mark", "encoding"), MARKS)
def test_a_byte_order_mark_before_a_webhook_is_skipped(mark: bytes, encoding: str) -> None:
    body = mark + '[{"action":"post","object":{"type":"task","id":"7"}}]'.encode(encoding)
    assert [event.id_task for event in parse_events(body)] == [7]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'"\ud800"', "�"),
        (r'"\uDC00"', "�"),
        (r'"a\udfffb"', "a�b"),
        (r'"\ud83d\ude00"', "😀"),
        (r'"\uD83D\uDE00 \ud83d"', "😀 �"),
        (r'"\ud83d\ud83d\ude00"', "�😀"),
        (r'"\ud83d\ude00\ude00"', "😀�"),
        (r'"\ude00\ud83d"', "��"),
        (r'"\ud83d-\ude00"', "�-�"),
        (r'"\\ud800"', r"\ud800"),
        (r'"\\\ud800"', "\\�"),
        (r'"\ud800\\\\ud800"', "�\\\\ud800"),
        (r'"\ud800\n"', "�\n"),
        (r'"\ud7ff"', "\ud7ff"),
        (r'{"\ud800": ["\udc00"]}', {"�": ["�"]}),
    ],
)
def test_lone_surrogates_become_the_replacement_character(text: str, expected: object) -> None:
    assert from_json(text) == expected


def test_a_lone_surrogate_in_a_reply_can_be_encoded_again() -> None:
    body = rb'{"status":"ok","data":[{"id":1,"name":"\ud83d","\udead":"x"}]}'
    tasks: Any = read_reply(ACTIONS["get_tasks"], Reply(200, {}, body, 0.0), Structure())
    assert (tasks[0].name, tasks[0].extra) == ("�", {"�": "x"})
    (event,) = parse_events(rb'[{"action":"post","object":{"id":7},"new":{"text":"\ud83d"}}]')
    assert event.new == {"text": "�"}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"\xed\xa0\x80", "�"),
        (b"a\xed\xb0\x80b", "a�b"),
        (b"\xed\xa0\xbd\xed\xb8\x80", "😀"),  # a pair, as CESU-8 encodes it
        (codecs.BOM_UTF16_LE + b"\x00\xd8a\x00", "�a"),
    ],
)
def test_encoded_surrogates_become_the_replacement_character(body: bytes, text: str) -> None:
    assert text_of(body) == text


@given(json_values, st.booleans())
def test_json_without_lone_surrogates_is_decoded_unchanged(value: Any, is_ascii: bool) -> None:
    assert from_json(json.dumps(value, ensure_ascii=is_ascii)) == value


@given(st.text(st.characters()))
@example("\ud800\udc00")
def test_any_escaped_text_becomes_valid_text(text: str) -> None:
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert from_json(json.dumps(text)) == joined
    joined.encode()
