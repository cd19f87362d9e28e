"""All generated reference pages, and the index of the names that they link."""

from __future__ import annotations

import anyio

from tests.reference.calls import CALLS
from tests.reference.class_pages import TOPICS, error_page, heading, topic_page
from tests.reference.exchanges import Exchange, exchange
from tests.reference.markdown import MARK, slug
from tests.reference.pictures import call, error_tree, event, token_pair
from tests.reference.spec_pages import action_page, model_page
from tests.support.constants import DOCS, ROOT
from worksection_async import errors
from worksection_async._spec import Spec, load

FOLDER = "docs/reference"


def render_all() -> dict[str, str]:
    """Return the generated files: path → text."""
    spec = load()
    link = index(spec).get
    exchanges = anyio.run(_exchanges)
    files = {
        f"{FOLDER}/actions-{name}.md": action_page(spec, group, exchanges, link) for name, group in spec.groups.items()
    }
    files[f"{FOLDER}/models.md"] = model_page(spec, link)
    files[f"{FOLDER}/errors.md"] = error_page(spec, link)
    files |= {f"{FOLDER}/{topic.path}": topic_page(topic, link) for topic in TOPICS}
    pictures = {"call": call(), "errors": error_tree(), "event": event(), "tokens": token_pair(spec)}
    return files | {f"docs/pictures/{name}.svg": drawing.svg(MARK) for name, drawing in pictures.items()}


async def _exchanges() -> dict[str, Exchange]:
    return {name: await exchange(call) for name, call in CALLS.items()}


def index(spec: Spec) -> dict[str, str]:
    """Return the address of each public name, relative to the folder of the pages."""
    addresses = {name: f"models.md#{slug(name)}" for name in spec.models}
    addresses |= {name: f"errors.md#{slug(name)}" for name in errors.__all__}
    for topic in TOPICS:
        addresses |= {it.__name__: f"{topic.path}#{slug(heading(it))}" for it in topic.content}
    for name, group in spec.groups.items():
        addresses |= {action: f"actions-{name}.md#{slug(action)}" for action in group.actions}
    return addresses


def find_differences(files: dict[str, str]) -> list[str]:
    """Return a line for each file that is missing, stale or orphaned."""
    differences = []
    for path, text in files.items():
        if not (ROOT / path).exists():
            differences.append(f"missing: {path}")
        elif (ROOT / path).read_text("utf-8") != text:
            differences.append(f"stale: {path}")
    generated = (path for path in sorted(DOCS.rglob("*")) if path.suffix in {".md", ".svg"})
    marked = (path.relative_to(ROOT).as_posix() for path in generated if MARK in path.read_text("utf-8")[:200])
    return differences + [f"orphaned: {path}" for path in marked if path not in files]
