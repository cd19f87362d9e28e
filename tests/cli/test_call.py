"""The commands ``call``, ``actions`` and ``download``: parameters, replies, errors and exit codes."""

from __future__ import annotations

import csv
import datetime as dt
import json
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from tests.support.constants import KEY
from worksection_async.__main__ import main
from worksection_async._cli._exit_codes import ExitCode
from worksection_async._cli._forms import JSON_FORM, form_of, forms_of
from worksection_async._cli._parameters import parse_arguments
from worksection_async._cli.call import unchecked_params
from worksection_async._protocol.actions import ACTIONS
from worksection_async._protocol.call import prepare
from worksection_async.errors import InvalidCall
from worksection_async.models import ProjectOptions, UploadedFile
from worksection_async.testing import Simulator, faults

# Replies


def test_call_prints_the_reply_as_json(simulator: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    simulator.update(simulator.projects[26], name="Перші кроки")
    assert main(["call", "get_project", "id_project=26"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed)["name"] == "Перші кроки"
    assert '\n  "id": 26,\n' in printed
    assert "Перші кроки" in printed


def test_plain_prints_texts_without_html(simulator: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    [task, *_] = simulator.tasks.values()
    simulator.update(task, text="a\r\n<b>", name="a<br>b")
    for options, text in [([], "a<br>&lt;b&gt;"), (["--plain"], "a\n<b>")]:
        assert main(["call", "get_task", f"id_task={task.id}", "extra=html", *options]) == 0
        data = json.loads(capsys.readouterr().out)
        assert (data["text"], data["name"]) == (text, "a<br>b")


def test_call_accepts_a_token(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKSECTION_API_KEY")
    monkeypatch.setenv("WORKSECTION_ACCESS_TOKEN", simulator.issue_token())
    assert main(["call", "me"]) == 0


def test_a_write_sends_the_values_of_its_arguments(
    simulator: Simulator, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "plan, 1.txt").write_text("plan")
    arguments = [
        "id_project=26", "title=a=b", "dateend=2026-12-31", "priority=3", "todo=x, y", "todo=z", "max_time=1:30",
        f"attach={tmp_path}/plan, 1.txt", "email_user_to=kate.greenway@ws.com",
    ]  # fmt: skip
    assert main(["call", "post_task", *arguments]) == 0
    created = simulator.tasks[json.loads(capsys.readouterr().out)["id"]]
    assert (created.name, created.date_end, created.priority) == ("a=b", dt.date(2026, 12, 31), 3)
    assert (created.max_time, [file.name for file in created.files]) == (dt.timedelta(minutes=90), ["plan, 1.txt"])
    assert created.text is not None
    assert "x, y" in created.text


def test_the_printed_uploads_are_a_parameter(
    simulator: Simulator, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WORKSECTION_API_KEY")
    monkeypatch.setenv("WORKSECTION_ACCESS_TOKEN", simulator.issue_token())
    (tmp_path / "a.txt").write_text("a")
    assert main(["call", "upload_files", f"files={tmp_path}/a.txt"]) == 0
    uploads = capsys.readouterr().out
    assert main(["call", "post_task", "id_project=26", "title=t", f"files={uploads}"]) == 0
    assert [file.name for file in list(simulator.tasks.values())[-1].files] == ["a.txt"]


def test_an_action_without_a_result_prints_null(simulator: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", "complete_task", "id_task=2601", "--table"]) == 0
    assert capsys.readouterr().out == "null\n"


def test_csv_has_the_same_columns_for_every_reply(simulator: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    simulator.update(simulator.tasks[2602], name='a "b", c\nd')
    assert main(["call", "get_tasks", "id_project=26", "--csv"]) == 0
    rows = list(csv.DictReader(StringIO(capsys.readouterr().out)))
    assert [row["name"] for row in rows] == ["Read the documentation", 'a "b", c\nd']
    assert rows[0]["user_to.email"] == "henry.gardner@ws.com"
    assert main(["call", "get_tasks", "id_project=8506", "--csv"]) == 0
    assert capsys.readouterr().out.strip().split(",") == list(rows[0])


def test_csv_and_tables_of_costs_contain_the_entries(simulator: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", "get_costs", "id_project=6622", "--csv"]) == 0
    rows = list(csv.DictReader(StringIO(capsys.readouterr().out)))
    assert (rows[0]["id"], rows[0]["money"], rows[0]["time"]) == ("3690", "75.17", "24600.0")
    assert main(["call", "get_costs", "id_project=6622", "--table"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:4] == ["3690", "Interviews", "6:50", "75.17"]
    assert lines[-1].split() == ["total", "time", "103:39,", "money", "5435.17"]


def test_csv_contains_records_that_the_service_sends_by_id(
    simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["call", "get_costs_total", "extra=projects", "--csv"]) == 0
    rows = list(csv.DictReader(StringIO(capsys.readouterr().out)))
    assert rows[0]["id"] == "6622"


def test_a_table_shows_one_record_by_field(simulator: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    simulator.update(simulator.tasks[331894], name="\x1b[31mred\x9b2J")
    assert main(["call", "get_task", "id_task=331894", "extra=text", "--table"]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert rows["max_time"] == "352:00"
    assert rows["user_to"] == "Henry Gardner"
    assert rows["name"] == "[31mred 2J"
    assert "custom_fields" not in rows


def test_json_shows_no_character_that_a_terminal_executes(
    simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    simulator.update(simulator.projects[26], name="\x9b2J\x1b[31m")
    assert main(["call", "get_project", "id_project=26"]) == 0
    printed = capsys.readouterr().out
    assert not [char for char in printed if not char.isprintable() and char != "\n"]
    assert json.loads(printed)["name"] == "\x9b2J\x1b[31m"


@pytest.mark.parametrize("option", ["--json", "--csv"])
def test_characters_that_the_encoding_does_not_have_are_escaped(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    simulator.update(simulator.projects[26], name="Жук")
    printed = BytesIO()
    monkeypatch.setattr("sys.stdout", TextIOWrapper(printed, encoding="latin-1"))
    assert main(["call", "get_project", "id_project=26", option]) == 0
    assert rb"\u0416\u0443\u043a" in printed.getvalue()


# Parameters


@pytest.mark.parametrize("name", ACTIONS)
def test_every_parameter_has_a_form_and_a_description(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON is the form of formats that have none of their own; only the schedule is JSON."""
    forms = [form_of(param) for param in ACTIONS[name].params.values() if "options" not in ACTIONS[name].params]
    assert (JSON_FORM in forms) == (name == "update_users_schedule")
    assert main(["call", name, "--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {parameter}" in printed for parameter in forms_of(ACTIONS[name]))


@pytest.mark.parametrize(
    ("action", "argument", "value"),
    [
        ("get_tasks", "extra=text, files", ["text", "files"]),
        ("get_costs", "is_timer=no", False),
        ("get_costs", "is_timer=TRUE", True),
        ("update_task", "dateend=2026-12-31", "2026-12-31"),
        ("update_task", "priority=7", 7),
        ("update_task", "tags=a,b", ["a", "b"]),
        ("update_project", "options.allow_close=yes", ProjectOptions(allow_close=True)),
        ("post_task", 'files=[{"id": "5", "name": "a"}]', [UploadedFile(id="5", name="a")]),
        ("update_users_schedule", 'data={"5": {"2026-12-31": "vacation"}}', {"5": {"2026-12-31": "vacation"}}),
        ("post_task", "text=", ""),
    ],
)
def test_values_have_the_types_of_python(action: str, argument: str, value: object) -> None:
    name = argument.partition("=")[0].partition(".")[0]
    assert parse_arguments(ACTIONS[action], [argument]) == {name: value}


def test_the_items_of_a_repeated_list_are_joined() -> None:
    assert parse_arguments(ACTIONS["get_tasks"], ["extra=text", "extra=html,tags"]) == {
        "extra": ["text", "html", "tags"]
    }


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["get_task"], "get_task: id_task is required"),
        (["get_task", "5"], "get_task: arguments must be name=value, got '5'"),
        (["get_task", "=5"], "get_task: arguments must be name=value, got '=5'"),
        (["get_task", KEY], "get_task: arguments must be name=value, got '…'"),
        (["get_task", "id_task=5", "id_task=6"], "get_task: id_task: can be given only once"),
        (["get_task", "id_taks=5"], "get_task: unknown parameter 'id_taks'; known parameters: id_task, filter,"),
        (["get_users", "id=5"], "get_users: unknown parameter 'id': this action has no parameters"),
        (["get_tasks", f"access_token={KEY}"], "get_tasks: unknown parameter 'access_token': credentials are never"),
        (["get_projcts"], "get_projcts: unknown action, the nearest one is get_projects."),
        (["get_tasks", "id_project=26", "filter=activ"],
         "get_tasks: filter: must be one of active, got 'activ', the nearest one is active."),
        (["get_tasks", "id_project=26", "extra=text,fils"], "get_tasks: extra: must be one of text, html, files, "),
        (["update_task", "id_task=5", "dateend=tomorrow"], "update_task: dateend: must be a date"),
        (["update_task", "id_task=5", "priority=high"], "update_task: priority: must be a number from 0 to 10"),
        (["get_costs", "is_timer=maybe"], "get_costs: is_timer: must be yes or no, got 'maybe'"),
        (["update_project", "id_project=26", "options.alow_close=yes"],
         "update_project: unknown parameter 'options.alow_close'; known"),
        (["update_users_schedule", "data={"], "update_users_schedule: data: must be JSON: "),
        (["post_task", "id_project=26", "title=t", "files=5"], "post_task: files: must be the JSON that `worksection"),
        (["post_task", "id_project=26", "title=t", "attach=none.txt"], "post_task: attach: "),
        (["add_webhook", "url=https://x.example", "events=post_task", "http_pass=s3cret"],
         "add_webhook: http_pass: a secret in an argument is visible to other users: write @FILE"),
        (["add_webhook", "url=https://x.example", "events=post_task", "http_pass=@none"], "add_webhook: http_pass: "),
        (["download", "id_file=5"], "download: its reply is a file: use `worksection download`"),
        (["--unchecked", "get_users", "hash=5"], "get_users: unknown parameter 'hash': the client sets it"),
        (["me"], "me: this action needs an access token"),
    ],
)  # fmt: skip
def test_an_invalid_call_sends_no_request(
    simulator: Simulator, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert main(["call", *arguments]) == ExitCode.USAGE
    output = capsys.readouterr()
    assert output.err.startswith(complaint)
    assert output.err.count("\n") == 1
    assert KEY not in output.err
    assert "s3cret" not in output.err
    assert not simulator.requests


@pytest.mark.parametrize("source", ["@FILE", "@-"])
def test_a_secret_parameter_is_read_from_a_file(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    with (tmp_path / "password").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        argument = f"http_pass={source.replace('FILE', str(tmp_path / 'password'))}"
        assert main(["call", "add_webhook", "url=https://x.example", "events=post_task", "http_user=a", argument]) == 0
    assert list(simulator._world.webhooks.values())[-1].http_pass == "s3cret"


def test_unchecked_sends_unknown_names_and_prints_the_reply_as_it_arrived(
    simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["call", "--unchecked", "get_project", "id_project=26", "newest=1"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "ok"
    assert main(["call", "newest_action", "--unchecked"]) == 1
    assert "the service refused: Action is invalid" in capsys.readouterr().err
    assert [request.action for request in simulator.requests] == ["get_project", "newest_action"]
    assert main(["call", "--unchecked", "get_project", "--csv"]) == 2


def test_unchecked_parameters_are_not_converted() -> None:
    params = unchecked_params("post_task", ["title=a=b", "attach=plan.pdf", "text=", "unknown=1", "unknown=2"])
    assert params == {"title": "a=b", "attach": ["plan.pdf"], "text": "", "unknown": ["1", "2"]}
    assert unchecked_params("no_such_action", ["x=1"]) == {"x": "1"}


# Errors


def test_a_refused_call_prints_one_line(simulator: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", "get_task", "id_task=5"]) == ExitCode.FAILED
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("get_task: the service refused: Task is invalid.")
    assert output.err.count("\n") == 1
    assert simulator.api_key not in output.err


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (faults.reset(), ExitCode.UNREACHABLE),
        (faults.html_page(), ExitCode.FAILED),
        (faults.too_many_requests(), ExitCode.BUSY),
    ],
)
def test_the_exit_code_tells_what_to_do(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, fault: faults.Fault, code: ExitCode
) -> None:
    """A reset of a write is not retried; the patience for refusals is replaced, because it is a minute."""
    monkeypatch.setattr("worksection_async._session.options.Options.__init__", _impatient())
    simulator.fail("post_task", fault, times=None)
    assert main(["call", "post_task", "id_project=26", "title=t"]) == code


def _impatient() -> Any:
    from worksection_async._session.options import Options  # noqa: PLC0415

    init = Options.__init__

    def patched(self: Options, **options: Any) -> None:
        init(self, **{**options, "patience": 0.0})

    return patched


def test_a_wrong_key_has_the_exit_code_of_the_login(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKSECTION_API_KEY", "wrong")
    assert main(["call", "get_users"]) == ExitCode.LOGIN


@pytest.mark.parametrize("command", [["call", "get_projects"], ["demo", "--live"], ["tasks"], ["download", "5"]])
@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"API_KEY": "k"}, "Session: set WORKSECTION_ACCOUNT to the name"),
        ({"ACCOUNT": "acme"}, "Session: set WORKSECTION_API_KEY to the account's"),
        ({"ACCOUNT": "http://acme.com", "API_KEY": "k"}, "Session: WORKSECTION_ACCOUNT: account: https is required"),
        (
            {"ACCOUNT": "acme", "API_KEY": "se cret"},
            "Session: WORKSECTION_API_KEY: key must contain only visible ASCII",
        ),
    ],
)
def test_a_missing_or_invalid_account_is_reported(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    environment: dict[str, str],
    complaint: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"WORKSECTION_{name}", value)
    assert main(command) == ExitCode.USAGE
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(complaint)
    assert output.err.count("\n") == 1
    assert "cret" not in output.err


# Other commands


def test_actions_are_listed_by_topic_and_found_by_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["actions"]) == 0
    printed = capsys.readouterr().out
    assert all(f"\n  {name}" in printed for name in ACTIONS)
    assert main(["actions", "webhook"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:] if line[2:3].strip()] == [
        "get_webhooks", "add_webhook", "delete_webhook",
    ]  # fmt: skip
    assert main(["actions", "nonsense"]) == 2


def test_a_download_replaces_a_file_only_if_it_is_told_to(
    simulator: Simulator, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "Development requirements.doc"
    assert main(["download", "17694", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    path.write_text("mine")
    assert main(["download", "17694", str(tmp_path)]) == ExitCode.USAGE
    assert capsys.readouterr().err == f"download: {path.name} already exists; --overwrite replaces it\n"
    assert path.read_text() == "mine"
    assert main(["download", "17694", str(tmp_path), "--overwrite"]) == 0
    assert path.read_text() == "requirements"


def test_the_parsed_values_pass_the_checks_of_the_protocol() -> None:
    params = parse_arguments(
        ACTIONS["update_project"], ["id_project=26", "options.allow_close=yes", "dateend=2026-12-31"]
    )
    assert prepare(ACTIONS["update_project"], params).params == {
        "id_project": 26, "options.allow_close": 1, "dateend": "31.12.2026",
    }  # fmt: skip
    with pytest.raises(InvalidCall, match="only one of"):
        prepare(
            ACTIONS["update_project"],
            parse_arguments(
                ACTIONS["update_project"], ["id_project=26", "options.time_today=yes", "options.timer_only=yes"]
            ),
        )
