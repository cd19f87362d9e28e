"""Paths in arguments: ``~`` without a home directory, and what else cannot be resolved, is an `InvalidCall`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from worksection_async import FileTokenBucket, FileTokenStore
from worksection_async.errors import InvalidCall
from worksection_async.keyring import KeyringTokenStore


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home directory, as in a container that runs with any user id."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)


@pytest.mark.usefixtures("no_home")
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: FileTokenStore("~/token.json"), "FileTokenStore: ~/token.json"),
        (lambda: FileTokenStore("~nobody/token.json"), "FileTokenStore: ~nobody/token.json"),
        (lambda: FileTokenBucket("~/bucket"), "FileTokenBucket: ~/bucket"),
        (lambda: FileTokenBucket(Path("~/bucket")), "FileTokenBucket: ~/bucket"),
        (lambda: KeyringTokenStore("anna"), "KeyringTokenStore: ~/.cache"),
    ],
)
def test_missing_home_directory_is_named(make: Callable[[], object], name: str) -> None:
    with pytest.raises(InvalidCall, match="there is no home directory for ~: set HOME, or pass an") as caught:
        make()
    assert str(caught.value).startswith(name)


@pytest.mark.parametrize("make", [FileTokenStore, FileTokenBucket])
def test_loop_of_symbolic_links_is_named(make: Callable[[Path], object], tmp_path: Path) -> None:
    for one, other in ("ab", "ba"):
        (tmp_path / one).symlink_to(tmp_path / other)
    with pytest.raises(InvalidCall, match=f"{make.__name__}: {tmp_path}"):
        make(tmp_path / "a" / "file")


@pytest.mark.parametrize("make", [FileTokenStore, FileTokenBucket])
def test_tilde_is_the_home_directory(
    make: Callable[[str], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert vars(make("~/folder/file"))["_path"] == tmp_path.resolve() / "folder" / "file"
