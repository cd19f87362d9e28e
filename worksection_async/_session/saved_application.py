"""The OAuth2 application of the command ``login``, saved beside its token: without it the token cannot be refreshed."""

from __future__ import annotations

import json
from pathlib import Path

import attrs

from .._auth.oauth_app import OAuthApp
from .._auth.token_stores import FileTokenStore
from ..errors import TokenStoreError


@attrs.frozen(kw_only=True)
class SavedApplication:
    """What a refresh needs to know about an application."""

    client_id: str
    client_secret: str = attrs.field(repr=False)
    base_url: str

    @classmethod
    def of(cls, app: OAuthApp) -> SavedApplication:
        """Return what is saved of *app*."""
        return cls(client_id=app.client_id, client_secret=app.client_secret, base_url=app.base_url)

    @classmethod
    def load(cls, token_file: Path) -> SavedApplication | None:
        """Return the application of the token in *token_file*, or None if it was not saved.

        Raises:
            TokenStoreError: The file cannot be read, or other users can read it.
        """
        path = application_file(token_file)
        text = FileTokenStore(path)._read()
        if text is None:
            return None
        try:
            return cls(**{name: str(value) for name, value in json.loads(text).items()})
        except (AttributeError, TypeError, ValueError):
            pass
        del text  # error reports show local variables
        raise TokenStoreError(f"{path} does not contain an application: log in again")

    def save(self, token_file: Path) -> None:
        """Save this beside *token_file*, in a file that only its owner can read; raises `TokenStoreError`."""
        FileTokenStore(application_file(token_file))._write(json.dumps(attrs.asdict(self)).encode())


def application_file(token_file: Path) -> Path:
    """Return the path of the application of the token in *token_file*: ``token.json`` → ``token.app.json``."""
    return token_file.with_name(f"{token_file.stem}.app.json")
