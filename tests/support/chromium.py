"""The Chromium of the system, because the one of Playwright would have to be downloaded."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

T = TypeVar("T")

PATH = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

needs_chromium = pytest.mark.skipif(PATH is None, reason="no Chromium found: apt-get install chromium")

TIMEOUT_SECONDS = 60.0
"""For a busy machine; the default of Playwright's assertions is 5 seconds."""

LOOPBACK = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"


class Chromium:
    """A browser in its own thread, because Playwright occupies the event loop of the thread that calls it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "chromium")
        self._stack = contextlib.ExitStack()
        self._browser: Browser

    def __enter__(self) -> Self:
        self._browser = self._thread.submit(self._launch).result()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.submit(self._stack.close).result()
        self._thread.shutdown()

    def _launch(self) -> Browser:
        expect.set_options(timeout=TIMEOUT_SECONDS * 1000)
        playwright = self._stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=PATH, args=["--no-sandbox", LOOPBACK])
        self._stack.callback(browser.close)
        return browser

    def run(self, use: Callable[[Page], T]) -> T:
        """Call *use* in the thread of the browser with a page without cookies, which accepts any certificate."""
        return self._thread.submit(self._with_page, use).result(2 * TIMEOUT_SECONDS)

    def _with_page(self, use: Callable[[Page], T]) -> T:
        with contextlib.closing(self._browser.new_context(ignore_https_errors=True)) as context:
            return use(context.new_page())
