"""Help, usage errors, widths, and a missing extra."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
import tomllib

import pytest
from click import unstyle

from tests.support.constants import DOCS, ROOT
from tests.support.terminal import open_terminal
from worksection_async import __version__
from worksection_async.__main__ import main
from worksection_async._cli import _table
from worksection_async._cli._exit_codes import ExitCode
from worksection_async._cli._text import wrapped
from worksection_async._cli.app import COMMANDS, app
from worksection_async.models import Task, User
from worksection_async.testing import Simulator

HELPS = [["--help"], ["call", "post_project", "--help"], ["actions"], *([name, "--help"] for name in COMMANDS)]
PYTHON = [sys.executable, "-m", "worksection_async"]


def test_every_exit_code_is_in_the_help_and_in_the_documentation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    helped = " ".join(capsys.readouterr().out.split())
    documented = (DOCS / "cli.md").read_text("utf-8")
    for code in ExitCode:
        assert f"{code.value} {code.meaning}." in helped
        assert f"| {code.value} | {code.meaning} |" in documented


def test_every_command_is_in_the_documentation(capsys: pytest.CaptureFixture[str]) -> None:
    documented = (DOCS / "cli.md").read_text("utf-8")
    assert all(f"worksection {name}" in documented for name in COMMANDS)
    assert list(app.commands) == list(COMMANDS)


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"worksection-async {__version__}\n"


def test_the_console_script_is_the_module() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    assert pkgutil.resolve_name(scripts["worksection"]) is main


@pytest.mark.parametrize("columns", [40, 80, 120])
@pytest.mark.parametrize("arguments", HELPS, ids=" ".join)
def test_help_wraps_at_the_width_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], columns: int
) -> None:
    """Only a URL or an example, which are there to be copied, can be longer."""
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    copied = ("https://", "  worksection ", "eval ", "| source")
    long = [line for line in lines if len(line) > columns and not any(part in line for part in copied)]
    assert not long
    assert max(map(len, lines)) > columns // 2


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_errors_and_tables_wrap_at_the_width_of_the_terminal(simulator: Simulator, columns: int) -> None:
    code = "import sys; from worksection_async.__main__ import main; main(sys.argv[1:4]); main(sys.argv[4:])"
    arguments = ["call", "get_task", "id_tsak=5", "call", "get_tasks", "id_project=8562", "--table"]
    with open_terminal([sys.executable, "-c", code, *arguments], columns) as screen:
        screen.until(r"Columns\s+that\s+do\s+not\s+fit[^.]*\.")
        screen.process.wait(60)
        lines = unstyle(screen.printed).splitlines()
    assert max(map(len, lines)) <= columns
    assert " ".join(" ".join(lines).split()).startswith("get_task: unknown parameter 'id_tsak'; known parameters: ")


def test_a_wrapped_text_keeps_long_words_and_lines() -> None:
    assert wrapped("a bb ccc\nd", 4) == "a bb\nccc\nd"
    assert wrapped("a https://x.example/y-z", 10) == "a\nhttps://x.example/y-z"
    assert wrapped("a bb", None) == "a bb"
    assert wrapped("  https://x.example/y-z", 10) == "  https://x.example/y-z"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Usage: worksection [OPTIONS] COMMAND [ARGS]..."),
        (["cal"], "No such command 'cal'. Did you mean 'call'?\nSee `worksection --help`."),
        (["call"], "Missing argument 'ACTION'.\nSee `worksection call --help`."),
        (["tasks", "--filter=active"], "No such option '--filter'.\nSee `worksection tasks --help`."),
        (["tasks", "filtr=active"], "get_all_tasks: unknown parameter 'filtr'; known parameters: filter, extra, the"),
        (["tasks", "filter=done"], "get_all_tasks: filter: must be one of active, got 'done'"),
        (["simulate", "--port", "65536"], "Invalid value for '--port': 65536 is not in the range 0<=x<=65535."),
        (["simulate", "--rate", "nan"], "Invalid value for '--rate': 'nan' is not a finite number."),
        (["simulate", "--rate", "x"], "Invalid value for '--rate': 'x' is not a valid float range."),
        (["simulate", "--seed", "huge"], "Invalid value for '--seed': 'huge' is not one of 'demo', 'empty', 'large'."),
        (["watch", "--every", "0"], "Invalid value for '--every': 0.0 is not in the range x>0."),
        (["download", "plan.pdf"], "Invalid value for 'ID_FILE'"),
        (["completion", "csh"], "Invalid value for '{bash|zsh|fish}': 'csh' is not one of 'bash', 'zsh', 'fish'."),
    ],
)
def test_a_usage_error_has_exit_code_2(
    simulator: Simulator, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert main(arguments) == ExitCode.USAGE
    output = capsys.readouterr()
    assert output.err.startswith(complaint)
    assert output.out == ""
    assert not simulator.requests


@pytest.mark.parametrize(
    ("command", "absent"),
    [(["--help"], "click"), (["demo"], "rich"), (["simulate"], "starlette"), (["login"], "cryptography")],
)
def test_a_missing_extra_is_named(command: list[str], absent: str) -> None:
    program = f"import sys; sys.modules[{absent!r}] = None; from worksection_async.__main__ import main; "
    done = subprocess.run(
        [sys.executable, "-c", f"{program}sys.exit(main({command!r}))"], capture_output=True, text=True, check=False
    )
    assert done.returncode == ExitCode.USAGE
    assert done.stderr == (
        f'The command line needs {absent}, which is not installed: pip install "worksection-async[cli]"\n'
    )


def test_help_does_not_import_what_only_commands_need() -> None:
    heavy = "{'starlette', 'uvicorn', 'cryptography', 'markdownify'}"
    program = (
        f"import sys; from worksection_async.__main__ import main; main(['--help']); print({heavy} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


# Tables


def task(id: int, name: str = "n", **more: object) -> Task:
    return Task(id=id, name=name, **more)  # type: ignore[arg-type]


def test_a_table_omits_empty_columns_and_names_those_that_do_not_fit() -> None:
    tasks = [task(1, "long " * 20, user_to=User(id=5, name="Anna Lane")), task(2, status="active")]
    lines = unstyle(_table.format_records(tasks, 60)).splitlines()
    assert lines[0].split() == ["id", "name", "status"]
    assert "…" in lines[1]
    assert " ".join(lines[-2:]) == "Columns that do not fit: user_to. They are in --json and --csv."
    assert max(map(len, lines)) <= 60
    unlimited = _table.format_records(tasks, None).splitlines()
    assert unlimited[0].split() == ["id", "name", "status", "user_to"]


def test_a_table_without_records_says_so() -> None:
    assert _table.format_records([], 80) == "No records.\n"
