"""Shows the progress of a sync to a person who waits for it: on a terminal, or in a notebook.

A log is for later and has few lines. A person wants to see each change.
"""

from __future__ import annotations

import contextlib
import html
import importlib
import sys
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.sync.decisions import percent_done
from dagster_rudderstack.text import one_line

__all__ = ["Notebook", "Terminal", "Watcher", "choose_watcher"]

MAX_LINE_LENGTH = 500


class Watcher(Protocol):
    """Shows the progress of a sync. It is called after each poll."""

    def show(self, sync: Sync, text: str) -> None:
        """Show the state of a sync, if it has changed.

        Args:
            sync: The sync.
            text: Its state in words, with the time so far.
        """

    def say(self, text: str) -> None:
        """Show a sentence about what happens next."""


class Terminal:
    """Writes a line for each change of the status or the rows.

    Args:
        stream: Where the lines go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown: object = None

    def show(self, sync: Sync, text: str) -> None:
        """Write a line if the sync has changed."""
        percent = percent_done(sync)
        rows = (sync.rows_succeeded, sync.rows_failed) if percent is None else round(percent)
        state = (sync.id, sync.status, rows)
        if state == self._shown:
            return
        self._shown = state
        self.say(text)

    def say(self, text: str) -> None:
        """Write a line. A stream that was closed is no reason to fail."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(f"{one_line(text, MAX_LINE_LENGTH)}\n")
            self._stream.flush()


class Notebook:
    """Updates a progress bar in the output of a notebook's cell.

    Args:
        display: IPython's function `display`.
    """

    def __init__(self, display: Any) -> None:
        self._display = display
        self._handle: Any = None

    def show(self, sync: Sync, text: str) -> None:
        """Update the bar. Without a known share of the rows, it shows only that the sync runs."""
        percent = 100.0 if sync.is_over else percent_done(sync)
        value = "" if percent is None else f' value="{percent:.0f}"'
        line = one_line(text, MAX_LINE_LENGTH)
        content: Mapping[str, str] = {
            "text/plain": line,
            "text/html": f'<progress max="100"{value}></progress> {html.escape(line)}',
        }
        if self._handle is None:
            self._handle = self._display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)

    def say(self, text: str) -> None:
        """Write a line. The bar of the next sync is below it."""
        self._display({"text/plain": one_line(text, MAX_LINE_LENGTH)}, raw=True)
        self._handle = None


def choose_watcher(show_progress: bool | None, *, is_logged: bool) -> Watcher | None:
    """Return what shows the progress of a sync outside Dagster. None shows nothing.

    Args:
        show_progress: Whether to show it. None shows it if a person is watching: in a notebook, and
            on a terminal whose log does not show it already.
        is_logged: Whether the progress is logged.
    """
    if show_progress is False:
        return None
    display = _display_of_notebook()
    if display is not None:
        return Notebook(display)
    stream = sys.stderr
    # A program without a console has no standard error.
    if stream is not None and (show_progress or (not is_logged and _is_terminal(stream))):
        return Terminal(stream)
    return None


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:
        # It was closed.
        return False


def _display_of_notebook() -> Any:
    """Return IPython's function `display`, if this code runs in the kernel of a notebook.

    IPython is not a dependency: in a kernel, it is loaded already.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is None:
        return None
    return importlib.import_module("IPython.display").display
