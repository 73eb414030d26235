"""What a command prints: lines and tables for people, or one JSON document for programs."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TextIO

from dagster_rudderstack.text import one_line

__all__ = ["Console", "moment_text", "table"]

MAX_CELL_LENGTH = 40
"""How much of a name is shown. An id is never cut."""

GAP = "  "


class Console:
    """Prints results to one stream, and warnings and errors to another.

    Args:
        out: Where results go.
        err: Where warnings and errors go, and with JSON also the progress.
        as_json: Whether the result is one JSON document.
    """

    def __init__(self, out: TextIO, err: TextIO, *, as_json: bool) -> None:
        self.as_json = as_json
        self._out = out
        self._err = err
        self._live = ""
        self._has_document = False
        self._lost: list[TextIO] = []
        self._lock = threading.Lock()

    # --- results

    def line(self, text: str) -> None:
        """Print a line of the result, unless the result is JSON."""
        if not self.as_json:
            self._print(self._out, text)

    def document(self, content: Any) -> None:
        """Print the result as JSON, if that was asked for. Only the first one is printed."""
        if self.as_json and not self._has_document:
            self._has_document = True
            self._print(self._out, json.dumps(content, indent=2))

    # --- the log of a sync or of a retried request

    def info(self, msg: object, /) -> None:
        """Print what a person may want to know."""
        self._print(self._err if self.as_json else self._out, one_line(str(msg), 2000))

    def note(self, text: str) -> None:
        """Print what to do with a result, next to it and not in it."""
        self._print(self._err, one_line(text, 2000))

    def warning(self, msg: object, /) -> None:
        """Print what a person should look at."""
        self._print(self._err, f"warning: {one_line(str(msg), 2000)}")

    def error(self, msg: object) -> None:
        """Print why the command failed."""
        self._print(self._err, f"error: {one_line(str(msg), 2000)}")

    # --- the line that a terminal updates

    def live(self, text: str, columns: int) -> None:
        """Show a text in the last line of the terminal, until the next text or line.

        Args:
            text: The text. Does nothing if the output is not a terminal.
            columns: The width of the terminal.
        """
        if self._out.isatty() and not self.as_json:
            shown = one_line(text, max(columns - 1, 2))
            self._write(self._out, f"\r{shown.ljust(len(self._live))}")
            self._live = shown

    def _print(self, stream: TextIO, text: str) -> None:
        # Requests in several threads may warn at the same time.
        with self._lock:
            if self._live:
                self._write(self._out, f"\r{' ' * len(self._live)}\r")
                self._live = ""
            self._write(stream, f"{text}\n")

    def _write(self, stream: TextIO, text: str) -> None:
        """Write to a stream, until that fails. Then nothing reads it, and the command goes on."""
        if stream in self._lost:
            return
        try:
            stream.write(text)
            stream.flush()
        except OSError as error:
            self._lost.append(stream)
            # The reader of a pipe, such as `head`, has seen enough. On a full disk it is a loss.
            if not isinstance(error, BrokenPipeError):
                self._write(self._err, f"warning: The output cannot be written: {error}.\n")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table with aligned columns. The first column is not cut."""
    cells = [list(heads), *([row[0], *map(cell, row[1:])] for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(heads))]
    return [
        GAP.join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def cell(text: str) -> str:
    """Return a text of a server as one short line."""
    return one_line(text, MAX_CELL_LENGTH)


def moment_text(moment: datetime | None) -> str:
    """Return a time of RudderStack, which is in UTC, to the minute."""
    return "?" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
