"""Completion: the scripts are sourced by real shells."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.constants import ROOT
from tests.support.terminal import open_terminal
from worksection_async.__main__ import main
from worksection_async._cli._parameters import complete_arguments
from worksection_async._protocol.actions import ACTIONS


@pytest.fixture
def path(tmp_path: Path) -> str:
    """PATH with a program ``worksection``, as an installation has it."""
    program = tmp_path / "bin" / "worksection"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from worksection_async.__main__ import main\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    return f"{program.parent}{os.pathsep}{os.environ['PATH']}"


def find_shell(name: str) -> str:
    """Return the path of a shell; CI has all of them."""
    found = shutil.which(name)
    if found is None:
        assert not os.environ.get("CI"), f"{name} is missing: .ci/run installs it"
        pytest.skip(f"{name} is not installed")
    return found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("worksection simu", "simulate"),
        ("worksection call get_all_t", "get_all_tasks"),
        ("worksection call get_tasks filt", "filter="),
        ("worksection call get_tasks filter=", "filter=active"),
        ("worksection call get_tasks filter=active extra=text,fi", "extra=text,files"),
        ("worksection call update_project options.allow_c", "options.allow_close="),
        ("worksection call get_tasks --ta", "--table"),
        ("worksection tasks ex", "extra="),
        ("worksection simulate --seed la", "large"),
        ("worksection listen --events post_task,clo", "post_task,close_task"),
    ],
)
def test_words_are_completed(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes], shell: str, line: str, expected: str
) -> None:
    """bash splits words at ``=``, and replaces only the part behind it."""
    words = re.split(r" |(?<==)|(?==)", line) if shell == "bash" else line.split(" ")
    monkeypatch.setenv("_WORKSECTION_COMPLETE", f"{shell}_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join(words))
    monkeypatch.setenv("COMP_CWORD", words[-1] if shell == "fish" else str(len(words) - 1))
    with pytest.raises(SystemExit):
        main([])
    reply = capsysbinary.readouterr().out.decode()
    kind = "name" if expected.endswith("=") else "plain"
    value = expected.rpartition("=")[2] or expected if shell == "bash" else expected
    assert re.match(rf"{kind}[,\n]{re.escape(value)}[\t\n]", reply), reply


def test_fish_completes(path: str) -> None:
    """The description contains a comma, which is no separator."""
    script = "worksection completion fish | source; complete -C 'worksection call get_tasks extra=text,fi'"
    done = subprocess.run(
        [find_shell("fish"), "--no-config", "-c", script],
        capture_output=True, text=True, check=True, env={**os.environ, "PATH": path},
    )  # fmt: skip
    assert done.stdout == "extra=text,files\n"


@pytest.mark.parametrize(
    ("name", "start", "setup"),
    [
        ("bash", ["--norc", "-i"], 'eval "$(worksection completion bash)"'),
        ("zsh", ["-f", "-i"], 'autoload -U compinit; compinit -u -D; eval "$(worksection completion zsh)"'),
    ],
)
def test_keys_in_a_terminal_complete_a_parameter_and_its_value(
    path: str, name: str, start: list[str], setup: str
) -> None:
    """After the name no space is added, so that the next Tab completes the value."""
    with open_terminal([find_shell(name), *start], 120, {"PATH": path, "PS1": "", "TERM": "dumb"}) as screen:
        screen.type(f"{setup}; echo re''ady\n")
        screen.until("\nready")
        screen.type("worksection call get_tasks filt\t")
        screen.until("get_tasks filter=")
        screen.type("\t")
        screen.until("=\x07?active ")


def test_paths_of_files_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plans").mkdir()
    for name in ("plan.pdf", "other", ".hidden", "plans/a"):
        (tmp_path / name).touch()

    def completed(text: str) -> list[str]:
        return [item.value for item in complete_arguments(ACTIONS["post_task"], text)]

    assert completed("attach=pl") == ["attach=plan.pdf", "attach=plans/"]
    assert completed("attach=plans/") == ["attach=plans/a"]
    assert completed("attach=.h") == ["attach=.hidden"]
    assert completed("attach=none/") == completed("unknown=") == completed("title=") == []


def test_the_script_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out.startswith("#compdef worksection\n")
