"""The spec, read once: the parameter checks, the limits and the codes of errors are its, not the simulator's."""

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
"""What is no action of the API, by its path: ``/oauth2/token`` is called ``oauth2_token`` in the log and in faults."""


def code_of(message: str) -> int | None:
    """Return the code the service sends with *message*; the spec knows messages by how they begin."""
    return next((error.code for error in SPEC.service.errors if message.startswith(error.message)), None)
