"""The limiter of sessions with default options: shared by all processes of this user on this machine."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from worksection_async import ApiKey, FileTokenBucket, Session, TokenBucket
from worksection_async._limits.default_limiter import UNUSED_SECONDS, default_limiter

ORIGIN = "https://acme.worksection.com"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runtime folder of a process that has no limiter yet."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr("worksection_async._limits.default_limiter._limiters", {})
    return tmp_path / "worksection-async"


def test_sessions_of_one_account_share_a_limiter_by_default(folder: Path) -> None:
    first, second = Session("acme", ApiKey("a")), Session("https://ACME.worksection.com/", ApiKey("b"))
    assert first.limiter is second.limiter is default_limiter(ORIGIN)
    assert isinstance(first.limiter, FileTokenBucket)
    assert Session("other", ApiKey("a")).limiter is not first.limiter


@pytest.mark.filterwarnings("error")
def test_without_a_runtime_folder_another_one_is_used_silently(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As in cron jobs and containers."""
    folder.mkdir()
    folder.parent.chmod(0o755)  # platformdirs warns of a runtime folder that others can read
    (folder.parent / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder.parent / "tmp"))
    assert isinstance(default_limiter(ORIGIN), FileTokenBucket)
    assert not caplog.records


def test_the_name_of_the_file_does_not_show_the_account(folder: Path) -> None:
    default_limiter(ORIGIN)
    (path,) = folder.glob("*.bucket")
    assert "acme" not in path.name


@pytest.mark.parametrize(("age", "is_kept"), [(UNUSED_SECONDS - 60, True), (UNUSED_SECONDS + 60, False)])
def test_files_that_were_unused_for_a_day_are_removed(folder: Path, age: float, is_kept: bool) -> None:
    default_limiter(ORIGIN)
    (path,) = folder.glob("*.bucket")
    Path(f"{path}.lock").touch()
    os.utime(path, (time.time() - age,) * 2)
    default_limiter("https://other.worksection.com")
    assert path.exists() == is_kept
    assert Path(f"{path}.lock").exists() == is_kept


def test_a_removed_file_is_created_again(folder: Path) -> None:
    limiter = default_limiter(ORIGIN)
    assert isinstance(limiter, FileTokenBucket)
    for path in folder.iterdir():
        path.unlink()
    visit = limiter._change(lambda state, now: state.advance(None, now))
    assert visit.wait > 0.9, "another process may have used the file just now"


@pytest.mark.parametrize("obstacle", ["no home", "a file in the way", "read-only"])
def test_a_warning_says_what_to_do_if_no_file_can_be_written(
    folder: Path, obstacle: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    if obstacle == "no home":
        monkeypatch.setattr("platformdirs.user_runtime_path", fail)
    elif obstacle == "read-only":
        monkeypatch.setattr(Path, "mkdir", deny)
    else:
        folder.touch()
    first, second = Session("acme", ApiKey("a")), Session("acme", ApiKey("b"))
    assert first.limiter is second.limiter
    assert type(first.limiter) is TokenBucket
    assert len(caplog.records) == 1
    assert "FileTokenBucket(path), or RedisTokenBucket(url)" in caplog.text


def test_a_file_that_fails_later_is_replaced_by_the_local_limit(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The runtime folder was removed: the call does not fail, and the process continues with a bucket in memory."""
    limiter = default_limiter(ORIGIN)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.touch()
    limiter._change(lambda state, now: state.advance(None, now))
    assert len(caplog.records) == 1
