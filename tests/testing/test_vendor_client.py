"""The client of the vendor works with the simulator over a real socket.

Its models have bugs; calls with these bugs are made with its low-level API, which has no models:

* an empty list without ``data`` (`get_projects`, `get_tasks`, …) becomes one record full of defaults;
* `costs.total` with ``extra=projects`` and `members.schedule` treat maps by id as lists;
* ids are strings, although its models declare numbers.
"""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from worksection import Client  # type: ignore[import-untyped]
from worksection.exceptions.response_exception import ResponseException  # type: ignore[import-untyped]
from worksection.exceptions.unauthorized_exception import UnauthorizedException  # type: ignore[import-untyped]

from worksection_async.testing import Simulator

LOGIN_PATHS = {"auth": "authorize", "token": "token", "refresh": "refresh"}


@pytest.fixture
def account() -> Simulator:
    """The demo account with the real clock, because the signatures of the client use it."""
    return Simulator()


@pytest.fixture
def url(account: Simulator) -> Iterator[str]:
    with account.serve() as url:
        yield url


@pytest.fixture
def client(url: str, account: Simulator) -> Client:
    return Client(url).set_api_key(account.api_key)


def test_projects(client: Client, account: Simulator) -> None:
    assert {project.name for project in client.projects.list()} >= {"Owl brand launch", "Old site"}
    created = client.projects.create("Café", {"members": ["kate.greenway@ws.com"], "max_time": 12})
    fetched = client.projects.get(created.id, {"extra": "users"})
    assert (fetched.name, fetched.max_time) == ("Café", 12)

    client.projects.add_members(created.id, ["frank.harper@ws.com"])
    client.projects.close(created.id)
    project = account.projects[int(created.id)]
    assert (len(project.users), project.status) == (3, "archive")
    with pytest.raises(ResponseException, match="Project is already closed"):
        client.projects.close(created.id)


def test_tags(client: Client, account: Simulator) -> None:
    group = client.projects.create_tag_group("Region", "public")
    tags = client.projects.create_tags("Region", "north", "south")
    client.projects.update_tags(26, [tag.id for tag in tags])
    client.projects.update_tags(26, [], [tags[0].id])
    assert group.type == ""
    assert list(account.projects[26].tags.values()) == ["south"]


def test_tasks(client: Client, account: Simulator) -> None:
    task = client.tasks.create(26, "Launch", {"todo": ["fuel", "count down"], "datestart": "01.12.2026"})
    client.tasks.update(task.id, {"title": "Launch!", "priority": 9})
    assert client.tasks.get(task.id, {"extra": "text"}).text == "• fuel\r\n• count down"
    assert [found.name for found in client.tasks.search({"filter": "name has 'launch!'"})] == ["Launch!"]
    assert "Launch!" in [listed.name for listed in client.tasks.list(26)]

    client.tasks.complete(task.id)
    assert account.tasks[int(task.id)].status == "done"
    client.tasks.reopen(task.id)
    assert account.tasks[int(task.id)].status == "active"


def test_comments(client: Client) -> None:
    with pytest.raises(ResponseException, match="Field is required"):
        client.comments.create(2601, "without an author")
    client.comments.create(2601, "привет", {"email_user_from": "kate.greenway@ws.com"})
    assert [(comment.text, comment.user_from.name) for comment in client.comments.list(2601)] == [
        ("привет", "Kate Greenway")
    ]


def test_costs(client: Client) -> None:
    number = client.costs.create(2601, {"time": "1:30", "money": "9.99", "email_user_from": "kate.greenway@ws.com"})
    assert isinstance(number, int)
    client.costs.update(number, {"time": "2,5", "comment": "long"})
    (cost,) = client.costs.list({"id_task": 2601})
    assert (cost.time, cost.money, cost.comment, cost.is_timer) == ("2:30", "9.99", "long", False)
    assert client.costs.total({"id_task": 2601}).time == "2:30"
    client.costs.delete(number)
    assert client.costs.list({"id_task": 2601}) == []


def test_costs_by_project_with_the_low_level_api(client: Client) -> None:
    reply = client.call_admin_action_one("get_costs_total", {"extra": "projects,tasks"})
    assert reply["projects"]["6622"]["tasks"]["330090"]["time"] == "103:39"
    with pytest.raises(AttributeError):
        client.costs.total({"extra": "projects"})


def test_files(client: Client, account: Simulator, tmp_path: Path) -> None:
    source = tmp_path / "план.txt"
    source.write_bytes(b"to the moon")
    uploaded = client.files.upload([str(source)])
    task = client.tasks.create(26, "Read this", {"files": uploaded})
    (file,) = client.files.list({"id_task": task.id})
    sink = tmp_path / "copy"
    downloaded = client.files.download(file.id, str(sink))
    assert (file.name, downloaded.filename, sink.read_bytes()) == ("план.txt", "план.txt", b"to the moon")
    with pytest.raises(ResponseException, match="File not found"):
        client.files.download(1)


def test_webhooks(client: Client) -> None:
    number = client.webhook.create("https://example.com/hook", ["post_task", "close_task"], {"projects": "26"})
    created = next(webhook for webhook in client.webhook.list() if webhook.id == str(number))
    assert (created.events, created.status, created.projects) == ("post_task,close_task", "active", "26")
    client.webhook.delete(number)
    with pytest.raises(ResponseException, match="WebHook not found"):
        client.webhook.delete(number)


def test_members_contacts_events(client: Client) -> None:
    client.members.create("new.hand@ws.com")
    assert [user.name for user in client.members.list()][-1] == "new hand"
    assert client.contacts.create("ann@example.com", "Ann Bell").group == "DEFAULT"
    client.tasks.create(26, "An event")
    assert client.events.list("1h", 26)[0]["new"]["title"] == "An event"
    client.members.update_schedule({"new.hand@ws.com": {"24.12.2026": "vacation"}})
    (days,) = client.call_admin_action("get_users_schedule", {"users": "new.hand@ws.com"})
    assert [user["schedule"] for user in days.values()] == [{"2026-12-24": "vacation"}]


def test_timer_of_a_token(url: str, account: Simulator) -> None:
    client = Client(url).set_access_token(account.issue_token())
    assert client.user.profile().name == "Henry Gardner"
    assert client.user.timer() is None
    client.user.start_timer(2601)
    timer = client.user.timer()
    assert timer is not None
    assert timer.task is not None
    assert timer.task.id == "2601"
    client.user.discard_timer()
    assert account.timers.keys() == {2918}


@pytest.mark.filterwarnings("ignore:Exception ignored")  # the vendor's client does not close the error of urllib
def test_wrong_credentials_are_refused(url: str, account: Simulator) -> None:
    with pytest.raises(ResponseException, match="Action hash is missed or invalid"):
        Client(url).set_api_key("another").projects.list()
    with pytest.raises(UnauthorizedException, match="Access token is expired"):
        Client(url).set_access_token(account.issue_token(expires_in=-1)).projects.list()


@pytest.mark.filterwarnings("ignore:Exception ignored")  # the vendor's client does not close the error of urllib
def test_login(url: str, account: Simulator) -> None:
    """The client requests tokens with GET, and refreshes when the service reports an expired token."""
    account.oauth.access_seconds = 0
    client = Client(url).set_client(
        {
            "client_id": account.oauth.client_id,
            "client_secret": account.oauth.client_secret,
            "redirect_uri": account.oauth.redirect_uri,
            **{f"{name}_url": f"{url}/oauth2/{path}" for name, path in LOGIN_PATHS.items()},
        }
    )
    page = httpx.get(client.get_oauth().get_authorization_url("a state"))
    assert (page.status_code, account.oauth.client_secret in page.text) == (200, False)
    client.set_access_token(client.get_oauth().fetch_access_token_by_auth_code(account.issue_code()))
    account.oauth.access_seconds = 60
    assert client.user.profile().name == "Henry Gardner"
    assert client.get_access_token() == account.oauth.live_pair().access_token
    assert account.oauth.refreshes == 1
    assert account.oauth.client_secret not in repr(account.requests)


def test_the_client_misreads_a_missing_list_as_one_record(client: Client, account: Simulator) -> None:
    for project in account.projects.values():
        account.delete(project)
    assert client.call_admin_action("get_projects") == [{"status": "ok"}]
