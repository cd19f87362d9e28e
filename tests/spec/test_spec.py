"""The spec and the generator: no stale files, clear errors for typos, and one matching method per action."""

import ast
import inspect
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from worksection_async import Session, errors
from worksection_async._protocol.actions import ACTIONS
from worksection_async._protocol.endpoints import Endpoints
from worksection_async._spec import GROUPS, ActionSpec, load
from worksection_async._spec import __main__ as tool
from worksection_async._spec._load import SpecError
from worksection_async._spec._python import FIELD_DEFAULT, attribute_name, param_annotation, return_annotation
from worksection_async._spec._render import render
from worksection_async._spec._schema import DEFAULTED_TYPES
from worksection_async._spec._source import MARK

SPEC = load()

UNDOCUMENTED = {
    "upload_files", "delete_my_timer", "add_webhook", "delete_webhook", "get_task_custom_fields",
    "get_project_custom_fields",
}  # fmt: skip


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    """All generated files: path → expected text."""
    return tool.render_all()


# Stale, missing, orphaned


def test_the_generated_files_are_up_to_date(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If this fails, run ``python -m worksection_async._spec``."""
    monkeypatch.setattr(tool, "render_all", lambda: files)  # which takes a second and a half
    status = tool.main(["--check"])
    assert capsys.readouterr().out.endswith("generated files are up to date\n")
    assert status == 0


@pytest.fixture
def root(tmp_path: Path, files: dict[str, str]) -> Path:
    """A folder with an up-to-date copy of the generated files."""
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, "utf-8")
    return tmp_path


def test_fresh_copy_has_no_differences(root: Path, files: dict[str, str]) -> None:
    assert tool.find_differences(root, files) == []


def test_deleted_file_is_reported_as_missing(root: Path, files: dict[str, str]) -> None:
    (root / "worksection_async/models/tasks.py").unlink()
    assert tool.find_differences(root, files) == ["missing: worksection_async/models/tasks.py"]


@pytest.mark.parametrize("path", ["docs/actions.md", "worksection_async/_protocol/endpoints/tasks.py"])
def test_edited_file_is_reported_as_stale(root: Path, files: dict[str, str], path: str) -> None:
    with (root / path).open("a", encoding="utf-8") as file:
        file.write("\n")
    assert tool.find_differences(root, files) == [f"stale: {path}"]


@pytest.mark.parametrize(
    ("path", "head"),
    [
        ("worksection_async/_protocol/endpoints/legacy.py", f"# {MARK} _spec/legacy.toml\n"),
        ("worksection_async/blocking/tasks.py", f"# {MARK} _spec/tasks.toml\n"),
        ("docs/legacy.md", f"<!-- {MARK} _spec/*.toml -->\n"),
    ],
)
def test_file_that_is_no_longer_generated_is_reported_as_orphaned(
    root: Path, files: dict[str, str], path: str, head: str
) -> None:
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_text(head, "utf-8")
    assert tool.find_differences(root, files) == [f"orphaned: {path}"]


def test_handwritten_files_are_ignored(root: Path, files: dict[str, str]) -> None:
    (root / "worksection_async/errors.py").write_text(f'"""Not {MARK}."""\n', "utf-8")
    (root / "docs/design.md").write_text("# Design\n", "utf-8")
    assert tool.find_differences(root, files) == []


def test_check_writes_nothing_and_fails_and_run_fixes_all_differences(
    root: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tool, "ROOT", root)
    monkeypatch.setattr(tool, "render_all", lambda: files)
    stale, orphan = root / "docs/actions.md", root / "docs/orphan.md"
    missing = root / "worksection_async/models/tasks.py"
    stale.write_text("stale", "utf-8")
    orphan.write_text(f"<!-- {MARK} -->\n", "utf-8")
    missing.unlink()
    expected = ["missing: worksection_async/models/tasks.py", "stale: docs/actions.md", "orphaned: docs/orphan.md"]

    assert tool.main(["--check"]) == 1
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(expected)
    assert (stale.read_text("utf-8"), orphan.exists(), missing.exists()) == ("stale", True, False)

    assert tool.main([]) == 0
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(expected)
    assert tool.find_differences(root, files) == []

    assert tool.main([]) == 0
    assert capsys.readouterr().out == "nothing to change\n"


def test_invalid_spec_fails_the_command_with_its_error_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> dict[str, str]:
        raise SpecError("tasks.toml: extra fields found")

    monkeypatch.setattr(tool, "render_all", broken)
    assert tool.main(["--check"]) == 1
    assert capsys.readouterr().err == "tasks.toml: extra fields found\n"


# Typos


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the spec for a test to modify."""
    for name in (*GROUPS, "service"):
        shutil.copy(Path(tool.__file__).parent / f"{name}.toml", tmp_path)
    return tmp_path


def replace_text(folder: Path, file: str, right: str, wrong: str) -> None:
    path = folder / file
    text = path.read_text("utf-8")
    assert right in text
    path.write_text(text.replace(right, wrong, 1), "utf-8")


TYPOS = {
    "key of an action": (
        "tasks.toml", 'already_done = "Task is already closed"', 'alredy_done = "Task is already closed"',
        r"tasks.toml: .*alredy_done.* @ \$\.actions\['complete_task'\]",
    ),
    "key of a parameter": (
        "tasks.toml", 'type = "priority", doc', 'tipe = "priority", doc',
        r"tasks.toml: .*tipe.* @ \$\.actions\['post_task'\]\.params\['priority'\]",
    ),
    "key of a field": (
        "tasks.toml", "essential = true", "esential = true",
        r"tasks.toml: .*esential.* @ \$\.models\['TaskRef'\]\.fields\['id'\]",
    ),
    "key of a group": ("files.toml", "title =", "titel =", r"files.toml: .*(titel|title).* @ \$"),
    "key of an error": (
        "service.toml", 'hint = "The admin', 'hind = "The admin', r"service.toml: .*hind.* @ \$\.errors",
    ),
    "missing key": (
        "tasks.toml", 'scope = "tasks_read"\n', "",
        r"required field missing @ \$\.actions\['get_all_tasks'\]\.scope",
    ),
    "kind": ("tasks.toml", 'kind = "read"', 'kind = "reed"', r"@ \$\.actions\['get_all_tasks'\]\.kind"),
    "evidence": (
        "timers.toml", 'evidence = "docs"', 'evidence = "rumour"', r"@ \$\.actions\['get_timers'\]\.evidence",
    ),
    "credential": ("timers.toml", '"token"', '"tokens"', r"@ \$\.actions\['get_my_timer'\]\.credential"),
    "type of a parameter": (
        "tasks.toml", 'type = "priority", doc', 'type = "prioritty", doc',
        r"\$\.actions\.post_task\.params\.priority: unknown type prioritty",
    ),
    "enum of a parameter": (
        "tasks.toml", 'type = "list[SearchExtra]"', 'type = "list[SerchExtra]"',
        r"\$\.actions\.search_tasks\.params\.extra: unknown type SerchExtra",
    ),
    "type of a field": (
        "tasks.toml", 'type = "hours?"', 'type = "ours?"', r"\$\.models\.Task\.fields\.max_time: unknown type ours",
    ),
    "model in a list": (
        "tasks.toml", 'type = "list[Comment]"', 'type = "list[Coment]"',
        r"\$\.models\.Task\.fields\.comments: unknown type Coment",
    ),
    "field that may be absent and has no default": (
        "tasks.toml", 'type = "hours?"', 'type = "hours"', r"\$\.models\.Task\.fields\.max_time: hours has no default",
    ),
    "model returned": (
        "tasks.toml", 'returns = "list[Task]"', 'returns = "list[Tusk]"',
        r"\$\.actions\.get_all_tasks\.returns: unknown type Tusk",
    ),
    "base": ("tasks.toml", 'base = "TaskRef"', 'base = "TaskReff"', r"\$\.models\.Task\.base: unknown model TaskReff"),
    "scope": (
        "tasks.toml", '"tasks_read"', '"task_read"', r"\$\.actions\.get_all_tasks\.scope: unknown scope task_read",
    ),
    "already_done": (
        "tasks.toml", '"Task is already closed"', '"Task is allready closed"',
        r"\$\.actions\.complete_task\.already_done: unknown error message",
    ),
    "one of": (
        "costs.toml", '["time", "money"]', '["time", "mony"]', r"\$\.actions\.add_costs: unknown parameter mony",
    ),
    "filter of a parameter": (
        "costs.toml", '"filter[get_costs]"', '"filter[get_cost]"',
        r"\$\.actions\.get_costs\.params\.filter: unknown type get_cost",
    ),
    "kind of a field of a filter": (
        "costs.toml", 'kind = "text"', 'kind = "txt"', r"\$\.filters\.get_costs\.comment\.kind: unknown kind txt",
    ),
    "operator of a field of a filter": (
        "costs.toml", 'operators = ["="]', 'operators = ["=="]',
        r"\$\.filters\.get_costs\.dateadd\.operators: a date field supports = != < <= > >=",
    ),
    "two kinds of a field": (
        "costs.toml", 'dateadd = { kind = "date", operators = ["="]', 'dateadd = { kind = "text"',
        r"\$\.filters\.get_costs\.dateadd\.kind: the field has the kind date in another filter",
    ),
    "exclusive": (
        "projects.toml", '"options.time_today"', '"options.time_todai"',
        r"\$\.actions\.post_project: unknown parameter options\.time_todai",
    ),
    "class of an error": ("service.toml", '"StateError"', '"StatError"', r"\$\.errors: unknown error class StatError"),
    "TOML itself": ("tags.toml", 'kind = "read"', "kind = read", r"tags.toml: Invalid value \(at line \d+"),
}  # fmt: skip


def test_unmodified_copy_of_the_spec_is_valid(folder: Path) -> None:
    assert load(folder) == SPEC


@pytest.mark.parametrize(("file", "right", "wrong", "message"), TYPOS.values(), ids=TYPOS.keys())
def test_typo_is_reported_with_its_place(folder: Path, file: str, right: str, wrong: str, message: str) -> None:
    replace_text(folder, file, right, wrong)
    with pytest.raises(SpecError, match=message):
        load(folder)


def test_all_typos_are_reported_at_once(folder: Path) -> None:
    replace_text(folder, "tasks.toml", '"tasks_read"', '"task_read"')
    replace_text(folder, "costs.toml", '["time", "money"]', '["time", "mony"]')
    with pytest.raises(SpecError) as caught:
        load(folder)
    assert len(str(caught.value).splitlines()) == 2


def test_loader_and_generator_agree_which_types_have_a_default() -> None:
    assert FIELD_DEFAULT.keys() == DEFAULTED_TYPES


# The actions


def test_spec_contains_all_documented_and_undocumented_actions() -> None:
    assert len(SPEC.actions) == 63
    assert SPEC.actions.keys() > UNDOCUMENTED
    for name, action in SPEC.actions.items():
        expected = {"vendor-client", "recorded"} if name in UNDOCUMENTED else {"docs", "recorded"}
        assert action.evidence in expected, name


def test_names_are_unique_across_groups() -> None:
    assert sum(len(group.actions) for group in SPEC.groups.values()) == len(SPEC.actions)
    assert sum(len(group.models) for group in SPEC.groups.values()) == len(SPEC.models)
    assert sum(len(group.enums) for group in SPEC.groups.values()) == len(SPEC.enums)


def test_kind_of_an_action_matches_its_name() -> None:
    for name, action in SPEC.actions.items():
        is_read = name.startswith("get_") or name in {"me", "search_tasks", "download"}
        assert (action.kind == "read") is is_read, name


def test_actions_that_create_records_are_never_retried() -> None:
    """A retry of these actions could create a second record; all other retries are idempotent."""
    creates = {name for name in SPEC.actions if name.startswith(("post_", "add_", "upload_", "start_", "stop_"))}
    for name in creates:
        assert not SPEC.actions[name].repeatable, name
        assert not ACTIONS[name].repeatable, name


def test_table_of_actions_matches_the_spec() -> None:
    assert ACTIONS.keys() == SPEC.actions.keys()
    for name, action in SPEC.actions.items():
        row = ACTIONS[name]
        assert (row.name, row.kind, row.credential, row.already_done) == (
            name,
            action.kind,
            action.credential,
            action.already_done,
        )
        assert row.repeatable is (action.repeatable or action.kind == "read")
        assert {key: param.required for key, param in row.params.items()} == {
            key: param.required for key, param in action.params.items()
        }
        assert (row.one_of, row.exclusive) == (action.one_of, action.exclusive)


# The methods

METHODS = sorted(SPEC.actions.keys() - {"download"})


def parameters(name: str) -> list[inspect.Parameter]:
    return list(inspect.signature(getattr(Session, name)).parameters.values())[1:]


def normalize(annotation: str) -> str:
    """Return *annotation* in normalized layout."""
    return ast.unparse(ast.parse(annotation, mode="eval"))


@pytest.mark.parametrize("name", METHODS)
def test_each_action_is_a_coroutine_with_the_signature_of_the_spec(name: str) -> None:
    action: ActionSpec = SPEC.actions[name]
    assert inspect.iscoroutinefunction(getattr(Session, name))
    required = [(attribute_name(param), it) for param, it in action.params.items() if it.required]
    rest = [(attribute_name(param), it) for param, it in action.params.items() if not it.required]
    given = parameters(name)
    assert [parameter.name for parameter in given] == [param for param, _ in required + rest]
    for parameter, (_, it) in zip(given, required + rest, strict=True):
        if it.required:
            assert parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
            assert parameter.default is inspect.Parameter.empty
            assert normalize(parameter.annotation) == normalize(param_annotation(it))
        else:
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
            assert parameter.default is None
            assert normalize(parameter.annotation) == normalize(f"{param_annotation(it)} | None")


@pytest.mark.parametrize("name", METHODS)
def test_each_method_has_the_return_annotation_of_the_spec_and_no_any(name: str) -> None:
    signature = inspect.signature(getattr(Session, name))
    assert normalize(signature.return_annotation) == normalize(return_annotation(SPEC.actions[name].returns))
    annotations = [signature.return_annotation, *(parameter.annotation for parameter in parameters(name))]
    assert not [annotation for annotation in annotations if "Any" in names_of(annotation)]


def names_of(annotation: str) -> Iterator[str]:
    return (node.id for node in ast.walk(ast.parse(annotation)) if isinstance(node, ast.Name))


@pytest.mark.parametrize("name", METHODS)
def test_each_docstring_has_scope_page_parameters_returns_and_raises(name: str) -> None:
    text = inspect.getdoc(getattr(Session, name)) or ""
    action = SPEC.actions[name]
    assert text.startswith(action.doc)
    assert f"Scope ``{action.scope}``." in text
    assert "Vendor page: https://" in text
    for param in action.params:
        assert f"\n    {attribute_name(param)}: " in text
    returns, _, raises = text.partition("\nReturns:\n")[2].partition("\nRaises:\n")
    assert returns.strip().endswith(".")
    classes = [line.partition(":")[0].strip() for line in raises.splitlines()]
    assert set(classes) <= set(errors.__all__)
    assert {"AuthError", "ApiError", "RateLimited", "WaitTooLong", "TransportError", "UnexpectedReply"} <= set(classes)
    assert ("InvalidCall" in classes) is (bool(action.params) or action.credential == "token")


def test_download_is_handwritten_and_takes_the_parameters_of_the_action() -> None:
    assert inspect.iscoroutinefunction(Session.download)
    assert "download" not in vars(Endpoints)
    assert not any("download" in vars(base) for base in Endpoints.__mro__)
    assert parameters("download")[0].name == "id_file"


def test_public_coroutines_of_a_session_are_the_actions_and_three_more() -> None:
    coroutines = {name for name, it in inspect.getmembers(Session, inspect.iscoroutinefunction) if name[0] != "_"}
    assert coroutines == SPEC.actions.keys() | {"call", "aclose", "download_all"}


# The generator, with a small spec for the test

SERVICE = """
[paths]
admin = "/api/"
[limits]
requests_per_second = 2.0
max_records = 5
max_request_line_bytes = 100
max_text_characters = 10
[oauth]
origin = "https://login.example"
authorize = "/authorize"
token = "/token"
refresh = "/refresh"
resource = "/resource"
code_ttl_seconds = 1
access_ttl_seconds = 2
refresh_ttl_seconds = 3
refusals = {app = ["client"], refresh_token = ["token"], permission = ["scope"], access_token = ["expired"]}
[scopes]
doc = "Permissions."
values = ["tasks_read"]
[[errors]]
message = "Already done"
kind = "StateError"
evidence = "docs"
[[errors]]
message = "Too many chores ("
kind = "TooManyRecords"
evidence = "docs"
"""

TASKS = r"""
title = "Chores"
source = "https://example.com/chores"

[enums.Mood]
doc = "How it feels."
values = ["fine", "bad"]
aliases = { Fine = "fine" }

[models.Chore]
doc = "Something to do."
fields.id = { type = "id", essential = true, doc = "Number." }
fields.from = { type = "map[int, str]", doc = "Where from, with a \"quote\"." }
fields.mood = { type = "Mood?", doc = "Mood." }
fields.due = { type = "date?", aliases = ["deu"], doc = "Day." }
fields.steps = { type = "list[Chore]", doc = "Steps." }
fields.price = { type = "money", doc = "Price." }

[actions.search_chores]
doc = "Find chores."
kind = "read"
scope = "tasks_read"
returns = "list[Chore]"
evidence = "docs"
one_of = [["mood", "from"]]
params.mood = { type = "Mood", doc = "Mood." }
params.from = { type = "date", doc = "First day." }
params.id = { type = "id", required = true, doc = "Number." }

[actions.do_chore]
doc = "Do it."
kind = "write"
already_done = "Already done"
scope = "tasks_read"
credential = "token"
returns = "None"
evidence = "inferred"
"""

MODELS_FILE = '''\
# GENERATED by `python -m worksection_async._spec` from _spec/tasks.toml; edit that and run the command.

"""Chores: records that the service returns.

Vendor page: https://example.com/chores
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Literal

import attrs

from ._base import Model

__all__ = ["Chore", "Mood"]
Mood = Literal["fine", "bad"]
"""How it feels."""


@attrs.frozen(kw_only=True, repr=False)
class Chore(Model):
    """Something to do."""

    id: int
    """Number."""

    from_: dict[int, str] = attrs.field(factory=dict, hash=False)
    """Where from, with a "quote"."""

    mood: Mood | str | None = attrs.field(default=None, metadata={"value_aliases": {"Fine": "fine"}})
    """Mood."""

    due: dt.date | None = attrs.field(default=None, metadata={"aliases": ("deu",)})
    """Day."""

    steps: tuple[Chore, ...] = ()
    """Steps."""

    price: Decimal = Decimal(0)
    """Price."""
'''

ENDPOINTS_FILE = '''\
# GENERATED by `python -m worksection_async._spec` from _spec/tasks.toml; edit that and run the command.

"""Chores: one coroutine method per action.

Vendor page: https://example.com/chores
"""

from __future__ import annotations

import datetime as dt

from ..._protocol import actions
from ...models import Chore, Mood
from ._base import EndpointGroup


class TasksEndpoints(EndpointGroup):
    """Chores."""

    async def search_chores(self, id: int, *, mood: Mood | None = None, from_: dt.date | None = None) -> list[Chore]:
        """Find chores.

        Scope ``tasks_read``.
        Vendor page: https://example.com/chores

        Requires at least one of ``mood``, ``from``.

        Args:
            mood: Mood.
            from_: First day.
            id: Number.

        Returns:
            A list of `Chore`; empty if there are none. Amounts are `Decimal` in the account's currency.

        Raises:
            InvalidCall: An argument is missing or invalid. No request was sent.
            AuthError: The credential is invalid, has expired or lacks the scope.
            NotFound: No record has the ID ``id``, or the credential cannot access it.
            FieldError: The service rejected an argument.
            TooManyRecords: The result has more than 5 records.
            RateLimited: The service refused all attempts because of its rate limit.
            ApiError: The service refused the request for another reason.
            WaitTooLong: The predicted wait is longer than ``max_wait``. No request was sent.
            TransportError: The connection failed or the timeout expired.
            UnexpectedReply: The reply has an unknown format.
        """
        return await self._caller.call(actions.SEARCH_CHORES, {"mood": mood, "from": from_, "id": id})

    async def do_chore(self) -> None:
        """Do it.

        Scope ``tasks_read``. Requires an access token; the admin key is not accepted. Not retried if the request
        may have reached the service.
        Vendor page: https://example.com/chores

        Returns:
            None after the service has confirmed the change.

        Raises:
            InvalidCall: The session uses the admin key. No request was sent.
            AuthError: The credential is invalid, has expired or lacks the scope.
            StateError: "Already done"; on a retry, this reply counts as success.
            RateLimited: The service refused all attempts because of its rate limit.
            ApiError: The service refused the request for another reason.
            WaitTooLong: The predicted wait is longer than ``max_wait``. No request was sent.
            TransportError: The connection failed or the timeout expired.
            UnexpectedReply: The reply has an unknown format.
        """
        return await self._caller.call(actions.DO_CHORE, {})
'''

ACTIONS_FILE_END = """\
SEARCH_CHORES = Action(
    "search_chores",
    kind="read",
    returns=shapes.many(Chore),
    repeatable=True,
    one_of=(("mood", "from"),),
    params={
        "mood": Param(compound_formats.choice(Mood)),
        "from": Param(formats.to_date),
        "id": Param(formats.to_id, required=True),
    },
)
DO_CHORE = Action("do_chore", kind="write", returns=shapes.nothing, already_done="Already done", credential="token")
ALL: tuple[Action[object], ...] = (SEARCH_CHORES, DO_CHORE)
ACTIONS = {action.name: action for action in ALL}
"""


@pytest.fixture
def toy(tmp_path: Path) -> dict[str, str]:
    """The files rendered from a spec with two actions."""
    for name in GROUPS:
        (tmp_path / f"{name}.toml").write_text(f'title = "{name}"\nsource = "https://example.com"\n', "utf-8")
    (tmp_path / "service.toml").write_text(SERVICE, "utf-8")
    (tmp_path / "tasks.toml").write_text(TASKS, "utf-8")
    return render(load(tmp_path))


def test_generated_models(toy: dict[str, str]) -> None:
    path = "worksection_async/models/tasks.py"
    assert tool.format_source(path, toy[path]) == MODELS_FILE


def test_generated_endpoints(toy: dict[str, str]) -> None:
    path = "worksection_async/_protocol/endpoints/tasks.py"
    assert tool.format_source(path, toy[path]) == ENDPOINTS_FILE


def test_generated_blocking_endpoints(toy: dict[str, str]) -> None:
    path = "worksection_async/blocking/_endpoints/tasks.py"
    twin = ENDPOINTS_FILE.replace("async def", "def").replace("await ", "").replace("coroutine", "blocking")
    assert tool.format_source(path, toy[path]) == twin


def test_generated_table_of_actions(toy: dict[str, str]) -> None:
    path = "worksection_async/_protocol/actions.py"
    assert tool.format_source(path, toy[path]).endswith("from .call import Action, Param\n\n" + ACTIONS_FILE_END)


def test_generated_reference_page(toy: dict[str, str]) -> None:
    assert toy["docs/actions.md"].startswith(f"<!-- {MARK} _spec/*.toml -->\n")
    page = "reference/actions-tasks.md"
    assert (
        f"| [`search_chores`]({page}#search_chores): Find chores. | mood, from, **id** | `list[Chore]` "
        "| tasks_read | yes | docs |\n"
        f"| [`do_chore`]({page}#do_chore): Do it. | – | `None` | tasks_read (access token only) | no | inferred |\n"
    ) in toy["docs/actions.md"]


def test_first_line_of_each_generated_file_has_the_mark(files: dict[str, str], root: Path) -> None:
    for path, text in files.items():
        assert MARK in text.splitlines()[0], path
    assert sorted(tool.find_orphans(root, {})) == sorted(files)


# Modules that users do not import


def test_import_of_the_package_needs_no_optional_dependency_and_no_internal_tool() -> None:
    code = """
        import sys
        for name in ("tomllib", "starlette", "uvicorn", "rich", "click", "redis", "pytest", "hypothesis", "trio"):
            sys.modules[name] = None  # an import of it fails
        import worksection_async
        ours = ("worksection_async._spec", "worksection_async.testing", "worksection_async.__main__")
        print(*(name for name in sys.modules if name.startswith(ours)))
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tool.ROOT, check=False)
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "", "")
