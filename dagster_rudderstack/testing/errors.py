"""Why the local RudderStack refuses what a test or a client asks for."""

from typing import Literal


class UnknownIdError(LookupError):
    """No object has this id."""


class RefusedError(RuntimeError):
    """A start is refused: a sync or run is already running, or the connection is disabled.

    Attributes:
        reason: `already_running` or `disabled`.
    """

    def __init__(self, reason: Literal["already_running", "disabled"], message: str) -> None:
        super().__init__(message)
        self.reason = reason
