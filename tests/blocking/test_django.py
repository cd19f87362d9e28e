"""The view of a Django site, from the documentation."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import clear_url_caches, path

import worksection_async.blocking
from tests.support.constants import DOCS
from tests.support.examples import programs
from worksection_async import TokenBucket
from worksection_async.testing import Simulator

URLS = types.ModuleType("urls")


@pytest.fixture
def sim() -> Simulator:
    return Simulator()


@pytest.fixture
def views(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The names of the example; its session has one slot, and the next one is a minute later."""
    session, names = worksection_async.blocking.BlockingSession, dict[str, Any](__name__="views")
    options: dict[str, Any] = {"limiter": TokenBucket(1 / 60), "transport": sim.transport()}
    monkeypatch.setattr(
        worksection_async.blocking,
        "BlockingSession",
        lambda account, _: session(account, worksection_async.ApiKey(sim.api_key), **options),
    )
    exec(programs(DOCS / "blocking.md")["views.py"], names)
    yield names
    names["ws"].close()


@pytest.fixture
def browser(views: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Client:
    if not settings.configured:
        settings.configure(ROOT_URLCONF=URLS, ALLOWED_HOSTS=["testserver"], SECRET_KEY="a long random text")
    patterns = [path("projects/<int:id_project>/tasks", views["list_tasks"])]
    monkeypatch.setattr(URLS, "urlpatterns", patterns, raising=False)
    clear_url_caches()
    return Client()


def test_the_view_lists_the_tasks_of_a_project(browser: Client, sim: Simulator) -> None:
    reply = browser.get("/projects/26/tasks")
    expected = [task.name for task in sim.tasks.values() if task.project and task.project.id == 26]
    assert expected
    assert sorted(reply.json()["tasks"]) == sorted(expected)


def test_an_unknown_project_is_a_404(browser: Client) -> None:
    assert browser.get("/projects/999999/tasks").status_code == 404


def test_a_busy_account_is_a_503_with_the_time_to_wait(browser: Client) -> None:
    browser.get("/projects/26/tasks")
    reply = browser.get("/projects/26/tasks")
    assert reply.status_code == 503
    assert 0 < int(reply["Retry-After"]) <= 66  # the interval and its margin
