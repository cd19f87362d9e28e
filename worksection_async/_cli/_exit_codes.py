"""The exit codes of all commands."""

from __future__ import annotations

from enum import IntEnum

from ..errors import AuthError, InvalidCall, RateLimited, TransportError, WaitTooLong, WorksectionError


class ExitCode(IntEnum):
    """The exit code of a command; `meaning` is its documentation."""

    meaning: str

    OK = 0, "success"
    FAILED = 1, "the service refused the call, its reply is not readable, or a file cannot be written"
    USAGE = 2, "a command, an option, a parameter or an environment variable is wrong"
    LOGIN = 3, "the credential was refused or has expired: log in again, or check the key and its permissions"
    UNREACHABLE = 4, "the service could not be reached, or its reply was lost"
    BUSY = 5, "other clients used up the rate limit of the account for a minute"
    INTERRUPTED = 130, "interrupted by Ctrl-C"
    CLOSED_PIPE = 141, "the program that reads the output has ended, as in `worksection tasks | head -1`"

    def __new__(cls, code: int, meaning: str) -> ExitCode:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member


def exit_code_of(error: WorksectionError) -> ExitCode:
    """Return the exit code of a command that failed with *error*."""
    match error:
        case InvalidCall():
            return ExitCode.USAGE
        case AuthError():
            return ExitCode.LOGIN
        case TransportError():
            return ExitCode.UNREACHABLE
        case RateLimited() | WaitTooLong():
            return ExitCode.BUSY
        case _:
            return ExitCode.FAILED
