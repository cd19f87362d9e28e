"""Names of actions and parameters in `Session.call`, where names are data: reserved, misspelled and unknown ones."""

from collections.abc import Iterable

from .formats import to_name

RESERVED_NAMES = {"action", "hash", "access_token"}
"""Names of the query that the client sets itself, so that no parameter can override the action or the credential."""


def is_reserved(name: str) -> bool:
    """Whether the service reads *name* as a reserved one: PHP cuts brackets off, and replaces dots and spaces."""
    return name.lstrip(" ").partition("[")[0].replace(".", "_").replace(" ", "_") in RESERVED_NAMES


def check_name(name: object) -> None:
    """Raise `ValueError` for a name that cannot be sent."""
    if not isinstance(name, str):
        raise ValueError(f"must be text, got {type(name).__name__}")
    if not name.strip():
        raise ValueError("must not be blank")
    to_name(name)


def unknown_action(name: str, known: Iterable[str]) -> str:
    """Return the problem of a call of the unknown action *name*."""
    return f"unknown action{nearest(name, known)}. unchecked=True sends an action that this release does not know"


def unknown_parameter(name: str, known: Iterable[str]) -> str:
    """Return the problem of a call with the unknown parameter *name*."""
    return (
        f"unknown parameter {name!a}; known parameters: {', '.join(known) or 'none'}{nearest(name, known)}. "
        "unchecked=True sends parameters that this release does not know"
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of an error that names the one of *known* that is most similar to *name*; empty if none is."""
    import difflib  # noqa: PLC0415  # importing it takes 2 ms, and only errors need it

    matches = difflib.get_close_matches(name.lower(), known, n=1)
    return f", the nearest one is {matches[0]}" if matches else ""
