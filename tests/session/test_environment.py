"""`Session.from_env`: the account and the credential in the environment variables."""

from __future__ import annotations

import inspect
import traceback
from pathlib import Path

import anyio
import attrs
import pytest

from tests.support.constants import KEY
from worksection_async import FileTokenStore, Session, Token, TokenBucket
from worksection_async._session.saved_application import SavedApplication
from worksection_async.errors import InvalidCall, TokenStoreError
from worksection_async.testing import Simulator

pytestmark = pytest.mark.anyio

NAMES = ("ACCOUNT", "API_KEY", "ACCESS_TOKEN", "CLIENT_ID", "CLIENT_SECRET", "TOKEN_FILE")


@pytest.fixture(autouse=True)
def config_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in NAMES:
        monkeypatch.delenv(f"WORKSECTION_{name}", raising=False)
    for name in ("XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    return tmp_path / "worksection-async"


@pytest.fixture
def sim() -> Simulator:
    return Simulator()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    return Environment(monkeypatch)


class Environment:
    """Sets variables by the part of their name after ``WORKSECTION_``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def set(self, **values: str) -> None:
        for name, value in values.items():
            self._monkeypatch.setenv(f"WORKSECTION_{name}", value)


async def save(path: Path, token: Token) -> None:
    await FileTokenStore(path).save(token)


def session(sim: Simulator) -> Session:
    return Session.from_env(transport=sim.transport(), limiter=TokenBucket(1e6))


async def test_the_admin_key_has_priority(sim: Simulator, environment: Environment) -> None:
    environment.set(ACCOUNT="acme", API_KEY=f" {sim.api_key}\n", ACCESS_TOKEN="no token")
    async with session(sim) as ws:
        assert repr(ws) == "<Session https://acme.worksection.com ApiKey>"
        assert await ws.get_projects()


async def test_an_access_token_is_the_second_choice(
    sim: Simulator, environment: Environment, config_folder: Path
) -> None:
    await save(config_folder / "token.json", Token(access_token="a", issued_at=0, expires_at=1, refresh_token="b"))
    environment.set(ACCOUNT="acme", ACCESS_TOKEN=sim.issue_token())
    async with session(sim) as ws:
        assert (await ws.me()).email == sim.owner.email


@pytest.mark.parametrize("place", ["the default", "WORKSECTION_TOKEN_FILE"])
@pytest.mark.parametrize("age", [0.0, 100_000.0], ids=["valid", "expired"])
async def test_a_stored_token_is_used_and_refreshed(
    sim: Simulator, environment: Environment, config_folder: Path, place: str, age: float
) -> None:
    path = config_folder / "token.json"
    if place != "the default":
        path = config_folder / "another.json"
        environment.set(TOKEN_FILE=str(path))
    pair = sim.issue_pair()
    stored = attrs.evolve(pair, issued_at=pair.issued_at - age, expires_at=pair.expires_at - age)
    await save(path, stored)
    environment.set(CLIENT_ID=sim.oauth.client_id, CLIENT_SECRET=sim.oauth.client_secret)
    async with session(sim) as ws:
        assert (await ws.me()).email == sim.owner.email
    assert (await FileTokenStore(path).load() == stored) is (age == 0)


@pytest.mark.parametrize(
    ("values", "named", "not_named"),
    [
        ({}, ["ACCOUNT", "API_KEY", "ACCESS_TOKEN"], ["CLIENT_ID"]),
        ({"ACCOUNT": "acme"}, ["API_KEY", "ACCESS_TOKEN"], ["ACCOUNT"]),
        ({"ACCOUNT": " ", "API_KEY": KEY}, ["ACCOUNT"], ["API_KEY", "ACCESS_TOKEN"]),
        ({"ACCESS_TOKEN": "token"}, ["ACCOUNT"], ["API_KEY", "ACCESS_TOKEN"]),
        ({"ACCOUNT": "http://acme.example", "API_KEY": KEY}, ["ACCOUNT"], ["API_KEY"]),
        ({"ACCOUNT": "acme", "API_KEY": f"{KEY} {KEY}"}, ["API_KEY"], ["ACCOUNT"]),
        ({"ACCOUNT": "acme", "ACCESS_TOKEN": f"{KEY}\n{KEY}"}, ["ACCESS_TOKEN"], ["API_KEY"]),
        ({"TOKEN_FILE": "~nobody-has-this-name/token.json"}, ["TOKEN_FILE"], ["ACCOUNT"]),
    ],
)
async def test_missing_and_invalid_variables_are_named_without_their_secrets(
    environment: Environment, values: dict[str, str], named: list[str], not_named: list[str]
) -> None:
    environment.set(**values)
    with pytest.raises(InvalidCall) as raised:
        Session.from_env()
    text = str(raised.value)
    assert [name for name in named if f"WORKSECTION_{name}" not in text] == []
    assert [name for name in not_named if f"WORKSECTION_{name}" in text] == []
    assert text.endswith("No request was sent.")
    package_frames = traceback.TracebackException.from_exception(raised.value, capture_locals=True).stack[1:]
    assert KEY not in text + "".join(str(frame.locals) for frame in package_frames)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, "set WORKSECTION_CLIENT_ID and WORKSECTION_CLIENT_SECRET, with which the token in"),
        ({"CLIENT_ID": "app"}, "set WORKSECTION_CLIENT_SECRET, with which"),
        ({"CLIENT_SECRET": KEY}, "set WORKSECTION_CLIENT_ID, with which"),
        (
            {"CLIENT_ID": "app", "CLIENT_SECRET": f"{KEY} {KEY}"},
            "WORKSECTION_CLIENT_SECRET: client_secret must contain",
        ),
    ],
)
async def test_a_stored_token_needs_the_application(
    sim: Simulator, environment: Environment, config_folder: Path, values: dict[str, str], problem: str
) -> None:
    await save(config_folder / "token.json", sim.issue_pair())
    environment.set(**values)
    with pytest.raises(InvalidCall, match=problem) as raised:
        Session.from_env()
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("values", [{"ACCOUNT": "acme", "API_KEY": KEY}, {"ACCOUNT": "acme"}])
async def test_a_home_directory_is_not_needed(
    monkeypatch: pytest.MonkeyPatch, environment: Environment, values: dict[str, str]
) -> None:
    def expanduser(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", expanduser)
    environment.set(**values)
    if "API_KEY" in values:
        assert "acme" in repr(Session.from_env(limiter=TokenBucket(1e6)))
    else:
        with pytest.raises(InvalidCall, match="set WORKSECTION_API_KEY"):
            Session.from_env()


async def test_the_options_are_those_of_the_constructor(environment: Environment) -> None:
    constructor, from_env = (inspect.signature(it).parameters for it in (Session, Session.from_env))
    options = {name: it.default for name, it in constructor.items() if it.kind is it.KEYWORD_ONLY}
    assert {name: it.default for name, it in from_env.items()} == options
    assert all(it.annotation == constructor[name].annotation for name, it in from_env.items())


async def test_an_option_reaches_the_session(sim: Simulator, environment: Environment) -> None:
    environment.set(ACCOUNT="acme", API_KEY=KEY)
    limiter = TokenBucket(1e6)
    with anyio.fail_after(5):
        async with Session.from_env(limiter=limiter, timeout=7, retries=1, transport=sim.transport()) as ws:
            assert ws.limiter is limiter
            assert (ws._caller.options.timeout, ws._caller.options.retries) == (7, 1)
    with pytest.raises(InvalidCall, match="timeout must be a positive number"):
        Session.from_env(timeout=-1)


# The application that is saved with a token


def application(sim: Simulator, base_url: str = "http://127.0.0.1") -> SavedApplication:
    return SavedApplication(
        client_id=sim.oauth.client_id, client_secret=sim.oauth.client_secret, base_url=base_url
    )  # fmt: skip


async def test_a_stored_token_is_refreshed_with_the_application_that_was_saved_with_it(
    sim: Simulator, config_folder: Path
) -> None:
    await save(config_folder / "token.json", sim.issue_pair(expires_in=0))
    application(sim).save(config_folder / "token.json")
    async with session(sim) as ws:
        assert (await ws.me()).email == sim.owner.email
    assert sim.oauth.refreshes == 1


async def test_the_application_of_the_environment_has_priority(
    sim: Simulator, environment: Environment, config_folder: Path
) -> None:
    await save(config_folder / "token.json", sim.issue_pair(expires_in=0))
    attrs.evolve(application(sim), client_id="old", client_secret="old").save(config_folder / "token.json")
    environment.set(CLIENT_ID=sim.oauth.client_id, CLIENT_SECRET=sim.oauth.client_secret)
    async with session(sim) as ws:
        await ws.me()
    assert sim.oauth.refreshes == 1


async def test_the_saved_secret_is_not_used_for_another_application(
    sim: Simulator, environment: Environment, config_folder: Path
) -> None:
    await save(config_folder / "token.json", sim.issue_pair())
    application(sim).save(config_folder / "token.json")
    environment.set(CLIENT_ID="another")
    with pytest.raises(InvalidCall, match="set WORKSECTION_CLIENT_SECRET, with which"):
        session(sim)
    environment.set(CLIENT_ID=sim.oauth.client_id)
    async with session(sim) as ws:
        await ws.me()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"client_secret": "s3cret"}', '{"client_secret": s3cret}'])
def test_an_unreadable_application_is_reported_without_its_content(config_folder: Path, content: str) -> None:
    path = config_folder / "token.app.json"
    config_folder.mkdir(parents=True)
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(TokenStoreError, match=r"token\.app\.json does not contain an application") as raised:
        SavedApplication.load(config_folder / "token.json")
    assert "s3cret" not in "".join(str(entry.frame.f_locals) for entry in raised.traceback[1:])


def test_an_application_that_others_can_read_is_refused(sim: Simulator, config_folder: Path) -> None:
    application(sim).save(config_folder / "token.json")
    path = config_folder / "token.app.json"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(TokenStoreError, match="can be read by other users"):
        SavedApplication.load(config_folder / "token.json")
    assert sim.oauth.client_secret not in repr(application(sim))
