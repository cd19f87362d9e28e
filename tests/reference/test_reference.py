"""The reference pages and pictures of the documentation are up to date and complete."""

from __future__ import annotations

import ast
import inspect
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import worksection_async
from tests.reference.calls import CALLS
from tests.reference.class_pages import ERROR_INTERNALS, TOPICS
from tests.reference.markdown import docstring, slug
from tests.reference.render import find_differences, index, render_all
from tests.support.constants import DOCS, ROOT
from tests.support.examples import python_blocks
from worksection_async import blocking, errors, filters, login, lookups, redis, testing, webhooks
from worksection_async._spec import load

REFERENCE = DOCS / "reference"

PUBLIC_MODULES = [worksection_async, blocking, errors, filters, login, lookups, redis, testing, webhooks]


def test_the_pages_are_up_to_date() -> None:
    """If this fails, run ``python -m tests.reference`` (or ``nox -s generate``)."""
    assert find_differences(render_all()) == []


def test_a_page_that_is_no_longer_generated_is_reported() -> None:
    path = "docs/reference/errors.md"
    text = (ROOT / path).read_text("utf-8")
    assert f"orphaned: {path}" in find_differences({})
    assert f"stale: {path}" in find_differences({path: text + "more"})
    assert "missing: docs/reference/legacy.md" in find_differences({"docs/reference/legacy.md": ""})


def test_each_action_has_an_example_that_calls_it() -> None:
    assert CALLS.keys() == load().actions.keys()
    for name, call in CALLS.items():
        assert call.code.startswith(f"await ws.{name}("), name


def test_each_name_of_the_index_has_one_heading_on_its_page() -> None:
    for name, address in index(load()).items():
        file, _, anchor = address.partition("#")
        headings = re.findall(r"^#+ (.+)$", (REFERENCE / file).read_text("utf-8"), re.MULTILINE)
        assert [slug(heading) for heading in headings].count(anchor) == 1, name


@pytest.mark.parametrize("module", PUBLIC_MODULES, ids=lambda module: module.__name__)
def test_each_public_class_and_function_has_an_entry(module: ModuleType) -> None:
    """If this fails, add the name to ``TOPICS`` in class_pages.py."""
    public = {name: getattr(module, name) for name in module.__all__}
    named = {name for name, it in public.items() if inspect.isclass(it) or inspect.isfunction(it)}
    assert named - index(load()).keys() == set()


def test_each_extra_and_each_message_of_the_service_is_listed() -> None:
    spec = load()
    pages = {path.name: path.read_text("utf-8") for path in REFERENCE.glob("*.md")}
    for group, content in spec.groups.items():
        for name, action in content.actions.items():
            if "extra" in action.params:
                enum = spec.enums[action.params["extra"].type.removeprefix("list[").removesuffix("]")]
                section = pages[f"actions-{group}.md"].partition(f"\n## {name}\n")[2].partition("\n## ")[0]
                assert all(f"`{value}`" in section for value in enum.values), name
    for error in spec.service.errors:
        assert f"| `{error.message}` |" in pages["errors.md"]


def test_internal_methods_of_errors_exist() -> None:
    """So that the list of what the page omits does not outlive them."""
    names = {name for cls in map(errors.__dict__.__getitem__, errors.__all__) for name in dir(cls)}
    assert names >= ERROR_INTERNALS


@pytest.mark.parametrize("picture", sorted((DOCS / "pictures").glob("*.svg")), ids=lambda path: path.name)
def test_a_picture_needs_no_other_file_and_has_a_text_for_those_who_cannot_see_it(picture: Path) -> None:
    text = picture.read_text("utf-8")
    root = ET.fromstring(text)
    assert root.findtext("{http://www.w3.org/2000/svg}title")
    assert not re.findall(r"(?:href|src|url)[=(]\W*https?:|@import|@font-face", text)


def test_docstrings_become_markdown() -> None:
    doc = """Do ``it`` with `Task` and `other`.

    ::

        await do()

    Args:
        name: A name
            of two lines.

    Raises:
        NotFound: It is missing.
    """
    assert docstring(doc, {"Task": "models.md#task"}.get) == (
        "Do `it` with [`Task`](models.md#task) and `other`.\n\n```python\nawait do()\n```\n\n**Arguments**\n\n"
        "- `name`: A name of two lines.\n\n**Raises**\n\n- `NotFound`: It is missing."
    )


def test_no_entry_is_listed_twice() -> None:
    names = [it.__name__ for topic in TOPICS for it in topic.content]
    assert len(names) == len(set(names))


@pytest.mark.anyio
async def test_the_example_in_the_docstring_of_the_simulator_runs() -> None:
    [code] = [code for code in python_blocks(REFERENCE / "testing.md") if code.startswith("async with Simulator(")]
    names: dict[str, Any] = {"Simulator": testing.Simulator}
    await eval(compile(code, "example", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    assert names["sim"].unused_faults == []
