"""`models.plain`: descriptions and comments without HTML, as text and as Markdown."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from worksection_async.models import plain

LIST = "<ul><li>one</li><li>two<ul><li>in</li></ul></li></ul>"


@pytest.mark.parametrize(
    ("source", "text", "markdown"),
    [
        ("a<br>b<BR/>c<br />d", "a\nb\nc\nd", "a  \nb  \nc  \nd"),
        ("a<br />\r\nb<br>\n<br>\nc", "a\nb\n\nc", "a  \nb  \n  \nc"),
        ("<p>a</p>\n<p>b</p>", "a\n\nb", "a\n\nb"),
        ("<div>a</div><div>b</div>", "a\n\nb", "a\n\nb"),
        (LIST, "- one\n- two\n  - in", "- one\n- two\n  - in"),
        ("<ol><li>a</li><li>b</li></ol>", "1. a\n2. b", "1. a\n2. b"),
        ("<b>a</b> <i>b</i> <s>c</s>", "a b c", "**a** *b* ~~c~~"),
        ("<h2>Plan</h2>a", "Plan\n\na", "## Plan\n\na"),
        ("<pre>  a\n   b</pre>", "  a\n   b", "```\n  a\n   b\n```"),
        ("<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>", "a | b\n1 | 2", None),
        ('<a href="https://x.y/?a=1&amp;b=2">the plan</a>', "the plan (https://x.y/?a=1&b=2)", None),
        ('<a href="https://x.y/">https://x.y</a>', "https://x.y", "[https://x.y](https://x.y/)"),
        ('<a href="mailto:a@b.c">a@b.c</a>', "a@b.c", "[a@b.c](mailto:a@b.c)"),
        ('<a class="mention" href="/user/41/">Ada Byron</a>, look', "Ada Byron, look", "Ada Byron, look"),
        ('<span class="mention" data-id="41">@Ada</span> look', "@Ada look", "@Ada look"),
        ('<img src="https://x.y/1.png" alt="a plan">', "a plan", "![a plan](https://x.y/1.png)"),
        ('<img src="data:image/png;base64,AA" alt="a plan">', "a plan", "a plan"),
        ("a&nbsp;&amp;&nbsp;b&#33;<br>&lt;b&gt;", "a & b!\n<b>", "a \\& b!  \n\\<b\\>"),
        ('<a href="https://x.y/\ud800">a</a>', "a (https://x.y/\ud800)", "[a](https://x.y/?)"),
        ("<!-- a note -->a", "a", "a"),
        ("<li>", "", ""),
    ],
)
def test_html_is_converted(source: str, text: str, markdown: str | None) -> None:
    assert plain(source) == text
    if markdown is not None:
        assert plain(source, markdown=True) == markdown


@pytest.mark.parametrize("source", [None, ""])
def test_an_absent_text_is_empty(source: str | None) -> None:
    assert plain(source) == plain(source, markdown=True) == ""


@pytest.mark.parametrize(
    "source",
    [
        "a < b and c > d",
        "if x<y then\n\n   y>x",
        "write to Bo <bo@example.com>",
        "<script>alert(1)</script> and <bold> are no formatted text",
        "AT&T: ?a=1&copy=2",
        "1 <2\nI <3 it",
        "<",
        "a <br",
    ],
)
def test_a_text_without_tags_is_kept(source: str) -> None:
    assert plain(source) == source


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a &lt;b&gt; c\r\nd", "a <b> c\nd"),
        ("&quot;x&quot; &#38; &#x26;", '"x" & &'),
        ("&Auml;&nosuchname;", "Ä&nosuchname;"),
    ],
)
def test_entities_are_decoded_in_a_text_without_tags(source: str, text: str) -> None:
    assert plain(source) == text


def test_what_is_no_element_is_kept_beside_tags() -> None:
    source = "Bo <bo@example.com>: x<y, <placeholder><br><b>bye</b>"
    assert plain(source) == "Bo <bo@example.com>: x<y, <placeholder>\nbye"


def rendered(markdown: str) -> str:
    page: str = MarkdownIt("commonmark").render(markdown)
    return page


@pytest.mark.parametrize(
    "source",
    [
        "* no list\n# no heading\n1. no item",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "a *b* _c_ `d` [e](https://x.y) <b@example.com>",
        "> no quote",
    ],
)
def test_markdown_renders_as_the_text(source: str) -> None:
    shown = html.unescape(re.sub(r"<br />\n|</?p>", "\n", rendered(plain(source, markdown=True)))).strip()
    assert re.sub(r"\n+", "\n", shown) == plain(source)


@pytest.mark.parametrize(
    "source",
    [
        '<a href="javascript:alert(1)">x</a>',
        '<a href=" JavaScript:alert(1)">x</a>',
        '<a href="data:text/html,x">x</a>',
        '<a href="https://[bad">x</a>',
        '<a href="https://x.y/) [x](https://evil.example">x</a>',
        '<img src="https://x.y/a.png" alt="](https://x.y) [x](https://evil.example) ![">',
        '<img src="javascript:alert(1)" alt="x">',
        "<b>&lt;img src=x onerror=alert(1)&gt;</b>",
    ],
)
def test_markdown_contains_no_script_and_no_forged_link(source: str) -> None:
    page = rendered(plain(source, markdown=True))
    assert not re.search(r'(?:href|src)="(?!https://x\.y)|<img src=x', page)


@pytest.mark.parametrize("markdown", [False, True])
def test_deeply_nested_html_is_converted(markdown: bool) -> None:
    assert plain("<div>" * 5000 + "a &amp; b" + "</div>" * 5000, markdown=markdown).split() in (
        ["a", "&", "b"],
        ["a", "\\&", "b"],
    )


@given(
    st.lists(
        st.sampled_from(["word", " ", "\n", "<", ">", "<b>", "</b>", "<br>", "<li>", "&lt;", "&", "x_y", "https://x"])
    )
)
@example(["https://x"])  # a text that looks like an address or a path is no reason for a warning
@example(["/etc/passwd"])
def test_no_word_of_any_text_is_lost(parts: list[str]) -> None:
    source = "".join(parts)
    words = re.sub(r"</?(?:b|br|li)>", "", source)
    expected = re.sub(r"[\s-]", "", words.replace("&lt;", "<"))
    assert re.sub(r"[\s-]", "", plain(source)) == expected
    plain(source, markdown=True)
