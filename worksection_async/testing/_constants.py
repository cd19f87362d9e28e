"""Constants of the service, read once from the spec: actions, limits, scopes, paths and error codes."""

from .._spec import load

SPEC = load()
ACTIONS = SPEC.actions
ADMIN = SPEC.service.paths["admin"].rstrip("/")
OAUTH = SPEC.service.paths["oauth"].rstrip("/")
MAX_RECORDS = SPEC.service.limits.max_records
MAX_REQUEST_LINE_BYTES = SPEC.service.limits.max_request_line_bytes
MAX_TEXT_CHARACTERS = SPEC.service.limits.max_text_characters
SCOPES = frozenset(SPEC.service.scopes.values)
FILTER_KINDS = SPEC.service.filters
LOGIN = SPEC.service.oauth
LOGIN_ACTIONS = {getattr(LOGIN, name): f"oauth2_{name}" for name in ("authorize", "token", "refresh", "resource")}
"""The names of the OAuth2 paths in the log and in faults: ``/oauth2/token`` is ``oauth2_token``."""


def code_of(message: str) -> int | None:
    """Return the ``status_code`` of an error message, or None; the spec lists the beginnings of messages."""
    return next((error.code for error in SPEC.service.errors if message.startswith(error.message)), None)
