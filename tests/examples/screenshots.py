"""Takes the screenshots of the FastAPI example: ``python -m tests.examples.screenshots`` while its demo runs."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.examples.test_fastapi_app import log_in
from tests.support.chromium import Chromium
from tests.support.constants import DOCS

FOLDER = DOCS / "examples" / "fastapi_app"


def take(page: Page) -> None:
    log_in(page, "https://localhost:8443")
    for name, scheme, width in (("tasks-light.png", "light", 360), ("tasks-dark.png", "dark", 360)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": 500})
        page.screenshot(path=FOLDER / name)


if __name__ == "__main__":
    with Chromium() as browser:
        browser.run(take)
