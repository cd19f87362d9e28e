"""Every command in a console block of the documentation: ours run against the simulator, the others are checked."""

from __future__ import annotations

import importlib.util
import itertools
import re
import tomllib
from pathlib import Path

import pytest

from tests.support.constants import DOCS, ROOT
from tests.support.examples import PAGES, commands
from worksection_async.__main__ import main
from worksection_async._cli.app import app
from worksection_async.testing import Simulator

ENDLESS = {"demo", "listen", "login", "simulate", "watch"}
"""Commands with tests of their own, because they run until Ctrl-C or for long. Here only their options are checked."""

FOREIGN_VARIABLES = {"HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE"}
OTHER_PROGRAMS = {"cat", "jq"}

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SOURCES = "".join(path.read_text("utf-8") for path in (ROOT / "worksection_async").rglob("*.py"))


def documented(page: Path, *, endless: bool = False) -> list[list[str]]:
    """Return the arguments of our commands in the console blocks of *page*: of those that end, or of the others."""
    ours = [words[1:] for words in commands(page) if words[0] == "worksection"]
    return [arguments for arguments in ours if (arguments[0] in ENDLESS) is endless]


def test_commands_are_found() -> None:
    assert len([command for page in PAGES for command in documented(page)]) > 15


@pytest.mark.parametrize("page", [page for page in PAGES if documented(page)], ids=lambda page: page.name)
def test_the_commands_of_the_page_succeed(
    simulator: Simulator, page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the page, with one account and one folder."""
    monkeypatch.chdir(tmp_path)
    for command in documented(page):
        assert main(command) == 0, command


@pytest.mark.parametrize("page", [page for page in PAGES if documented(page, endless=True)], ids=lambda page: page.name)
def test_the_options_of_the_other_commands_are_valid(page: Path) -> None:
    for name, *options in documented(page, endless=True):
        app.commands[name].make_context(name, options)


def is_valid(words: list[str]) -> bool:
    """Return whether the parts of a command of another program that belong to this project exist."""
    program, *arguments = words
    if variable := re.fullmatch(r"(\w+)=.*", program):
        return is_variable(variable[1]) and is_valid(arguments)
    match Path(program).name or program, arguments:
        case ".", [script]:
            return script == ".venv/bin/activate"
        case "export", [assignment]:
            return is_variable(assignment.partition("=")[0])
        case "pip", ["install", *targets]:
            return are_targets(targets)
        case (("python" | "python3"), ["-m", module, *_]):
            return importlib.util.find_spec(module) is not None
        case (("python" | "python3"), ["-c", code]):
            return compile(code, "command", "exec") is not None
        case (("python" | "python3"), [script]):
            return script.endswith(".py")
        case "nox", ["-s", session, *rest]:
            name = session.partition("-")[0]
            return f"def {name}(session" in (ROOT / "noxfile.py").read_text("utf-8") and are_paths(rest)
        case "pytest", rest:
            return are_paths(rest)
    return program in OTHER_PROGRAMS


def is_variable(name: str) -> bool:
    return name in FOREIGN_VARIABLES or f'"{name}"' in SOURCES


def test_the_page_of_the_command_line_lists_all_variables() -> None:
    rows = re.findall(r"^\| (`WORKSECTION_.*?) \|", (DOCS / "cli.md").read_text("utf-8"), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(re.findall(r'"(WORKSECTION_\w+)"', SOURCES))


def are_targets(targets: list[str]) -> bool:
    """Return whether the extras and the dependency groups of an installation exist."""
    extras = [extra for target in targets for part in re.findall(r"\[(.+)\]", target) for extra in part.split(",")]
    groups = [group for option, group in itertools.pairwise(targets) if option == "--group"]
    known_extras = {"uv", *PYPROJECT["project"]["optional-dependencies"]}  # uv is an extra of nox
    return set(extras) <= known_extras and set(groups) <= set(PYPROJECT["dependency-groups"])


def are_paths(arguments: list[str]) -> bool:
    return all((ROOT / argument).exists() for argument in arguments if argument.startswith("tests/"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_other_commands_of_the_page_are_valid(page: Path) -> None:
    others = [words for words in commands(page) if words[0] != "worksection"]
    assert [words for words in others if not is_valid(words)] == []


@pytest.mark.parametrize(
    "command",
    [
        ["pip", "install", "worksection-async[client]"],
        ["pip", "install", "-e", ".", "--group", "test"],
        [".venv/bin/nox", "-s", "test"],
        [".venv/bin/pytest", "tests/limiter"],
        ["python", "-m", "worksection_sync"],
        ["export", "WORKSECTION_KEY=1"],
        ["worksecton", "watch"],
    ],
)
def test_an_invalid_command_is_found(command: list[str]) -> None:
    assert not is_valid(command)
