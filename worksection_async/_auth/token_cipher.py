"""Encrypts pairs of tokens for a database. Importing it needs the package ``cryptography``."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from ..errors import InvalidCall, TokenStoreError
from .token import Token
from .token_stores import token_in

ROW = "the row of the user"


class TokenCipher:
    """Encrypts with the first of its keys and decrypts with any of them (Fernet: AES-128-CBC and HMAC-SHA256).

    The user's key is encrypted together with the tokens, so that a row copied to another user is refused.

    Args:
        keys: One Fernet key, or several.

    Raises:
        InvalidCall: A key is invalid; the error does not show it.
    """

    def __init__(self, keys: str | bytes | Sequence[str | bytes]) -> None:
        each = [keys] if isinstance(keys, str | bytes) else keys
        with contextlib.suppress(TypeError, ValueError):
            self._fernet = MultiFernet([Fernet(key) for key in each])
            return
        del keys, each  # error reports show local variables
        raise InvalidCall(
            "SQLTokenVault", "encryption_key must be a Fernet key, or a list of them: Fernet.generate_key() makes one"
        )

    def encrypt(self, user: str, token: Token) -> str:
        """Return the encrypted *token* of *user*, a text without line breaks."""
        return self._fernet.encrypt(f"{user}\n{token.to_json()}".encode()).decode()

    def decrypt(self, user: str, text: str) -> Token:
        """Return the token of *user* from *text*.

        Raises:
            TokenStoreError: It is not the text that `encrypt` returned for *user*, or no key fits.
        """
        with contextlib.suppress(InvalidToken):
            owner, _, token = self._fernet.decrypt(text.encode()).decode().partition("\n")
            if owner == user:
                return token_in(token, ROW)
            raise TokenStoreError(f"{ROW} contains the tokens of another user")
        raise TokenStoreError(f"{ROW} was encrypted with another key, or changed")
