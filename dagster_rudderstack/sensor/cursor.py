"""The cursor of the polling sensor: how far the syncs of each connection are handled.

It takes about 40 characters per connection, however long the sensor runs.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from dagster_rudderstack.errors import InvalidSettingError

__all__ = [
    "ANCHORS",
    "IS_PAST",
    "TIMEOUT_REPORTED",
    "Cursor",
    "Mark",
    "connection_key",
    "digest",
]

VERSION = 1

ANCHORS = 3
"""How many handled syncs are remembered of each connection. More than one, since RudderStack may
list a sync late."""

TIMEOUT_REPORTED = -1
"""Stands for the deadline of an open sync whose timeout was reported."""

IS_PAST = -2
"""Stands for the deadline of a sync that was over before the first poll, and that a run may have
left to the sensor without having recorded it yet."""

DIGEST_LENGTH = 5
"""30 bits, compared with a few others of the same connection: a sync is mistaken for another one
once in 300 million."""

CONNECTION_DIGEST_LENGTH = 8


def digest(text: str, length: int = DIGEST_LENGTH) -> str:
    """Return a short text that stands for an id."""
    hashed = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(hashed).decode()[:length]


def connection_key(connection_id: str) -> str:
    """Return the key of a connection's mark."""
    return digest(connection_id, CONNECTION_DIGEST_LENGTH)


@dataclass(frozen=True)
class Mark:
    """How far the syncs of one connection are handled.

    Attributes:
        handled: Digests of the newest handled syncs, newest first; at most `ANCHORS`.
        since: When the newest of them was started, in epoch seconds of RudderStack's clock. 0 means
            unknown.
        open: The syncs that are not over, or that a run will report or record, by id. The value is
            the epoch second when the timeout of a deferred sync passes; 0 if it has none or it is
            unknown; `TIMEOUT_REPORTED` once that was reported; or `IS_PAST`.
    """

    handled: tuple[str, ...] = ()
    since: int = 0
    open: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> object:
        """Return what a cursor holds: one short text, and the open syncs if there are any."""
        text = f"{self.since:x}.{''.join(self.handled)}"
        return [text, dict(self.open)] if self.open else text

    @classmethod
    def from_json(cls, data: object) -> Mark:
        """Read what `to_json` wrote. Raises ValueError or TypeError for anything else."""
        text, is_open = (data[0], data[1]) if isinstance(data, list) else (data, {})
        since, dot, digests = str(text).partition(".")
        if not dot:
            raise ValueError(f"mark {text!r}")
        size = DIGEST_LENGTH
        handled = tuple(digests[at : at + size] for at in range(0, len(digests), size))
        return cls(handled, int(since, 16), {str(k): int(v) for k, v in is_open.items()})


@dataclass(frozen=True)
class Cursor:
    """Where a tick ended.

    Attributes:
        position: The connection that the next tick begins with. Empty means the first.
        marks: How far each connection is handled, by `connection_key`.
    """

    position: str = ""
    marks: Mapping[str, Mark] = field(default_factory=dict)

    def mark(self, connection_id: str) -> Mark | None:
        """Return how far a connection is handled. None if it was never polled."""
        return self.marks.get(connection_key(connection_id))

    def to_text(self) -> str:
        """Return the cursor as Dagster stores it."""
        marks = {key: mark.to_json() for key, mark in sorted(self.marks.items())}
        content = {"version": VERSION, "position": self.position, "marks": marks}
        return json.dumps(content, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str | None) -> Cursor:
        """Read what `to_text` wrote. None or empty means that nothing was polled yet.

        Raises:
            InvalidSettingError: If the text is something else.
        """
        if not text:
            return cls()
        try:
            content = json.loads(text)
            if content["version"] != VERSION:
                raise ValueError(f"version {content['version']!r}")
            marks = {str(key): Mark.from_json(mark) for key, mark in content["marks"].items()}
            return cls(str(content["position"]), marks)
        except _UNREADABLE as error:
            raise InvalidSettingError(
                f"The sensor's cursor cannot be read ({error}). Reset it in the Dagster UI. The "
                "sensor will not report syncs that end before the reset."
            ) from None


_UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    OverflowError,  # Python's JSON has an Infinity.
    RecursionError,
)
